// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IFaultCourt } from "../src/interfaces/IFaultCourt.sol";
import { IFaultEvidence } from "../src/interfaces/IFaultEvidence.sol";
import { CourtFixture } from "./support/CourtFixture.sol";
import { CourtSigning } from "./support/CourtSigning.sol";
import { ReferenceTree } from "./support/ReferenceTree.sol";
import { Signing } from "./support/Signing.sol";
import { VM } from "./support/Vm.sol";

/// @notice The faults of logs and witnesses (F2 to F6); for a refusal everything else is right.
contract FaultCourtLogsTest is CourtFixture {
    function setUp() public {
        _deployAll();
        _bond(_logId, 1_000 ether, 3_000 ether);
        _bond(_nodeId, 1_000 ether, 0);
    }

    // F2

    function test_F2_sameSize() public {
        _file(_histories(_state(SALT, 9, 3, _checkpointOf(SALT, 9)), _state(FORKED, 9, 3, _checkpointOf(FORKED, 9)), 3));
        _expectSlashed(2, _logId, 0, 0);
    }

    function test_F2_twoSizes() public {
        _file(_histories(_state(SALT, 9, 3, _checkpointOf(SALT, 9)), _state(FORKED, 6, 3, _checkpointOf(FORKED, 6)), 3));
        _expectSlashed(2, _logId, 0, 0);
    }

    function test_F2_againstAnchored() public {
        _anchor(_step(0, 9));
        _file(_histories(_state(SALT, 9, 3, ""), _state(FORKED, 6, 3, _checkpointOf(FORKED, 6)), 3));
        _expectSlashed(2, _logId, 0, 0);
    }

    /// @dev One fault for a life: other pairs of the same two histories are not another.
    function test_F2_onceEver() public {
        test_F2_twoSizes();
        bytes memory again =
            _histories(_state(SALT, 8, 1, _checkpointOf(SALT, 8)), _state(FORKED, 8, 1, _checkpointOf(FORKED, 8)), 1);
        bytes32 faultId = _faultId(2, _logId, 0, 0);
        _expectRefused(again, abi.encodeWithSelector(IFaultCourt.AlreadyRecorded.selector, faultId));
    }

    function testFuzz_F2_honestHistoryNever(uint64 first, uint64 second, uint64 index) public {
        first = 1 + first % 40;
        second = 1 + second % 40;
        index %= first < second ? first : second;
        IFaultEvidence.State memory a = _state(SALT, first, index, _checkpointOf(SALT, first));
        IFaultEvidence.State memory b = _state(SALT, second, index, _checkpointOf(SALT, second));
        _expectRefused(_histories(a, b, index), abi.encodeWithSelector(IFaultEvidence.NotContradictory.selector));
    }

    function test_F2_refusals() public {
        IFaultEvidence.State memory a = _state(SALT, 9, 3, _checkpointOf(SALT, 9));
        IFaultEvidence.State memory b = _state(FORKED, 6, 3, _checkpointOf(FORKED, 6));
        _expectRefused(_histories(a, b, 2), abi.encodeWithSelector(IFaultEvidence.NotIncluded.selector));
        b.signature = _checkpointOf(FORKED, 7);
        _expectRefused(_histories(a, b, 3), abi.encodeWithSelector(IFaultEvidence.BadSignature.selector));
        b.signature = _cosignatureOf(FORKED, 6);
        _expectRefused(_histories(a, b, 3), abi.encodeWithSelector(IFaultEvidence.BadSignature.selector));
        b.signature = "";
        _expectRefused(
            _histories(a, b, 3), abi.encodeWithSelector(IFaultEvidence.NotAnchored.selector, _logId, uint64(6))
        );
        bytes memory data = abi.encodeCall(IFaultCourt.fileTwoHistories, (keccak256("no log"), uint64(3), a, b, RANDOM));
        _expectRefused(data, abi.encodeWithSelector(IFaultEvidence.UnknownLog.selector, keccak256("no log")));
    }

    // F6

    function test_F6() public {
        _file(_cosigned(_state(SALT, 9, 3, _cosignatureOf(SALT, 9)), _state(FORKED, 6, 3, _cosignatureOf(FORKED, 6))));
        _expectSlashed(6, _nodeId, 1, uint256(_logId));
    }

    /// @dev A witness that was shown one history only is not at fault for the one that was anchored.
    function test_F6_anchoredStateIsNoEvidence() public {
        _anchor(_step(0, 9));
        bytes memory data = _cosigned(_state(SALT, 9, 3, ""), _state(FORKED, 9, 3, _cosignatureOf(FORKED, 9)));
        _expectRefused(data, abi.encodeWithSelector(IFaultEvidence.BadSignature.selector));
    }

    function test_F6_refusals() public {
        IFaultEvidence.State memory a = _state(SALT, 9, 3, _cosignatureOf(SALT, 9));
        IFaultEvidence.State memory b = _state(SALT, 6, 3, _cosignatureOf(SALT, 6));
        _expectRefused(_cosigned(a, b), abi.encodeWithSelector(IFaultEvidence.NotContradictory.selector));
        b = _state(FORKED, 6, 3, _checkpointOf(FORKED, 6));
        _expectRefused(_cosigned(a, b), abi.encodeWithSelector(IFaultEvidence.BadSignature.selector));
        IFaultEvidence.Witness memory witness = _witness();
        witness.keyEpoch = 0;
        bytes memory data = abi.encodeCall(IFaultCourt.fileTwoCosignatures, (witness, _logId, uint64(3), a, b, RANDOM));
        _expectRefused(data, abi.encodeWithSelector(IFaultEvidence.UnknownSigner.selector, _nodeId, uint32(0)));
    }

    // F3

    function test_F3() public {
        _anchor(_step(0, 9));
        _file(_wrongLeaf(_pledge(keccak256("pledged"), 4, 90), ReferenceTree.leaf(SALT, 4), 4, 9));
        _expectSlashed(3, _logId, 0, 4);
    }

    function test_F3_refusals() public {
        _anchor(_step(0, 9));
        bytes32 leaf = ReferenceTree.leaf(SALT, 4);
        IFaultEvidence.Pledge memory p = _pledge(leaf, 4, 90);
        _expectRefused(_wrongLeaf(p, leaf, 4, 9), abi.encodeWithSelector(IFaultEvidence.LeafEqual.selector));
        p = _pledge(keccak256("pledged"), 5, 90);
        _expectRefused(_wrongLeaf(p, leaf, 4, 9), abi.encodeWithSelector(IFaultEvidence.NotIncluded.selector));
        p = _pledge(keccak256("pledged"), 4, 90);
        bytes memory reason = abi.encodeWithSelector(IFaultEvidence.NotAnchored.selector, _logId, uint64(8));
        _expectRefused(_wrongLeaf(p, leaf, 4, 8), reason);
        p.issuedAtBlock = 91;
        _expectRefused(_wrongLeaf(p, leaf, 4, 9), abi.encodeWithSelector(IFaultEvidence.BadSignature.selector));
    }

    // F4

    function test_F4_late_thenMissing() public {
        IFaultEvidence.Pledge memory p = _pledge(keccak256("pledged"), 3, 150);
        _rollTo(748);
        bytes memory early = abi.encodeWithSelector(IFaultEvidence.NotDue.selector, uint256(750), uint256(750));
        _expectRefused(_unkept(p, false, 0, 0), early);
        _file(_unkept(p, false, 0, 0));
        VM.assertTrue(_isRecorded(_faultId(4, _logId, 0, 1)), "late");
        (uint256 active,) = _stake.valueOf(_logId, OPERATOR);
        VM.assertEq(active, 990 ether, "one percent");
        VM.assertEq(_stake.getSubject(_logId).endedAtBlock, 0, "not ended");

        early = abi.encodeWithSelector(IFaultEvidence.NotDue.selector, uint256(754), uint256(1_350));
        _expectRefused(_unkept(p, true, 0, 0), early);
        _rollTo(1_351);
        _file(_unkept(p, true, 0, 0));
        _expectSlashed(104, _logId, 0, 1);
    }

    function test_F4_byStep() public {
        IFaultEvidence.Pledge memory p = _pledge(ReferenceTree.leaf(SALT, 3), 3, 150);
        _rollTo(751);
        _anchor(_step(0, 3));
        _anchor(_step(3, 9));
        _expectRefused(
            _unkept(p, false, 0, 0), abi.encodeWithSelector(IFaultEvidence.Kept.selector, uint64(3), uint64(9))
        );
        _expectRefused(
            _unkept(p, false, 1, 9), abi.encodeWithSelector(IFaultEvidence.Kept.selector, uint64(3), uint64(9))
        );
        _expectRefused(
            _unkept(p, false, 1, 4), abi.encodeWithSelector(IFaultEvidence.NotAnchored.selector, _logId, uint64(4))
        );
        _file(_unkept(p, false, 1, 3));
        VM.assertTrue(_isRecorded(_faultId(4, _logId, 0, 1)), "late");
    }

    /// @dev The attack: a late log anchors in front of the filing. Who observed in time still shows it.
    function test_F4_byObservation_afterFrontRunAnchor() public {
        IFaultEvidence.Pledge memory p = _pledge(ReferenceTree.leaf(SALT, 3), 3, 150);
        _rollTo(751);
        VM.expectEmit(address(_court));
        emit IFaultCourt.HeadObserved(_logId, 751, 0);
        _court.observe(_logId);
        _anchor(_step(0, 9));
        _expectRefused(
            _unkept(p, false, 0, 0), abi.encodeWithSelector(IFaultEvidence.Kept.selector, uint64(3), uint64(9))
        );
        _file(_unkept(p, false, 2, 751));
        VM.assertTrue(_isRecorded(_faultId(4, _logId, 0, 1)), "late");
        bytes memory reason = abi.encodeWithSelector(IFaultEvidence.NotObserved.selector, _logId, uint64(752));
        _expectRefused(_unkept(p, true, 2, 752), reason);
        _expectRefused(
            _unkept(p, true, 4, 751), abi.encodeWithSelector(IFaultEvidence.NotObserved.selector, _logId, uint64(751))
        );
    }

    /// @dev The first observation of a block stands: a later one of the same block cannot hide or invent lateness.
    function test_observe_oncePerBlock() public {
        _court.observe(_logId);
        _anchor(_step(0, 9));
        _court.observe(_logId);
        VM.assertEq(_court.observed(_logId, 100), 1, "size 0, plus one");
        VM.expectRevert(abi.encodeWithSelector(IFaultEvidence.UnknownLog.selector, _nodeId));
        _court.observe(_nodeId);
    }

    function test_F4_deadlineBeyondAllBlocks() public {
        IFaultEvidence.Pledge memory p = _pledge(keccak256("pledged"), 3, type(uint64).max);
        _rollTo(5_000);
        (bool succeeded,) = _try(REPORTER, address(_court), _unkept(p, false, 0, 0), 0);
        VM.assertFalse(succeeded, "no wrap");
    }

    // F5

    function test_F5() public {
        (bytes memory data,) = _falseEntry(74, true);
        _file(data);
        _expectSlashed(5, _logId, 0, 0);
    }

    function test_F5_refusals() public {
        (bytes memory data, bytes32 leaf) = _falseEntry(75, true);
        _expectRefused(data, abi.encodeWithSelector(IFaultEvidence.EntryCorrect.selector));
        (data,) = _falseEntry(5, false);
        _expectRefused(data, abi.encodeWithSelector(IFaultEvidence.OtherReceipt.selector));
        (data,) = _falseEntry(40, false);
        _expectRefused(data, abi.encodeWithSelector(IFaultEvidence.NotIncluded.selector));
        VM.assertTrue(leaf != 0, "anchored the right one");
    }

    function _falseEntry(uint256 wrongByte, bool anchored) private returns (bytes memory data, bytes32 leaf) {
        CourtSigning.HeadFields memory h = _fields(0, 0);
        bytes memory entry = CourtSigning.entry(h);
        if (wrongByte < 75) entry[wrongByte] ^= 0x01;
        leaf = CourtSigning.leafOf(entry);
        if (anchored) _anchor(_signed(1, leaf, new bytes32[](0)));
        IFaultEvidence.Inclusion memory place = IFaultEvidence.Inclusion(_logId, 0, 1, new bytes32[](0));
        IFaultEvidence.SignedHead memory head = CourtSigning.signedHead(NODE_KEY, h);
        data = abi.encodeCall(IFaultCourt.fileFalseEntry, (place, entry, head, RANDOM));
    }

    function _histories(IFaultEvidence.State memory a, IFaultEvidence.State memory b, uint64 index)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeCall(IFaultCourt.fileTwoHistories, (_logId, index, a, b, RANDOM));
    }

    function _cosigned(IFaultEvidence.State memory a, IFaultEvidence.State memory b)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeCall(IFaultCourt.fileTwoCosignatures, (_witness(), _logId, uint64(3), a, b, RANDOM));
    }

    function _wrongLeaf(IFaultEvidence.Pledge memory p, bytes32 leaf, uint64 index, uint64 size)
        private
        pure
        returns (bytes memory)
    {
        bytes32[] memory proof = ReferenceTree.inclusion(SALT, index, size);
        return abi.encodeCall(IFaultCourt.fileWrongLeaf, (p, leaf, size, proof, RANDOM));
    }

    function _expectSlashed(uint8 class, bytes32 subject, uint32 keyEpoch, uint256 incident) private view {
        VM.assertTrue(_isRecorded(_faultId(class, subject, keyEpoch, incident)), "recorded");
        (uint256 active, uint256 unbonding) = _stake.valueOf(subject, OPERATOR);
        VM.assertEq(active + unbonding, 0, "nothing left");
        VM.assertTrue(_stake.getSubject(subject).endedAtBlock != 0, "ended");
    }
}
