// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Payloads of the statements that keys sign
/// @notice Each payload is SHA-256(abi.encode(tuple)), each tuple is static words and starts with the chain id and the
/// contract, so a statement made for one chain or contract is worthless on any other.
/// @dev Source: spec/contracts.md section 2.
library Statements {
    bytes internal constant KEY_TAG = "assay/key/v1";
    bytes internal constant CHECKPOINT_TAG = "assay/checkpoint/v1";
    bytes internal constant COSIGN_TAG = "assay/cosign/v1";
    bytes internal constant PLEDGE_TAG = "assay/pledge/v1";

    uint8 internal constant ROLE_NODE = 1;
    uint8 internal constant ROLE_LOG = 2;
    uint8 internal constant ROLE_WITNESS = 3;
    uint8 internal constant ROLE_VERIFIER = 4;

    /// @notice Proof of possession of a key, signed under KEY_TAG by that key.
    /// @param registry contract in which the key is being entered
    /// @param subject nodeId in NodeRegistry, logId in AnchorLog; both contain the operator, so that a proof seen on its
    /// way to the chain cannot enter the key for anybody else
    /// @param role one of the ROLE_ constants
    function keyPayload(address registry, bytes32 subject, uint8 role, bytes32 x, bytes32 y)
        internal
        view
        returns (bytes32)
    {
        return sha256(abi.encode(block.chainid, registry, subject, role, x, y));
    }

    /// @notice A log's state: signed under CHECKPOINT_TAG by the log's key, under COSIGN_TAG by a witness's.
    /// @param size number of leaves
    /// @param root RFC 9162 root over them
    function checkpointPayload(address anchorLog, bytes32 logId, uint64 size, bytes32 root)
        internal
        view
        returns (bytes32)
    {
        return sha256(abi.encode(block.chainid, anchorLog, logId, size, root));
    }

    /// @notice A log's pledge, signed under PLEDGE_TAG by the log's key.
    /// @param leafHash RFC 9162 leaf hash of the entry
    /// @param leafIndex index (from 0) that the log has assigned for ever
    /// @param issuedAtBlock block number from which the deadline counts
    /// @param issuedAtBlockHash hash of that block, for readers only
    function pledgePayload(
        address anchorLog,
        bytes32 logId,
        bytes32 leafHash,
        uint64 leafIndex,
        uint64 issuedAtBlock,
        bytes32 issuedAtBlockHash
    ) internal view returns (bytes32) {
        return sha256(
            abi.encode(block.chainid, anchorLog, logId, leafHash, leafIndex, issuedAtBlock, issuedAtBlockHash)
        );
    }
}
