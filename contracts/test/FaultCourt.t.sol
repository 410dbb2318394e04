// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { FaultCourt } from "../src/FaultCourt.sol";
import { StakeManager } from "../src/StakeManager.sol";
import { IFaultCourt } from "../src/interfaces/IFaultCourt.sol";
import { IFaultEvidence } from "../src/interfaces/IFaultEvidence.sol";
import { ITimelocked } from "../src/interfaces/ITimelocked.sol";
import { CourtFixture } from "./support/CourtFixture.sol";
import { CourtSigning } from "./support/CourtSigning.sol";
import { COURT_VM } from "./support/CourtVm.sol";
import { Signing } from "./support/Signing.sol";
import { VM } from "./support/Vm.sol";

/// @notice Parameters, commitments and the faults of heads (F1, F13); for a refusal everything else is right.
contract FaultCourtTest is CourtFixture {
    bytes4 private constant BAD = IFaultEvidence.BadSignature.selector;

    function setUp() public {
        _deployAll();
        _bond(_nodeId, 1_000 ether, 3_000 ether);
    }

    // Construction and parameters

    function test_constructor() public view {
        (address stake, address anchorLog, address registry, address cases) = _court.contracts();
        VM.assertEq(stake, address(_stake), "stake");
        VM.assertEq(anchorLog, address(_anchorLog), "anchorLog");
        VM.assertEq(registry, address(_registry), "registry");
        VM.assertEq(cases, address(_cases), "cases");
        VM.assertEq(_court.timelock(), address(_timelock), "timelock");
        VM.assertEq(_court.exposureBlocks(), 600 + 600 + 1_300 + 300 + 600, "exposure");
        VM.assertEq(abi.encode(_court.getPenalties()), abi.encode(_penalties()), "penalties");
        VM.assertEq(abi.encode(_court.getWindows()), abi.encode(_windows()), "windows");
    }

    function test_constructor_refusals() public {
        VM.expectRevert(abi.encodeWithSelector(IFaultCourt.CourtMismatch.selector, address(_court)));
        new FaultCourt(address(_timelock), _stake, address(_cases), 600, 14_400, _penalties(), _windows());
        COURT_VM.warp(1);
        VM.mockCall(address(_timelock), abi.encodeWithSignature("getMinDelay()"), abi.encode(uint256(3_600)));
        VM.expectRevert(abi.encodeWithSelector(ITimelocked.TimelockTooShort.selector, 2 days, 3_600));
        new StakeManager(address(_timelock), _token, address(_court), _registry, _anchorLog, UNBOND, 20);
        VM.clearMockedCalls();
    }

    function test_parameters_onlyTimelock() public {
        VM.expectRevert(abi.encodeWithSelector(ITimelocked.NotTimelock.selector, ANYBODY));
        VM.prank(ANYBODY);
        _court.setPenalties(_penalties());
        VM.expectRevert(abi.encodeWithSelector(ITimelocked.NotTimelock.selector, ANYBODY));
        VM.prank(ANYBODY);
        _court.setWindows(_windows());
    }

    /// @dev The attack: a timelock that shortened its own delay slips a change past those who would leave.
    function test_parameters_loosenedTimelockIsPowerless() public {
        VM.mockCall(address(_timelock), abi.encodeWithSignature("getMinDelay()"), abi.encode(uint256(60)));
        VM.expectRevert(abi.encodeWithSelector(ITimelocked.TimelockTooShort.selector, 2 days, 60));
        VM.prank(address(_timelock));
        _court.setPenalties(_penalties());
        VM.clearMockedCalls();
    }

    function test_setPenalties_throughTheTimelock() public {
        IFaultCourt.Penalties memory p = _penalties();
        p.latePledge = 2;
        bytes memory data = abi.encodeCall(IFaultCourt.setPenalties, (p));
        VM.prank(PROPOSER);
        _timelock.schedule(address(_court), 0, data, 0, 0, 2 days);
        COURT_VM.warp(block.timestamp + 2 days);
        VM.expectEmit(address(_court));
        emit IFaultCourt.PenaltiesSet(p);
        VM.prank(PROPOSER);
        _timelock.execute(address(_court), 0, data, 0, 0);
        VM.assertEq(_court.getPenalties().latePledge, 2, "set");
    }

    function test_setPenalties_ranges() public {
        IFaultCourt.Penalties memory p = _penalties();
        p.reward = 51;
        _expectInvalid(abi.encodeCall(IFaultCourt.setPenalties, (p)));
        p = _penalties();
        p.twoHeads = 101;
        _expectInvalid(abi.encodeCall(IFaultCourt.setPenalties, (p)));
        p = _penalties();
        p.cap = 0;
        _expectInvalid(abi.encodeCall(IFaultCourt.setPenalties, (p)));
        IFaultCourt.Windows memory w = _windows();
        w.revealBlocks = 7_201;
        _expectInvalid(abi.encodeCall(IFaultCourt.setWindows, (w)));
        w = _windows();
        w.graceBlocks = 0;
        _expectInvalid(abi.encodeCall(IFaultCourt.setWindows, (w)));
    }

    /// @dev The attack: evidence that may be filed only when the time for it is over.
    function test_setWindows_whoCommitsMustHaveTimeLeftToFile() public {
        IFaultCourt.Windows memory w = _windows();
        (w.revealBlocks, w.evidenceBlocks) = (600, 600);
        _expectInvalid(abi.encodeCall(IFaultCourt.setWindows, (w)));
        w.revealBlocks = 599;
        VM.prank(address(_timelock));
        _court.setWindows(w);
    }

    /// @dev The attack: a floor that no bond of 48 bits reaches, so that nobody can open a case any more.
    function test_setWindows_eightBondsMustFit() public {
        IFaultCourt.Windows memory w = _windows();
        w.bondFloorGwei = 2 ** 41;
        _expectInvalid(abi.encodeCall(IFaultCourt.setWindows, (w)));
        w.bondFloorGwei = 2 ** 41 - 1;
        VM.prank(address(_timelock));
        _court.setWindows(w);
        VM.assertTrue(uint256(w.bondFloorGwei) << 7 <= type(uint48).max, "the eighth bond fits");
    }

    /// @dev The attack: windows that outlast stake on its way out, so that a fault is judged when nothing is left.
    function test_setWindows_stakeMustOutlastThem() public {
        IFaultCourt.Windows memory w = _windows();
        w.evidenceBlocks = 700;
        VM.prank(address(_timelock));
        VM.expectRevert(abi.encodeWithSelector(IFaultCourt.ExposureTooLong.selector, UNBOND, UNBOND));
        _court.setWindows(w);
    }

    // Commitments

    function test_commit() public {
        bytes32 commitment = keccak256("commitment");
        VM.expectEmit(address(_court));
        emit IFaultCourt.Committed(commitment, 102);
        VM.prank(REPORTER);
        _court.commit(commitment);
        _roll(1);
        VM.prank(THIEF);
        _court.commit(commitment);
        VM.assertEq(_court.committedFrom(commitment), 102, "the first stays");
    }

    function test_file_notCommitted() public {
        bytes memory data = _twoHeads(7);
        bytes32 commitment = _commitment(REPORTER, data);
        bytes memory reason = abi.encodeWithSelector(IFaultCourt.NotCommitted.selector, commitment);
        _expectReason(REPORTER, data, reason);
        _commit(REPORTER, data);
        _roll(REVEAL - 1);
        _expectReason(REPORTER, data, reason);
        _roll(1);
        _send(REPORTER, address(_court), data, 0);
        _expectReason(REPORTER, data, reason);
    }

    // F1

    function test_F1() public {
        bytes memory data = _twoHeads(7);
        bytes32 faultId = _faultId(1, _nodeId, 0, 7);
        _commit(REPORTER, data);
        _roll(REVEAL);
        VM.expectEmit(address(_court));
        emit IFaultCourt.FaultRecorded(faultId, _nodeId, REPORTER, 1, 0, bytes32(uint256(7)));
        VM.prank(REPORTER);
        (bool succeeded,) = address(_court).call(data);
        VM.assertTrue(succeeded, "filed");
        (address reporter, uint256 reward, uint8 class) = _court.getFault(faultId);
        VM.assertEq(reporter, REPORTER, "reporter");
        VM.assertEq(reward, 250 ether, "a quarter of the self-bond");
        VM.assertEq(class, 1, "class");
        VM.assertTrue(_stake.getSubject(_nodeId).endedAtBlock != 0, "ended");

        _court.claimReward(1, _nodeId, 0, bytes32(uint256(7)));
        VM.assertEq(_token.balanceOf(REPORTER), 250 ether, "paid");
        VM.expectRevert(abi.encodeWithSelector(IFaultCourt.NoReward.selector, faultId));
        _court.claimReward(1, _nodeId, 0, bytes32(uint256(7)));
    }

    function test_F1_onceEver() public {
        _file(_twoHeads(7));
        CourtSigning.HeadFields memory a = _fields(7, keccak256("previous"));
        CourtSigning.HeadFields memory b = _fields(7, keccak256("other previous"));
        bytes32 faultId = _faultId(1, _nodeId, 0, 7);
        _expectRefused(_heads(a, b), abi.encodeWithSelector(IFaultCourt.AlreadyRecorded.selector, faultId));
    }

    function test_F1_refusals() public {
        CourtSigning.HeadFields memory a = _fields(7, keccak256("previous"));
        CourtSigning.HeadFields memory b = _fields(7, keccak256("previous"));
        _expectRefused(_heads(a, b), abi.encodeWithSelector(IFaultEvidence.SameHead.selector));
        b.claimsRoot = keccak256("other claims");
        b.sequence = 8;
        _expectRefused(_heads(a, b), abi.encodeWithSelector(IFaultEvidence.FieldsDiffer.selector));
        b.sequence = 7;
        (a.keyEpoch, b.keyEpoch) = (1, 1);
        bytes memory unknown = abi.encodeWithSelector(IFaultEvidence.UnknownSigner.selector, _nodeId, uint32(1));
        _expectRefused(_heads(a, b), unknown);
        (a.keyEpoch, b.keyEpoch) = (2, 2);
        unknown = abi.encodeWithSelector(IFaultEvidence.UnknownSigner.selector, _nodeId, uint32(2));
        _expectRefused(_heads(a, b), unknown);
        (a.keyEpoch, b.keyEpoch) = (0, 0);

        IFaultEvidence.HeadPair memory heads = _pair(NODE_KEY, CourtSigning.head(a), CourtSigning.head(b));
        heads.headB[0] = 0x02;
        _expectRefused(_twoHeadsOf(heads), abi.encodeWithSelector(IFaultEvidence.MalformedHead.selector));
        heads.headB = bytes.concat(CourtSigning.head(b), hex"00");
        _expectRefused(_twoHeadsOf(heads), abi.encodeWithSelector(IFaultEvidence.MalformedHead.selector));
        heads = _pair(NODE_KEY, CourtSigning.head(a), CourtSigning.head(b));
        heads.signatureB = heads.signatureA;
        _expectRefused(_twoHeadsOf(heads), abi.encodeWithSelector(BAD));
        heads = _pair(NODE_KEY, CourtSigning.head(a), CourtSigning.head(b));
        heads.signatureA = Signing.malleate(heads.signatureA);
        _expectRefused(_twoHeadsOf(heads), abi.encodeWithSelector(BAD));
    }

    /// @dev A witness's key signs no receipts: another role is another signer, though the key is registered.
    function test_F1_keyOfAnotherRole() public {
        CourtSigning.HeadFields memory a = _fields(7, keccak256("previous"));
        CourtSigning.HeadFields memory b = _fields(7, keccak256("other"));
        (a.keyEpoch, b.keyEpoch) = (1, 1);
        IFaultEvidence.HeadPair memory heads = _pair(WITNESS_KEY, CourtSigning.head(a), CourtSigning.head(b));
        bytes memory reason = abi.encodeWithSelector(IFaultEvidence.UnknownSigner.selector, _nodeId, uint32(1));
        _expectRefused(_twoHeadsOf(heads), reason);
    }

    /// @dev Two signatures over one head are one statement: ECDSA is randomised.
    function test_F1_twoSignaturesOverOneHead() public {
        bytes memory head = CourtSigning.head(_fields(7, keccak256("previous")));
        _expectRefused(
            _twoHeadsOf(_pair(NODE_KEY, head, head)), abi.encodeWithSelector(IFaultEvidence.SameHead.selector)
        );
    }

    /// @dev Unknown bits and an ended key are no way out.
    function test_F1_unknownBitsAndEndedKey() public {
        VM.prank(OPERATOR);
        _registry.endKey(_nodeId, 0);
        CourtSigning.HeadFields memory a = _fields(7, keccak256("previous"));
        CourtSigning.HeadFields memory b = _fields(7, keccak256("previous"));
        (b.modeBits, b.flags) = (0xf0, 0xf0);
        _file(_heads(a, b));
        VM.assertTrue(_isRecorded(_faultId(1, _nodeId, 0, 7)), "recorded");
    }

    function test_F1_withoutStake() public {
        VM.prank(OPERATOR);
        bytes32 nodeId = _registry.registerNode("https://other.example", 0, 1);
        _addKey(nodeId, 0x109, 1);
        CourtSigning.HeadFields memory a = _fields(7, keccak256("previous"));
        a.nodeId = nodeId;
        CourtSigning.HeadFields memory b = _fields(7, keccak256("other"));
        b.nodeId = nodeId;
        _file(_twoHeadsOf(_pair(0x109, CourtSigning.head(a), CourtSigning.head(b))));
        VM.assertTrue(_isRecorded(_faultId(1, nodeId, 0, 7)), "recorded");
        VM.assertTrue(_stake.getSubject(nodeId).endedAtBlock != 0, "can never be bonded");
    }

    function testFuzz_F1_oneFlippedBit(uint256 bit, bool second) public {
        CourtSigning.HeadFields memory a = _fields(7, keccak256("previous"));
        CourtSigning.HeadFields memory b = _fields(7, keccak256("other"));
        IFaultEvidence.HeadPair memory heads = _pair(NODE_KEY, CourtSigning.head(a), CourtSigning.head(b));
        if (second) heads.headB = Signing.flip(heads.headB, bit % (139 * 8));
        else heads.signatureA = Signing.flip(heads.signatureA, bit % 512);
        bytes memory data = _twoHeadsOf(heads);
        _commit(REPORTER, data);
        _roll(REVEAL);
        (bool succeeded,) = _try(REPORTER, address(_court), data, 0);
        VM.assertFalse(succeeded, "a changed bit was accepted");
    }

    // F13

    function test_F13() public {
        CourtSigning.HeadFields memory a = _fields(7, keccak256("previous"));
        CourtSigning.HeadFields memory b = _fields(8, keccak256("not the hash"));
        _file(_linkOf(a, b));
        VM.assertTrue(_isRecorded(_faultId(13, _nodeId, 0, 8)), "recorded");
    }

    function test_F13_refusals() public {
        CourtSigning.HeadFields memory a = _fields(7, keccak256("previous"));
        CourtSigning.HeadFields memory b = _fields(8, CourtSigning.receiptHash(CourtSigning.head(a)));
        _expectRefused(_linkOf(a, b), abi.encodeWithSelector(IFaultEvidence.LinkCorrect.selector));
        b.previous = keccak256("not the hash");
        b.sequence = 9;
        _expectRefused(_linkOf(a, b), abi.encodeWithSelector(IFaultEvidence.FieldsDiffer.selector));
        (a.sequence, b.sequence) = (type(uint64).max, 0);
        _expectRefused(_linkOf(a, b), abi.encodeWithSelector(IFaultEvidence.FieldsDiffer.selector));
        (a.sequence, b.sequence, b.keyEpoch) = (7, 8, 1);
        _expectRefused(_linkOf(a, b), abi.encodeWithSelector(IFaultEvidence.FieldsDiffer.selector));
    }

    function _heads(CourtSigning.HeadFields memory a, CourtSigning.HeadFields memory b)
        private
        pure
        returns (bytes memory)
    {
        return _twoHeadsOf(_pair(NODE_KEY, CourtSigning.head(a), CourtSigning.head(b)));
    }

    function _twoHeadsOf(IFaultEvidence.HeadPair memory heads) private pure returns (bytes memory) {
        return abi.encodeCall(IFaultCourt.fileTwoHeads, (heads, RANDOM));
    }

    function _linkOf(CourtSigning.HeadFields memory a, CourtSigning.HeadFields memory b)
        private
        pure
        returns (bytes memory)
    {
        IFaultEvidence.HeadPair memory heads = _pair(NODE_KEY, CourtSigning.head(a), CourtSigning.head(b));
        return abi.encodeCall(IFaultCourt.fileWrongLink, (heads, RANDOM));
    }

    function _expectReason(address sender, bytes memory data, bytes memory reason) private {
        (bool succeeded, bytes memory answer) = _try(sender, address(_court), data, 0);
        VM.assertFalse(succeeded, "accepted");
        VM.assertEq(answer, reason, "reason");
    }

    function _expectInvalid(bytes memory data) private {
        _expectReason(address(_timelock), data, abi.encodeWithSelector(IFaultCourt.InvalidParameter.selector));
    }
}
