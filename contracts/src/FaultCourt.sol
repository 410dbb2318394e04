// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { CourtRecords } from "./court/CourtRecords.sol";
import { IFaultCourt } from "./interfaces/IFaultCourt.sol";
import { IStakeManager } from "./interfaces/IStakeManager.sol";
import { Heads } from "./libraries/Heads.sol";
import { Statements } from "./libraries/Statements.sol";

/// @title FaultCourt
/// @notice See IFaultCourt.
/// @dev Filings here, what is checked of them in CourtEvidence, state in CourtRecords. The order of the
/// checks is that of spec/faults.md section 2.
contract FaultCourt is CourtRecords {
    using Heads for bytes;

    /// @param stakeManager names this contract's address; NodeRegistry and AnchorLog are taken from it
    constructor(
        address timelock_,
        IStakeManager stakeManager,
        address faultCases,
        uint32 incidentBlocks,
        uint32 capWindowBlocks,
        Penalties memory penalties,
        Windows memory windows
    ) CourtRecords(timelock_, stakeManager, faultCases, incidentBlocks, capWindowBlocks, penalties, windows) { }

    /// @inheritdoc IFaultCourt
    function fileTwoHeads(HeadPair calldata heads, bytes32) external {
        _requireCommitted();
        _requireHead(heads.headA);
        _requireHead(heads.headB);
        if (keccak256(heads.headA) == keccak256(heads.headB)) revert SameHead();
        // chainId, registry, nodeId, keyEpoch and sequence stand side by side.
        if (keccak256(heads.headA[1:73]) != keccak256(heads.headB[1:73])) revert FieldsDiffer();
        _requireBothSigned(heads);
        _recordFatal(TWO_HEADS, heads.headA.nodeId(), heads.headA.keyEpoch(), _incident(heads.headA));
    }

    /// @inheritdoc IFaultCourt
    function fileWrongLink(HeadPair calldata heads, bytes32) external {
        _requireCommitted();
        _requireHead(heads.headA);
        _requireHead(heads.headB);
        bool isSameKey = keccak256(heads.headA[1:65]) == keccak256(heads.headB[1:65]);
        uint256 next = uint256(heads.headA.sequence()) + 1;
        if (!isSameKey || heads.headB.sequence() != next) revert FieldsDiffer();
        if (heads.headB.previous() == heads.headA.hash()) revert LinkCorrect();
        _requireBothSigned(heads);
        _recordFatal(WRONG_LINK, heads.headB.nodeId(), heads.headB.keyEpoch(), _incident(heads.headB));
    }

    /// @inheritdoc IFaultCourt
    function fileTwoHistories(bytes32 logId, uint64 index, State calldata a, State calldata b, bytes32) external {
        _requireCommitted();
        (bytes32 x, bytes32 y) = _requireLog(logId);
        _requireStateOfLog(logId, a, x, y);
        _requireStateOfLog(logId, b, x, y);
        _requireContradiction(a, b, index);
        _recordFatal(TWO_HISTORIES, logId, 0, 0);
    }

    /// @inheritdoc IFaultCourt
    function fileTwoCosignatures(
        Witness calldata witness,
        bytes32 logId,
        uint64 index,
        State calldata a,
        State calldata b,
        bytes32
    ) external {
        _requireCommitted();
        _requireKey(witness.nodeId, witness.keyEpoch, Statements.ROLE_WITNESS, witness.x, witness.y);
        // An anchored state never stands against a witness: it may have been shown another history, once.
        _requireState(Statements.COSIGN_TAG, logId, a, witness.x, witness.y);
        _requireState(Statements.COSIGN_TAG, logId, b, witness.x, witness.y);
        _requireContradiction(a, b, index);
        _recordFatal(TWO_COSIGNATURES, witness.nodeId, witness.keyEpoch, logId);
    }

    /// @inheritdoc IFaultCourt
    function fileWrongLeaf(Pledge calldata pledge, bytes32 otherLeaf, uint64 size, bytes32[] calldata proof, bytes32)
        external
    {
        _requireCommitted();
        if (otherLeaf == pledge.leafHash) revert LeafEqual();
        _requirePledge(pledge);
        bytes32 root = _requireStep(pledge.logId, size).root;
        _requireIncluded(otherLeaf, pledge.leafIndex, size, root, proof);
        _recordFatal(WRONG_LEAF, pledge.logId, 0, bytes32(uint256(pledge.leafIndex)));
    }

    /// @inheritdoc IFaultCourt
    function fileUnkeptPledge(Pledge calldata pledge, bool missing, uint8 how, uint64 seenAt, bytes32) external {
        _requireCommitted();
        _requirePledge(pledge);
        uint256 deadline = _pledgeBlocks(pledge.logId) + pledge.issuedAtBlock;
        (uint256 seenIn, uint256 from) = (block.number, deadline);
        if (how == SEEN_NEVER) {
            if (!missing || seenAt != 0) revert NotWithheld(pledge.logId, pledge.leafIndex);
            uint256 lastBlock = _requireWithheld(pledge.logId, pledge.leafIndex);
            // Who could not reach the chain while the case was open has the grace once more to show the entry.
            if (lastBlock > deadline) from = lastBlock;
        } else {
            uint64 size;
            (seenIn, size) = _seen(pledge.logId, how, seenAt);
            if (size > pledge.leafIndex) revert Kept(pledge.leafIndex, size);
        }
        uint256 due = missing ? from + _grace() : from;
        if (seenIn <= due) revert NotDue(seenIn, due);
        uint8 class = missing ? MISSING_PLEDGE : LATE_PLEDGE;
        _recordOmission(class, pledge.logId, 0, _incidentOf(deadline), deadline, msg.sender);
    }

    /// @inheritdoc IFaultCourt
    function fileFalseEntry(Inclusion calldata place, bytes calldata entry, SignedHead calldata head, bytes32)
        external
    {
        _requireCommitted();
        _requireHead(head.head);
        if (entry.length != Heads.ENTRY_LENGTH) revert MalformedEntry();
        bytes32 receiptHash = head.head.hash();
        if (bytes32(entry[1:33]) != receiptHash) revert OtherReceipt();
        if (keccak256(entry) == keccak256(head.head.entry(receiptHash))) revert EntryCorrect();
        _requireHeadSigned(head.head, head.signature, head.x, head.y);
        _requireAnchored(Heads.leafHash(entry), place);
        _recordFatal(FALSE_ENTRY, place.logId, 0, bytes32(uint256(place.index)));
    }

    /// @dev Both heads name one node and epoch here.
    function _requireBothSigned(HeadPair calldata heads) private view {
        _requireOwnHead(heads.headA, heads.x, heads.y);
        _requireHeadSigned(heads.headA, heads.signatureA, heads.x, heads.y);
        _requireHeadSigned(heads.headB, heads.signatureB, heads.x, heads.y);
    }

    function _requireStateOfLog(bytes32 logId, State calldata state, bytes32 x, bytes32 y) private view {
        if (state.signature.length != 0) {
            _requireState(Statements.CHECKPOINT_TAG, logId, state, x, y);
        } else if (_requireStep(logId, state.size).root != state.root) {
            revert NotAnchored(logId, state.size);
        }
    }

    function _incident(bytes calldata head) private pure returns (bytes32) {
        return bytes32(uint256(head.sequence()));
    }
}
