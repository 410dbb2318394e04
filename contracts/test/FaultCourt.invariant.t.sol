// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IFaultCases } from "../src/interfaces/IFaultCases.sol";
import { IFaultCourt } from "../src/interfaces/IFaultCourt.sol";
import { IFaultEvidence } from "../src/interfaces/IFaultEvidence.sol";
import { CourtFixture } from "./support/CourtFixture.sol";
import { CourtSigning } from "./support/CourtSigning.sol";
import { Signing } from "./support/Signing.sol";
import { VM } from "./support/Vm.sol";

/// @notice An honest node with a log and a witness that keep the order of work, under any schedule of receipts, anchors
/// by anybody, waiting, key rotation and accusers who try every pair of everything that was ever signed. The log anchors
/// within its pledge windows and answers cases within theirs; nothing else is assumed.
contract HonestHandler is CourtFixture {
    uint64 private constant MOST = 40;
    bytes[] private _heads;
    bytes[] private _signatures;
    bytes32[] private _leaves;
    IFaultEvidence.Pledge[] private _pledges;
    uint64[] private _sizes;
    bytes32[] private _roots;
    bytes[] private _checkpoints;
    bytes[] private _cosigned;
    uint64 private _anchored;
    uint256 private _lastAnchor = 100;
    uint64[] private _challenged;
    uint256 private _salt;
    uint256 private _bonds;

    constructor() {
        _deployAll();
        _bond(_nodeId, 1_000 ether, 4_000 ether);
        _bond(_logId, 1_000 ether, 4_000 ether);
    }

    function serve(bytes32 claims) external {
        if (_heads.length >= MOST) return;
        uint64 sequence = uint64(_heads.length);
        bytes32 previous = sequence == 0 ? bytes32(0) : CourtSigning.receiptHash(_heads[sequence - 1]);
        CourtSigning.HeadFields memory h = _fields(sequence, previous);
        h.claimsRoot = claims;
        bytes memory head = CourtSigning.head(h);
        _heads.push(head);
        _signatures.push(CourtSigning.signHead(NODE_KEY, head));
        bytes32 leaf = CourtSigning.leafOf(CourtSigning.entry(h));
        _leaves.push(leaf);
        _pledges.push(_pledge(leaf, sequence, uint64(_now)));
    }

    /// @dev The log signs a state and its witness cosigns it; somebody anchors it, at once or later or never.
    function sign(bool anchors) external {
        uint64 size = uint64(_leaves.length);
        if (size == 0 || (_sizes.length > 0 && _sizes[_sizes.length - 1] == size)) {
            if (anchors) _anchorHead();
            return;
        }
        bytes32 root = _root(0, size);
        _sizes.push(size);
        _roots.push(root);
        _checkpoints.push(Signing.checkpoint(KEY, address(_anchorLog), _logId, size, root));
        _cosigned.push(CourtSigning.cosign(WITNESS_KEY, address(_anchorLog), _logId, size, root));
        if (anchors) _anchorHead();
    }

    /// @dev Never past half of a pledge window without an anchor, never past an answer's.
    function pass(uint16 blocks) external {
        _answerAll();
        _roll(1 + blocks % 250);
        if (_now - _lastAnchor > MINIMUM / 3) this.sign(true);
    }

    function observe() external {
        _court.observe(_logId);
    }

    function rotate() external {
        if (_registry.getNode(_nodeId).nextKeyEpoch > 5) return;
        _addKey(_nodeId, 0x110 + _registry.getNode(_nodeId).nextKeyEpoch, 1);
    }

    function accuseHeads(uint256 i, uint256 j, bool link) external {
        if (_heads.length == 0) return;
        (i, j) = (i % _heads.length, j % _heads.length);
        (bytes32 x, bytes32 y) = Signing.publicKey(NODE_KEY);
        IFaultEvidence.HeadPair memory pair =
            IFaultEvidence.HeadPair(_heads[i], _signatures[i], _heads[j], _signatures[j], x, y);
        if (link) _accuse(abi.encodeCall(IFaultCourt.fileWrongLink, (pair, _nextSalt())));
        else _accuse(abi.encodeCall(IFaultCourt.fileTwoHeads, (pair, _nextSalt())));
    }

    function accuseHistories(uint256 i, uint256 j, uint64 index, bool ofWitness, bool againstAnchored) external {
        if (_sizes.length == 0) return;
        (i, j) = (i % _sizes.length, j % _sizes.length);
        index %= _sizes[i] < _sizes[j] ? _sizes[i] : _sizes[j];
        IFaultEvidence.State memory a = _stateOf(i, index, ofWitness);
        IFaultEvidence.State memory b = _stateOf(j, index, ofWitness);
        if (againstAnchored) b.signature = "";
        if (ofWitness) {
            _accuse(abi.encodeCall(IFaultCourt.fileTwoCosignatures, (_witness(), _logId, index, a, b, _nextSalt())));
        } else {
            _accuse(abi.encodeCall(IFaultCourt.fileTwoHistories, (_logId, index, a, b, _nextSalt())));
        }
    }

    function accusePledge(uint256 i, uint256 j, uint8 how, uint64 seenAt, bool missing, bool wrongLeaf) external {
        if (_pledges.length == 0 || _anchored == 0) return;
        i %= _pledges.length;
        if (wrongLeaf) {
            j %= _leaves.length;
            bytes32[] memory proof = _path(uint64(i) % _anchored, 0, _anchored);
            _accuse(abi.encodeCall(IFaultCourt.fileWrongLeaf, (_pledges[i], _leaves[j], _anchored, proof, _nextSalt())));
        } else {
            seenAt = how % 3 == 1 ? _sizes[seenAt % _sizes.length] : uint64(_now - seenAt % 3);
            _accuse(_unkeptWith(_pledges[i], missing, how % 3, seenAt));
        }
    }

    function challenge(uint64 index) external {
        if (_anchored == 0 || _cases.openCases(_logId) >= 5) return;
        index %= _anchored;
        uint256 bond = _cases.minimumBond(_logId, 17, 0);
        bytes memory data = abi.encodeCall(IFaultCases.challengeEntry, (_logId, index));
        (bool succeeded,) = _try(THIEF, address(_cases), data, bond);
        if (!succeeded) return;
        _challenged.push(index);
        _bonds += bond;
    }

    function expire(uint64 index) external {
        try _cases.expireCase(17, _logId, 0, bytes32(uint256(index % MOST))) {
            VM.assertTrue(false, "an honest log was slashed for silence");
        } catch { }
    }

    function takeCredit() external {
        uint256 amount = _cases.credit(OPERATOR);
        VM.prank(OPERATOR);
        try _cases.withdrawCredit() {
            _bonds -= amount;
        } catch { }
    }

    function check() external view {
        VM.assertEq(_stake.getSubject(_nodeId).index, 1e18, "the node was slashed");
        VM.assertEq(_stake.getSubject(_logId).index, 1e18, "the log was slashed");
        VM.assertEq(_stake.getSubject(_nodeId).endedAtBlock, 0, "the node was ended");
        VM.assertEq(_stake.getSubject(_logId).endedAtBlock, 0, "the log was ended");
        VM.assertEq(address(_cases).balance, _bonds, "coins = open bonds and credits");
        uint256 booked = _cases.credit(OPERATOR) + _cases.credit(THIEF) + _cases.credit(address(0));
        for (uint256 i = 0; i < _challenged.length; ++i) {
            booked += uint256(_cases.getCase(_faultId(17, _logId, 0, _challenged[i])).bondGwei) * 1 gwei;
        }
        VM.assertEq(booked, _bonds, "and each is booked once");
    }

    function _accuse(bytes memory data) private {
        _commit(REPORTER, data);
        _roll(REVEAL);
        (bool succeeded,) = _try(REPORTER, address(_court), data, 0);
        VM.assertFalse(succeeded, "an honest party was convicted");
    }

    function _answerAll() private {
        (bytes32 x, bytes32 y) = Signing.publicKey(NODE_KEY);
        while (_challenged.length > 0) {
            uint64 i = _challenged[_challenged.length - 1];
            _challenged.pop();
            IFaultEvidence.Inclusion memory place =
                IFaultEvidence.Inclusion(_logId, i, _anchored, _path(i, 0, _anchored));
            IFaultEvidence.SignedHead memory head = IFaultEvidence.SignedHead(_heads[i], _signatures[i], x, y);
            bytes memory entry =
                abi.encodePacked(uint8(1), CourtSigning.receiptHash(_heads[i]), _nodeId, i, uint8(4), uint8(0));
            VM.prank(ANYBODY);
            _cases.answerEntry(place, entry, head);
        }
    }

    function _anchorHead() private {
        _lastAnchor = _now;
        if (_sizes.length == 0) return;
        uint64 size = _sizes[_sizes.length - 1];
        if (size == _anchored) return;
        bytes32[] memory proof = _anchored == 0 ? new bytes32[](0) : _subproof(_anchored, 0, size, true);
        _anchor(_signed(size, _roots[_roots.length - 1], proof));
        _anchored = size;
    }

    function _stateOf(uint256 i, uint64 index, bool ofWitness) private view returns (IFaultEvidence.State memory) {
        bytes memory signature = ofWitness ? _cosigned[i] : _checkpoints[i];
        return IFaultEvidence.State(_sizes[i], _roots[i], signature, _leaves[index], _path(index, 0, _sizes[i]));
    }

    function _unkeptWith(IFaultEvidence.Pledge memory p, bool missing, uint8 how, uint64 seenAt)
        private
        returns (bytes memory)
    {
        return abi.encodeCall(IFaultCourt.fileUnkeptPledge, (p, missing, how, seenAt, _nextSalt()));
    }

    function _nextSalt() private returns (bytes32) {
        return bytes32(++_salt);
    }

    // The log's tree, from the definitions

    function _root(uint64 from, uint64 to) private view returns (bytes32) {
        if (to - from == 1) return _leaves[from];
        uint64 middle = from + _split(to - from);
        return sha256(abi.encodePacked(uint8(1), _root(from, middle), _root(middle, to)));
    }

    function _path(uint64 index, uint64 from, uint64 to) private view returns (bytes32[] memory) {
        if (to - from == 1) return new bytes32[](0);
        uint64 middle = from + _split(to - from);
        if (index < middle) return _with(_path(index, from, middle), _root(middle, to));
        return _with(_path(index, middle, to), _root(from, middle));
    }

    function _subproof(uint64 first, uint64 from, uint64 to, bool complete) private view returns (bytes32[] memory) {
        if (first == to) return complete ? new bytes32[](0) : _with(new bytes32[](0), _root(from, to));
        uint64 middle = from + _split(to - from);
        if (first <= middle) return _with(_subproof(first, from, middle, complete), _root(middle, to));
        return _with(_subproof(first, middle, to, false), _root(from, middle));
    }

    function _split(uint64 size) private pure returns (uint64 half) {
        half = 1;
        while (half * 2 < size) half *= 2;
    }

    function _with(bytes32[] memory list, bytes32 item) private pure returns (bytes32[] memory longer) {
        longer = new bytes32[](list.length + 1);
        for (uint256 i = 0; i < list.length; ++i) {
            longer[i] = list[i];
        }
        longer[list.length] = item;
    }
}

contract HonestInvariantTest {
    HonestHandler private _handler;

    function setUp() public {
        _handler = new HonestHandler();
    }

    function targetContracts() public view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(_handler);
    }

    function invariant_honestAreNeverSlashable() public view {
        _handler.check();
    }
}
