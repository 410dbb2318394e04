// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IAnchorLog } from "../interfaces/IAnchorLog.sol";
import { IFaultEvidence } from "../interfaces/IFaultEvidence.sol";
import { INodeRegistry } from "../interfaces/INodeRegistry.sol";
import { CoseSign1 } from "../libraries/CoseSign1.sol";
import { Heads } from "../libraries/Heads.sol";
import { Rfc9162 } from "../libraries/Rfc9162.sol";
import { Statements } from "../libraries/Statements.sol";

/// @title What FaultCourt checks of evidence
/// @notice Signers as the registries know them, signatures, states of logs, inclusion. Each function returns or reverts.
/// @dev Source: spec/faults.md section 2.
abstract contract CourtEvidence is IFaultEvidence {
    using Heads for bytes;

    function _anchors() internal view virtual returns (IAnchorLog);

    function _nodes() internal view virtual returns (INodeRegistry);

    /// @dev A head of this chain and registry whose key is the registered one of a node; ended keys are registered too.
    function _requireOwnHead(bytes calldata head, bytes32 x, bytes32 y) internal view {
        _requireHead(head);
        if (head.chainId() != block.chainid || head.registry() != address(_nodes())) revert ForeignHead();
        _requireKey(head.nodeId(), head.keyEpoch(), Statements.ROLE_NODE, x, y);
    }

    function _requireHead(bytes calldata head) internal pure {
        if (!head.isHead()) revert MalformedHead();
    }

    /// @dev The registry holds the key's hash and took it only from who has the key: another key under which the same
    /// signature holds is nobody's.
    function _requireKey(bytes32 nodeId, uint32 keyEpoch, uint8 role, bytes32 x, bytes32 y) internal view {
        INodeRegistry.KeyRecord memory key = _nodes().getKey(nodeId, keyEpoch);
        if (key.keyId != CoseSign1.keyIdOf(x, y) || key.role != role) revert UnknownSigner(nodeId, keyEpoch);
    }

    function _requireHeadSigned(bytes calldata head, bytes calldata signature, bytes32 x, bytes32 y) internal view {
        _requireSigned(Heads.TAG, head.payload(), signature, x, y);
    }

    function _requireSigned(bytes memory tag, bytes32 payload, bytes calldata signature, bytes32 x, bytes32 y)
        internal
        view
    {
        if (!CoseSign1.isSigned(tag, payload, signature, x, y)) revert BadSignature();
    }

    /// @dev The log's key, which never changes; FaultCourt may hold a copy.
    function _requireLog(bytes32 logId) internal view virtual returns (bytes32 x, bytes32 y) {
        IAnchorLog.LogRecord memory log = _anchors().getLog(logId);
        if (log.keyId == 0) revert UnknownLog(logId);
        return (log.x, log.y);
    }

    function _requirePledge(Pledge calldata pledge) internal view {
        (bytes32 x, bytes32 y) = _requireLog(pledge.logId);
        bytes32 payload = Statements.pledgePayload(
            address(_anchors()),
            pledge.logId,
            pledge.leafHash,
            pledge.leafIndex,
            pledge.issuedAtBlock,
            pledge.issuedAtBlockHash
        );
        _requireSigned(Statements.PLEDGE_TAG, payload, pledge.signature, x, y);
    }

    /// @dev A state that carries a signature is judged by it, whatever is anchored.
    function _requireState(bytes memory tag, bytes32 logId, State calldata state, bytes32 x, bytes32 y) internal view {
        bytes32 payload = Statements.checkpointPayload(address(_anchors()), logId, state.size, state.root);
        _requireSigned(tag, payload, state.signature, x, y);
    }

    function _requireContradiction(State calldata a, State calldata b, uint64 index) internal view {
        if (a.size == b.size) {
            if (a.root == b.root) revert NotContradictory();
            return;
        }
        if (a.leaf == b.leaf) revert NotContradictory();
        _requireIncluded(a.leaf, index, a.size, a.root, a.proof);
        _requireIncluded(b.leaf, index, b.size, b.root, b.proof);
    }

    /// @return blockNumber block in which that size was anchored
    function _requireAnchored(bytes32 leaf, Inclusion calldata place) internal view returns (uint64 blockNumber) {
        IAnchorLog.Step memory step = _requireStep(place.logId, place.size);
        _requireIncluded(leaf, place.index, place.size, step.root, place.proof);
        return step.blockNumber;
    }

    function _requireStep(bytes32 logId, uint64 size) internal view returns (IAnchorLog.Step memory step) {
        step = _anchors().getStep(logId, size);
        if (step.blockNumber == 0) revert NotAnchored(logId, size);
    }

    function _requireIncluded(bytes32 leaf, uint64 index, uint64 size, bytes32 root, bytes32[] calldata proof)
        internal
        view
    {
        if (!Rfc9162.isIncluded(leaf, index, size, root, proof)) revert NotIncluded();
    }
}
