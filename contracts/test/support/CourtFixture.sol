// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { AssayTimelock } from "../../src/AssayTimelock.sol";
import { AssayToken } from "../../src/AssayToken.sol";
import { FaultCases } from "../../src/FaultCases.sol";
import { FaultCourt } from "../../src/FaultCourt.sol";
import { NodeRegistry } from "../../src/NodeRegistry.sol";
import { StakeManager } from "../../src/StakeManager.sol";
import { IFaultCourt } from "../../src/interfaces/IFaultCourt.sol";
import { IFaultEvidence } from "../../src/interfaces/IFaultEvidence.sol";
import { CourtSigning } from "./CourtSigning.sol";
import { COURT_VM } from "./CourtVm.sol";
import { LogFixture } from "./LogFixture.sol";
import { ReferenceTree } from "./ReferenceTree.sol";
import { Signing } from "./Signing.sol";
import { VM } from "./Vm.sol";

/// @notice All contracts with a node (key epoch 0), a witness key (epoch 1) and a log of one operator, bonded and with
/// a delegator.
abstract contract CourtFixture is LogFixture {
    address internal constant REPORTER = address(0x4E90);
    address internal constant THIEF = address(0x7411EF);
    address internal constant DELEGATOR = address(0xDE1E);
    address internal constant PROPOSER = address(0x901);
    uint256 internal constant NODE_KEY = 0x101;
    uint256 internal constant WITNESS_KEY = 0x102;
    uint64 internal constant UNBOND = 3_500;
    uint32 internal constant REVEAL = 2;
    bytes32 internal constant RANDOM = keccak256("random salt of a filing");
    bytes32 internal constant BLOCK_HASH = keccak256("block of issue");

    AssayTimelock internal _timelock;
    AssayToken internal _token;
    NodeRegistry internal _registry;
    StakeManager internal _stake;
    FaultCourt internal _court;
    FaultCases internal _cases;
    bytes32 internal _nodeId;
    uint256 internal _now;

    function _deployAll() internal {
        _deploy();
        _now = 100;
        _registry = new NodeRegistry(true);
        _token = new AssayToken(address(this));
        address[] memory proposers = new address[](1);
        proposers[0] = PROPOSER;
        _timelock = new AssayTimelock(2 days, proposers, proposers);
        uint256 nonce = COURT_VM.getNonce(address(this));
        address court = COURT_VM.computeCreateAddress(address(this), nonce + 1);
        address cases = COURT_VM.computeCreateAddress(address(this), nonce + 2);
        _stake = new StakeManager(address(_timelock), _token, court, _registry, _anchorLog, UNBOND, 20);
        _court = new FaultCourt(address(_timelock), _stake, cases, 600, 14_400, _penalties(), _windows());
        _cases = new FaultCases(_court);

        VM.prank(OPERATOR);
        _nodeId = _registry.registerNode("https://node.example", keccak256("evidence"), 1);
        _addKey(_nodeId, NODE_KEY, 1);
        _addKey(_nodeId, WITNESS_KEY, 3);
        _fund(OPERATOR, 1_000_000 ether);
        _fund(DELEGATOR, 1_000_000 ether);
    }

    function _penalties() internal pure returns (IFaultCourt.Penalties memory) {
        return IFaultCourt.Penalties(100, 100, 100, 1, 100, 100, 100, 100, 20, 5, 25, 20);
    }

    function _windows() internal pure returns (IFaultCourt.Windows memory) {
        return IFaultCourt.Windows(600, 1_300, 300, 600, REVEAL, 1e6);
    }

    function _addKey(bytes32 nodeId, uint256 privateKey, uint8 role) internal {
        (bytes32 x, bytes32 y) = Signing.publicKey(privateKey);
        bytes memory proof = Signing.key(privateKey, address(_registry), nodeId, role);
        VM.prank(OPERATOR);
        _registry.addKey(nodeId, role, x, y, proof);
    }

    function _fund(address account, uint256 amount) internal {
        _token.transfer(account, amount);
        VM.prank(account);
        _token.approve(address(_stake), type(uint256).max);
    }

    function _bond(bytes32 subject, uint256 self, uint256 delegated) internal {
        VM.prank(OPERATOR);
        _stake.bond(subject, self);
        if (delegated == 0) return;
        VM.prank(DELEGATOR);
        _stake.delegate(subject, delegated);
    }

    function _roll(uint256 blocks) internal {
        _now += blocks;
        VM.roll(_now);
    }

    function _rollTo(uint256 blockNumber) internal {
        _now = blockNumber;
        VM.roll(_now);
    }

    // Filing

    function _commitment(address reporter, bytes memory data) internal view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(_court), reporter, keccak256(data)));
    }

    function _commit(address reporter, bytes memory data) internal {
        VM.prank(reporter);
        _court.commit(_commitment(reporter, data));
    }

    /// @dev Commits, waits, files; reverts as the court does.
    function _file(bytes memory data) internal {
        _commit(REPORTER, data);
        _roll(REVEAL);
        _send(REPORTER, address(_court), data, 0);
    }

    function _expectRefused(bytes memory data, bytes memory reason) internal {
        _commit(REPORTER, data);
        _roll(REVEAL);
        (bool succeeded, bytes memory answer) = _try(REPORTER, address(_court), data, 0);
        VM.assertFalse(succeeded, "it was accepted");
        VM.assertEq(answer, reason, "reason");
    }

    function _try(address sender, address target, bytes memory data, uint256 value)
        internal
        returns (bool succeeded, bytes memory answer)
    {
        if (value != 0) COURT_VM.deal(sender, sender.balance + value);
        VM.prank(sender);
        return target.call{ value: value }(data);
    }

    function _send(address sender, address target, bytes memory data, uint256 value) internal {
        (bool succeeded, bytes memory answer) = _try(sender, target, data, value);
        if (succeeded) return;
        assembly ("memory-safe") {
            revert(add(answer, 0x20), mload(answer))
        }
    }

    function _faultId(uint8 class, bytes32 subject, uint32 keyEpoch, uint256 incident) internal pure returns (bytes32) {
        return keccak256(abi.encode(class, subject, keyEpoch, incident));
    }

    function _isRecorded(bytes32 faultId) internal view returns (bool) {
        (address reporter,,) = _court.getFault(faultId);
        return reporter != address(0);
    }

    // Evidence

    function _fields(uint64 sequence, bytes32 previous) internal view returns (CourtSigning.HeadFields memory) {
        return CourtSigning.HeadFields(
            block.chainid, address(_registry), _nodeId, 0, sequence, previous, 4, 0, keccak256("claims")
        );
    }

    function _pair(uint256 privateKey, bytes memory headA, bytes memory headB)
        internal
        pure
        returns (IFaultEvidence.HeadPair memory)
    {
        (bytes32 x, bytes32 y) = Signing.publicKey(privateKey);
        bytes memory first = CourtSigning.signHead(privateKey, headA);
        return IFaultEvidence.HeadPair(headA, first, headB, CourtSigning.signHead(privateKey, headB), x, y);
    }

    /// @dev Two heads with one number.
    function _twoHeads(uint64 sequence) internal view returns (bytes memory) {
        CourtSigning.HeadFields memory a = _fields(sequence, keccak256("previous"));
        CourtSigning.HeadFields memory b = _fields(sequence, keccak256("previous"));
        b.claimsRoot = keccak256("other claims");
        return abi.encodeCall(
            IFaultCourt.fileTwoHeads, (_pair(NODE_KEY, CourtSigning.head(a), CourtSigning.head(b)), RANDOM)
        );
    }

    function _pledge(bytes32 leafHash, uint64 leafIndex, uint64 issuedAtBlock)
        internal
        view
        returns (IFaultEvidence.Pledge memory p)
    {
        p = IFaultEvidence.Pledge(_logId, leafHash, leafIndex, issuedAtBlock, BLOCK_HASH, "");
        p.signature = CourtSigning.pledge(KEY, address(_anchorLog), p);
    }

    function _unkept(IFaultEvidence.Pledge memory p, bool missing, uint8 how, uint64 seenAt)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(IFaultCourt.fileUnkeptPledge, (p, missing, how, seenAt, RANDOM));
    }

    /// @dev A state of tree `salt` with the leaf at an index; signed by the log, cosigned, or anchored (key 0).
    function _state(uint256 salt, uint64 size, uint64 index, bytes memory signature)
        internal
        pure
        returns (IFaultEvidence.State memory)
    {
        bytes32 root = ReferenceTree.root(salt, size);
        bytes32[] memory proof = ReferenceTree.inclusion(salt, index, size);
        return IFaultEvidence.State(size, root, signature, ReferenceTree.leaf(salt, index), proof);
    }

    function _checkpointOf(uint256 salt, uint64 size) internal view returns (bytes memory) {
        return Signing.checkpoint(KEY, address(_anchorLog), _logId, size, ReferenceTree.root(salt, size));
    }

    function _cosignatureOf(uint256 salt, uint64 size) internal view returns (bytes memory) {
        bytes32 root = ReferenceTree.root(salt, size);
        return CourtSigning.cosign(WITNESS_KEY, address(_anchorLog), _logId, size, root);
    }

    function _witness() internal view returns (IFaultEvidence.Witness memory) {
        (bytes32 x, bytes32 y) = Signing.publicKey(WITNESS_KEY);
        return IFaultEvidence.Witness(_nodeId, 1, x, y);
    }
}
