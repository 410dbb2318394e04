// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IAnchorLog } from "../src/interfaces/IAnchorLog.sol";
import { IFaultCases } from "../src/interfaces/IFaultCases.sol";
import { IFaultCourt } from "../src/interfaces/IFaultCourt.sol";
import { IFaultEvidence } from "../src/interfaces/IFaultEvidence.sol";
import { CourtFixture } from "./support/CourtFixture.sol";
import { CourtSigning } from "./support/CourtSigning.sol";
import { COURT_VM } from "./support/CourtVm.sol";
import { Signing } from "./support/Signing.sol";
import { VM } from "./support/Vm.sol";

/// @notice Ways to live on the bonds of those who ask.
contract CaseAttacksTest is CourtFixture {
    function setUp() public {
        _deployAll();
        _bond(_nodeId, 1_000 ether, 0);
    }

    /// @dev The attack: a receipt that lies in a log nobody knows looks young in a public one. Who demands an opening is
    /// shown the hidden place, gets no opening, and pays the node for it.
    function test_hiddenLogTakesNoBond() public {
        (CourtSigning.HeadFields memory h, bytes32 hidden, bytes memory demand) = _bait();
        uint256 bond = _cases.minimumBond(_nodeId, 18, 6);
        _send(REPORTER, address(_cases), demand, bond);
        _answerBefore(h, hidden);
        VM.assertEq(_cases.credit(OPERATOR), bond / 2, "what the answer cost");
        VM.assertEq(_cases.credit(REPORTER), bond - bond / 2, "the rest comes back");
        VM.assertEq(_cases.credit(address(0)), 0, "nothing to burn");
        VM.assertEq(_cases.openCases(_nodeId), 0, "closed");
    }

    /// @dev A subject that fills its places with such receipts would get its bonds back: a quarter of what doubling adds
    /// is burnt.
    function test_hiddenLogFillsNoPlacesForNothing() public {
        (CourtSigning.HeadFields memory h, bytes32 hidden, bytes memory demand) = _bait();
        uint256 base = _cases.minimumBond(_nodeId, 18, 6);
        _send(REPORTER, address(_cases), demand, 9 * base);
        _answerBefore(h, hidden);
        VM.assertEq(_cases.credit(OPERATOR), base / 2, "what the answer cost");
        VM.assertEq(_cases.credit(address(0)), 2 * base, "a quarter of eight");
        VM.assertEq(_cases.credit(REPORTER), 7 * base - base / 2, "the rest");
    }

    /// @dev Receipts that were in time in a public log are young for longer than two pledges last.
    function test_openWindowIsLongerThanPledges() public {
        IFaultCourt.Windows memory w = _windows();
        w.openWindowBlocks = uint32(2 * MINIMUM);
        VM.expectRevert(abi.encodeWithSelector(IFaultCourt.InvalidParameter.selector));
        VM.prank(address(_timelock));
        _court.setWindows(w);
        w.openWindowBlocks = uint32(2 * MINIMUM + 1);
        VM.prank(address(_timelock));
        _court.setWindows(w);
    }

    /// @dev The attack: the subject opens seven cases against itself, the eighth, honest one pays 128 bonds, and three
    /// quarters of them went to the subject.
    function test_doubledBondsDoNotProfitTheSubject() public {
        CourtSigning.HeadFields memory a = _fields(0, 0);
        CourtSigning.HeadFields memory b = _fields(1, 0);
        a.claimsRoot = _node(0, 16);
        b.claimsRoot = a.claimsRoot;
        bytes32 other = _register(0x203);
        _anchor(_signed(1, CourtSigning.leafOf(CourtSigning.entry(a)), new bytes32[](0)));
        _anchorIn(other, 0x203, 1, CourtSigning.leafOf(CourtSigning.entry(b)));
        uint8[6] memory open = [1, 6, 7, 8, 12, 13];
        uint256 base = _cases.minimumBond(_nodeId, 18, 6);
        uint256 spent = 0;
        for (uint256 i = 0; i < 6; ++i) {
            spent += _ask(THIEF, a, _logId, open[i]);
        }
        spent += _ask(THIEF, b, other, 1);
        VM.assertEq(spent, 127 * base, "put in");
        VM.assertEq(_ask(REPORTER, b, other, 6), 128 * base, "the eighth");
        for (uint256 i = 0; i < 6; ++i) {
            _cases.answerAbsent(CourtSigning.head(a), open[i], _path(open[i]));
        }
        _cases.answerAbsent(CourtSigning.head(b), 1, _path(1));
        _cases.answerAbsent(CourtSigning.head(b), 6, _path(6));
        VM.assertEq(_cases.credit(OPERATOR), 8 * (base - base / 4), "eight answers, none of the doubling");
        VM.assertEq(_cases.credit(address(0)), 255 * base - 8 * (base - base / 4), "the rest is burnt");
    }

    /// @dev What an answer earns follows the base fee of its own block, and never exceeds three quarters of the bond.
    /// (A call that is run as a transaction of its own sees no base fee here.)
    /// forge-config: default.isolate = false
    function test_payFollowsTheBaseFeeOfTheAnswer() public {
        CourtSigning.HeadFields memory h = _fields(0, 0);
        h.claimsRoot = _node(0, 16);
        _anchor(_signed(1, CourtSigning.leafOf(CourtSigning.entry(h)), new bytes32[](0)));
        COURT_VM.fee(50 gwei);
        uint256 first = _ask(REPORTER, h, _logId, 6);
        uint256 second = _ask(REPORTER, h, _logId, 7);
        COURT_VM.fee(10 gwei);
        _cases.answerAbsent(CourtSigning.head(h), 6, _path(6));
        uint256 credit = _cases.credit(OPERATOR);
        VM.assertEq(credit, 3 * 500_000 * 10 gwei / 2, "1.5 times the cost");
        VM.assertEq(_cases.credit(address(0)), first - credit, "the rest is burnt");
        COURT_VM.fee(1_000 gwei);
        _cases.answerAbsent(CourtSigning.head(h), 7, _path(7));
        VM.assertEq(_cases.credit(OPERATOR) - credit, second - second / 4, "three quarters of the bond at most");
        VM.assertEq(address(_cases).balance, first + second, "the balance is all credits");
        VM.assertEq(_cases.credit(OPERATOR) + _cases.credit(address(0)), first + second, "of which none is lost");
    }

    /// @dev A receipt in a hidden log, and later, in time, in the public one.
    function _bait() private returns (CourtSigning.HeadFields memory h, bytes32 hidden, bytes memory demand) {
        h = _fields(0, 0);
        h.claimsRoot = keccak256("a root that nothing opens");
        bytes32 leaf = CourtSigning.leafOf(CourtSigning.entry(h));
        hidden = _register(0x203);
        _anchorIn(hidden, 0x203, 1, leaf);
        _roll(uint256(_windows().openWindowBlocks) + 1);
        _court.observe(_logId);
        uint64 seenAt = uint64(_now);
        _roll(1);
        _anchor(_signed(1, leaf, new bytes32[](0)));
        IFaultEvidence.Inclusion memory place = IFaultEvidence.Inclusion(_logId, 0, 1, new bytes32[](0));
        IFaultEvidence.SignedHead memory head = CourtSigning.signedHead(NODE_KEY, h);
        demand = abi.encodeCall(IFaultCases.demandOpening, (head, place, 2, seenAt, 6));
    }

    function _answerBefore(CourtSigning.HeadFields memory h, bytes32 hidden) private {
        IFaultEvidence.Inclusion memory place = IFaultEvidence.Inclusion(hidden, 0, 1, new bytes32[](0));
        _cases.answerAnchoredBefore(CourtSigning.head(h), 6, place);
    }

    function _ask(address sender, CourtSigning.HeadFields memory h, bytes32 logId, uint8 slot)
        private
        returns (uint256 bond)
    {
        bond = _cases.minimumBond(_nodeId, 18, slot);
        IFaultEvidence.SignedHead memory head = CourtSigning.signedHead(NODE_KEY, h);
        IFaultEvidence.Inclusion memory place = IFaultEvidence.Inclusion(logId, 0, 1, new bytes32[](0));
        _send(sender, address(_cases), abi.encodeCall(IFaultCases.demandOpening, (head, place, 1, 0, slot)), bond);
    }

    function _anchorIn(bytes32 logId, uint256 key, uint64 size, bytes32 root) private {
        IAnchorLog.SignedStep[] memory steps = new IAnchorLog.SignedStep[](1);
        bytes memory signature = Signing.checkpoint(key, address(_anchorLog), logId, size, root);
        steps[0] = IAnchorLog.SignedStep(size, root, signature, new bytes32[](0));
        _anchorLog.anchor(logId, steps);
    }

    /// @dev A claims tree of unused slots, from its definition.
    function _node(uint256 from, uint256 to) private pure returns (bytes32) {
        if (to - from == 1) return sha256(abi.encodePacked(uint8(0), uint8(from)));
        uint256 middle = (from + to) / 2;
        return sha256(abi.encodePacked(uint8(1), _node(from, middle), _node(middle, to)));
    }

    function _path(uint256 slot) private pure returns (bytes32[4] memory path) {
        for (uint256 height = 0; height < 4; ++height) {
            uint256 width = 1 << height;
            uint256 sibling = (slot / width ^ 1) * width;
            path[height] = _node(sibling, sibling + width);
        }
    }
}
