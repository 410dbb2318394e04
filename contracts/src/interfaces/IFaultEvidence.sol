// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Evidence of faults
/// @notice What is filed, and why it is refused.
/// @dev Source: spec/faults.md section 2. Signatures are r || s, 64 bytes, low-S; x, y the halves of a P-256 key.
interface IFaultEvidence {
    /// @notice Two signed heads of one key, 139 bytes each.
    struct HeadPair {
        bytes headA;
        bytes signatureA;
        bytes headB;
        bytes signatureB;
        bytes32 x;
        bytes32 y;
    }

    /// @notice A signed head, 139 bytes.
    struct SignedHead {
        bytes head;
        bytes signature;
        bytes32 x;
        bytes32 y;
    }

    /// @notice A pledge of a log of this AnchorLog on this chain.
    struct Pledge {
        bytes32 logId;
        bytes32 leafHash;
        uint64 leafIndex;
        uint64 issuedAtBlock;
        bytes32 issuedAtBlockHash;
        bytes signature;
    }

    /// @notice A state of a log, and what stood at an index in it.
    /// @param signature empty: the state is anchored
    /// @param leaf leaf hash at the index; not read when both sizes are equal
    /// @param proof RFC 9162 inclusion proof of it
    struct State {
        uint64 size;
        bytes32 root;
        bytes signature;
        bytes32 leaf;
        bytes32[] proof;
    }

    /// @notice A leaf's place under the anchored root of a size.
    struct Inclusion {
        bytes32 logId;
        uint64 index;
        uint64 size;
        bytes32[] proof;
    }

    /// @notice A witness's registered key.
    struct Witness {
        bytes32 nodeId;
        uint32 keyEpoch;
        bytes32 x;
        bytes32 y;
    }

    /// @notice Thrown when bytes are no head of version 1.
    error MalformedHead();
    /// @notice Thrown when bytes are no log entry.
    error MalformedEntry();
    /// @notice Thrown when a head was made for another chain or registry.
    error ForeignHead();
    /// @notice Thrown when the key is not the registered one of that node, epoch and role.
    error UnknownSigner(bytes32 nodeId, uint32 keyEpoch);
    /// @notice Thrown when no log has this id.
    error UnknownLog(bytes32 logId);
    /// @notice Thrown when a signature does not hold.
    error BadSignature();
    /// @notice Thrown when two heads do not stand where the fault needs them.
    error FieldsDiffer();
    /// @notice Thrown when both heads are one.
    error SameHead();
    /// @notice Thrown when the link is right.
    error LinkCorrect();
    /// @notice Thrown when an append may explain both states.
    error NotContradictory();
    /// @notice Thrown when the leaf is the pledged one.
    error LeafEqual();
    /// @notice Thrown when the log has not anchored this size, or not with this root.
    error NotAnchored(bytes32 logId, uint64 size);
    /// @notice Thrown when an inclusion proof does not hold.
    error NotIncluded();
    /// @notice Thrown when nobody observed the log in that block, or `how` is unknown.
    error NotObserved(bytes32 logId, uint64 seenAt);
    /// @notice Thrown when no case about the pledged entry has expired, or lateness or a block is named beside it.
    error NotWithheld(bytes32 logId, uint64 index);
    /// @notice Thrown when the log covered the pledged index in the block that is named.
    error Kept(uint64 leafIndex, uint64 size);
    /// @notice Thrown when the block that is named is not after the deadline (with grace, for missing; of the pledge or of
    /// the case, whichever is later).
    error NotDue(uint256 blockNumber, uint256 deadline);
    /// @notice Thrown when the entry carries the hash of another receipt.
    error OtherReceipt();
    /// @notice Thrown when the entry is the head's own.
    error EntryCorrect();
}
