// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IFaultCases } from "../src/interfaces/IFaultCases.sol";
import { IFaultCourt } from "../src/interfaces/IFaultCourt.sol";
import { IFaultEvidence } from "../src/interfaces/IFaultEvidence.sol";
import { CourtFixture } from "./support/CourtFixture.sol";
import { CourtSigning } from "./support/CourtSigning.sol";
import { ReferenceTree } from "./support/ReferenceTree.sol";
import { VM } from "./support/Vm.sol";

/// @notice A log that breaks a pledge by covering its place with a subtree of which nobody knows a leaf: the append is
/// consistent, so the pledge looks kept, and no leaf can be shown to be another one.
contract WithheldAttacksTest is CourtFixture {
    bytes32 private constant NOTHING = keccak256("a subtree of which nobody knows a leaf");

    function setUp() public {
        _deployAll();
    }

    /// @dev The attack: one capped F17 instead of all that a missing pledge costs.
    function test_nothingInThePlaceOfAPledge() public {
        _bond(_logId, 1_000 ether, 0);
        IFaultEvidence.Pledge memory p = _brokenPledge(500);
        // By the sizes alone it is kept for ever, and no leaf can be shown.
        _rollTo(uint256(p.issuedAtBlock) + 1_201);
        bytes memory kept = abi.encodeWithSelector(IFaultEvidence.Kept.selector, uint64(8), uint64(10));
        _expectRefused(_unkept(p, true, 0, 0), kept);
        bytes32[] memory proof = new bytes32[](2);
        (proof[0], proof[1]) = (NOTHING, ReferenceTree.root(SALT, 8));
        _expectRefused(
            abi.encodeCall(IFaultCourt.fileWrongLeaf, (p, NOTHING, 10, proof, RANDOM)),
            abi.encodeWithSelector(IFaultEvidence.NotIncluded.selector)
        );
        _challengeAndExpire(REPORTER, 8);
        VM.assertEq(_stake.getSubject(_logId).index, 0.8e18, "withheld: a fifth");
        _roll(601);
        _file(_unkept(p, true, 3, 0));
        VM.assertTrue(_isRecorded(_faultId(104, _logId, 0, 1)), "on record as missing");
        VM.assertEq(_stake.getSubject(_logId).index, 0, "all of it");
    }

    /// @dev The attack: the cap of the window is used up before anything is staked, and both case ids are used up by the
    /// operator itself. Then a fully bonded log breaks a pledge for nothing.
    function test_bondedLogBreaksAPledgeForNothing() public {
        _anchor(_step(0, 8));
        _challengeAndExpire(THIEF, 0);
        _bond(_logId, 1_000 ether, 4_000 ether);
        IFaultEvidence.Pledge memory p = _pledge(keccak256("leaf of the victim"), 8, uint64(_now));
        _roll(1);
        VM.prank(OPERATOR);
        _stake.retire(_logId);
        _roll(500);
        _appendNothing();
        _challengeAndExpire(THIEF, 8);
        VM.assertEq(_stake.getSubject(_logId).index, 0.8e18, "withheld: a fifth of what came later, too");
        _challengeAndExpire(THIEF, 9);
        _rollTo(uint256(p.issuedAtBlock) + 2_000);
        _file(_unkept(p, true, 3, 0));
        VM.assertEq(_stake.getSubject(_logId).index, 0, "all of it");
    }

    /// @dev Missing only, and nothing is named beside: neither lateness nor a block has a meaning here.
    function test_onlyMissing() public {
        IFaultEvidence.Pledge memory p = _brokenPledge(500);
        _challengeAndExpire(REPORTER, 8);
        _roll(1_500);
        bytes memory reason = abi.encodeWithSelector(IFaultEvidence.NotWithheld.selector, _logId, uint64(8));
        _expectRefused(_unkept(p, false, 3, 0), reason);
        _expectRefused(_unkept(p, true, 3, 1), reason);
        _expectRefused(_unkept(p, true, 4, 0), abi.encodeWithSelector(IFaultEvidence.NotObserved.selector, _logId, 0));
    }

    /// @dev What protects an honest log: a case that is open, answered, or of another index shows nothing.
    function test_onlyAnExpiredCaseOfThisIndex() public {
        IFaultEvidence.Pledge memory p = _brokenPledge(500);
        bytes memory reason = abi.encodeWithSelector(IFaultEvidence.NotWithheld.selector, _logId, uint64(8));
        _rollTo(uint256(p.issuedAtBlock) + 2_000);
        _expectRefused(_unkept(p, true, 3, 0), reason);
        _challengeAndExpire(REPORTER, 9);
        _roll(1_000);
        _expectRefused(_unkept(p, true, 3, 0), reason);
        uint256 bond = _cases.minimumBond(_logId, 17, 0);
        _send(REPORTER, address(_cases), abi.encodeCall(IFaultCases.challengeEntry, (_logId, uint64(8))), bond);
        _roll(2_000);
        _expectRefused(_unkept(p, true, 3, 0), reason);
    }

    /// @dev The grace runs from the deadline and from the last block of the case, whichever is later: a log that could not
    /// reach the chain while the case was open has it once more to show the entry.
    function test_graceAfterTheCase() public {
        IFaultEvidence.Pledge memory p = _brokenPledge(500);
        _rollTo(uint256(p.issuedAtBlock) + 5_000);
        uint256 opened = _now;
        _challengeAndExpire(REPORTER, 8);
        _rollTo(opened + 300 + 600 - REVEAL);
        bytes memory reason = abi.encodeWithSelector(IFaultEvidence.NotDue.selector, opened + 900, opened + 900);
        _expectRefused(_unkept(p, true, 3, 0), reason);
        _file(_unkept(p, true, 3, 0));
    }

    /// @dev And from the deadline when the case was over before it.
    function test_graceAfterTheDeadline() public {
        IFaultEvidence.Pledge memory p = _brokenPledge(0);
        uint256 due = uint256(p.issuedAtBlock) + 1_200;
        _challengeAndExpire(REPORTER, 8);
        VM.assertTrue(_now + 600 < due + REVEAL, "the case ended long before");
        _rollTo(due - REVEAL);
        _expectRefused(_unkept(p, true, 3, 0), abi.encodeWithSelector(IFaultEvidence.NotDue.selector, due, due));
        _file(_unkept(p, true, 3, 0));
    }

    /// @dev Stake that begins to leave with the pledge is still there when the longest case is filed: covered in the last
    /// block of the grace, demanded then, with the grace after the case and the time for evidence.
    function test_stakeOutlastsTheLongestCase() public {
        _bond(_logId, 1_000 ether, 0);
        _anchor(_step(0, 8));
        IFaultEvidence.Pledge memory p = _pledge(keccak256("leaf of the victim"), 8, uint64(_now));
        VM.prank(OPERATOR);
        _stake.retire(_logId);
        _roll(600 + 600);
        _appendNothing();
        _challengeAndExpire(REPORTER, 8);
        _roll(600 + _windows().evidenceBlocks);
        VM.assertTrue(_now < _stake.exitBlock(_logId), "nothing has left");
        _file(_unkept(p, true, 3, 0));
        VM.assertEq(_stake.getSubject(_logId).index, 0, "all of it");
    }

    /// @dev Windows in which that would not hold are refused.
    function test_graceIsNotLongerThanTheOpenWindow() public {
        IFaultCourt.Windows memory w = _windows();
        (w.graceBlocks, w.evidenceBlocks) = (w.openWindowBlocks + 1, REVEAL + 1);
        VM.prank(address(_timelock));
        VM.expectRevert(abi.encodeWithSelector(IFaultCourt.InvalidParameter.selector));
        _court.setWindows(w);
    }

    /// @dev An honest log that missed the time of the case still shows the entry: it is paid nothing and F17 stays on
    /// record, but the pledge is not missing.
    function test_lateAnswer() public {
        CourtSigning.HeadFields memory h = _fields(0, 0);
        bytes32 leaf = CourtSigning.leafOf(CourtSigning.entry(h));
        _bond(_logId, 1_000 ether, 0);
        IFaultEvidence.Pledge memory p = _pledge(leaf, 0, uint64(_now));
        _anchor(_signed(1, leaf, new bytes32[](0)));
        _challengeAndExpire(REPORTER, 0);
        uint256 credit = _cases.credit(REPORTER);
        IFaultEvidence.Inclusion memory place = IFaultEvidence.Inclusion(_logId, 0, 1, new bytes32[](0));
        bytes memory answer = abi.encodeCall(
            IFaultCases.answerEntry, (place, CourtSigning.entry(h), CourtSigning.signedHead(NODE_KEY, h))
        );
        _send(ANYBODY, address(_cases), answer, 0);
        bytes32 caseId = _faultId(17, _logId, 0, 0);
        VM.assertEq(_cases.getCase(caseId).state, 2, "answered");
        VM.assertEq(_cases.openCases(_logId), 0, "counted down once");
        VM.assertEq(_cases.credit(OPERATOR), 0, "nobody is paid");
        VM.assertEq(_cases.credit(address(0)), 0, "nothing is burnt");
        VM.assertEq(_cases.credit(REPORTER), credit, "the challenger keeps its bond");
        VM.assertTrue(_isRecorded(caseId), "withheld stays on record");
        _roll(2_000);
        _expectRefused(
            _unkept(p, true, 3, 0), abi.encodeWithSelector(IFaultEvidence.NotWithheld.selector, _logId, uint64(0))
        );
        (bool again,) = _try(ANYBODY, address(_cases), answer, 0);
        VM.assertFalse(again, "answered once");
    }

    /// @dev One incident, however it is shown.
    function test_oneFaultWithTheOtherForms() public {
        _anchor(_step(0, 8));
        IFaultEvidence.Pledge memory p = _pledge(keccak256("leaf of the victim"), 8, uint64(_now));
        _roll(1_201);
        _file(_unkept(p, true, 0, 0));
        _appendNothing();
        _challengeAndExpire(REPORTER, 8);
        _roll(601);
        bytes32 faultId = _faultId(104, _logId, 0, (uint256(p.issuedAtBlock) + MINIMUM) / 600);
        _expectRefused(_unkept(p, true, 3, 0), abi.encodeWithSelector(IFaultCourt.AlreadyRecorded.selector, faultId));
    }

    /// @dev Index 8 is pledged, then covered by nothing.
    function _brokenPledge(uint256 blocks) private returns (IFaultEvidence.Pledge memory p) {
        _anchor(_step(0, 8));
        p = _pledge(keccak256("leaf of the victim"), 8, uint64(_now));
        _roll(blocks);
        _appendNothing();
    }

    function _appendNothing() private {
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = NOTHING;
        _anchor(_signed(10, sha256(abi.encodePacked(uint8(1), ReferenceTree.root(SALT, 8), NOTHING)), proof));
    }

    function _challengeAndExpire(address challenger, uint64 index) private {
        uint256 bond = _cases.minimumBond(_logId, 17, 0);
        _send(challenger, address(_cases), abi.encodeCall(IFaultCases.challengeEntry, (_logId, index)), bond);
        _roll(301);
        _cases.expireCase(17, _logId, 0, bytes32(uint256(index)));
    }
}
