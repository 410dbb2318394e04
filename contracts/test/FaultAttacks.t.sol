// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { P256 } from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import { FaultCases } from "../src/FaultCases.sol";
import { FaultCourt } from "../src/FaultCourt.sol";
import { NodeRegistry } from "../src/NodeRegistry.sol";
import { StakeManager } from "../src/StakeManager.sol";
import { IAnchorLog } from "../src/interfaces/IAnchorLog.sol";
import { IFaultCourt } from "../src/interfaces/IFaultCourt.sol";
import { IFaultEvidence } from "../src/interfaces/IFaultEvidence.sol";
import { IStakeManager } from "../src/interfaces/IStakeManager.sol";
import { CourtFixture } from "./support/CourtFixture.sol";
import { CourtSigning } from "./support/CourtSigning.sol";
import { COURT_VM } from "./support/CourtVm.sol";
import { ReferenceTree } from "./support/ReferenceTree.sol";
import { Signing } from "./support/Signing.sol";
import { VM } from "./support/Vm.sol";

/// @notice One test for each attack that a rule of spec/faults.md or spec/stake.md stops.
contract FaultAttacksTest is CourtFixture {
    function setUp() public {
        _deployAll();
        _bond(_nodeId, 1_000 ether, 4_000 ether);
        _bond(_logId, 1_000 ether, 4_000 ether);
    }

    /// @dev 10^5 late pledges of one outage: deadlines 700 to 1,199 lie in one window of 600, so they have one fault id.
    /// The first is filed; the ids of all others are compared, and a sample of them is filed and refused.
    function test_manyLatePledgesOfOneOutage() public {
        _rollTo(1_300);
        _court.observe(_logId);
        _file(_unkept(_pledge(keccak256("first"), 0, 100), false, 2, 1_300));
        bytes32 faultId = _faultId(4, _logId, 0, 1);
        for (uint256 i = 1; i < 100_000; ++i) {
            uint256 deadline = 100 + i % 500 + MINIMUM;
            if (deadline / 600 != 1) VM.assertTrue(false, "another incident");
        }
        uint256 left = _stake.getSubject(_logId).index;
        for (uint64 i = 1; i < 25; ++i) {
            bytes memory data = _unkept(_pledge(keccak256(abi.encode(i)), i, 100 + 20 * i), false, 2, 1_300);
            _expectRefused(data, abi.encodeWithSelector(IFaultCourt.AlreadyRecorded.selector, faultId));
        }
        VM.assertEq(_stake.getSubject(_logId).index, left, "one percent once");
        VM.assertEq(left, 0.99e18, "one percent");
    }

    /// @dev An outage over very many windows of deadlines stays below the cap, in whatever order it is filed.
    function testFuzz_lateNeverAboveTheCap(uint256 seed) public {
        _rollTo(14_400);
        _court.observe(_logId);
        uint256 filed = 0;
        for (uint64 i = 0; i < 24; ++i) {
            uint64 window = uint64((seed >> (8 * i)) % 22);
            if (_isRecorded(_faultId(4, _logId, 0, 1 + window))) continue;
            _file(_unkept(_pledge(keccak256("late"), 0, window * 600), false, 2, 14_400));
            ++filed;
        }
        VM.assertTrue(_stake.getSubject(_logId).capUsed <= 20 << 16, "counter");
        VM.assertTrue(_stake.getSubject(_logId).index >= 0.8e18, "at most the cap of this window");
    }

    /// @dev Older windows do not make room in the counter of the newest.
    function test_capIsNotResetByOlderWindows() public {
        address court = address(_court);
        for (uint32 window = 9; window > 0; --window) {
            VM.prank(court);
            _stake.slash(_logId, 15, 20, 25, window, false);
        }
        VM.assertEq(_stake.getSubject(_logId).capUsed, 20 << 16, "15 and 5");
        VM.prank(court);
        _stake.slash(_logId, 15, 20, 25, 10, false);
        VM.assertEq(_stake.getSubject(_logId).capUsed, 15 << 16, "a newer window");
    }

    /// @dev An operator with little of its own and much delegated reports itself through another account.
    function testFuzz_selfReportOnDelegatedStakeDoesNotPay(uint96 self, uint96 delegated) public {
        uint256 own = 1 ether + uint256(self) % 900_000 ether;
        uint256 others = uint256(delegated) % (own * 4);
        VM.prank(OPERATOR);
        bytes32 nodeId = _registry.registerNode("https://other.example", 0, 1);
        _addKey(nodeId, 0x109, 1);
        VM.prank(OPERATOR);
        _stake.bond(nodeId, own);
        if (others != 0) {
            _fund(DELEGATOR, others);
            VM.prank(DELEGATOR);
            _stake.delegate(nodeId, others);
        }
        CourtSigning.HeadFields memory a = _fields(7, keccak256("previous"));
        CourtSigning.HeadFields memory b = _fields(7, keccak256("other"));
        (a.nodeId, b.nodeId) = (nodeId, nodeId);
        IFaultEvidence.HeadPair memory heads = _pair(0x109, CourtSigning.head(a), CourtSigning.head(b));
        uint256 before = _token.balanceOf(REPORTER);
        _file(abi.encodeCall(IFaultCourt.fileTwoHeads, (heads, RANDOM)));
        _court.claimReward(1, nodeId, 0, bytes32(uint256(7)));
        VM.assertTrue(_token.balanceOf(REPORTER) - before <= own / 2, "at most half of its own");
        uint256 supply = _token.totalSupply();
        uint256 burnt = _stake.burnSlashed(nodeId);
        VM.assertEq(supply - _token.totalSupply(), burnt, "burnt");
        VM.assertTrue(burnt >= others, "all that was delegated is burnt");
    }

    /// @dev The thief sees the filing in the pool and sends it first, as it is, with swapped heads, with its own salt, and
    /// after a commitment of its own in the same block.
    function test_stolenEvidence() public {
        bytes memory data = _twoHeads(7);
        _commit(REPORTER, data);
        _roll(REVEAL);
        _expectThief(data);
        _commit(THIEF, data);
        _expectThief(data);
        CourtSigning.HeadFields memory a = _fields(7, keccak256("previous"));
        CourtSigning.HeadFields memory b = _fields(7, keccak256("previous"));
        b.claimsRoot = keccak256("other claims");
        IFaultEvidence.HeadPair memory swapped = _pair(NODE_KEY, CourtSigning.head(b), CourtSigning.head(a));
        bytes memory own = abi.encodeCall(IFaultCourt.fileTwoHeads, (swapped, keccak256("thief")));
        _commit(THIEF, own);
        _expectThief(own);
        // A copied commitment is of no use either: it names the reporter.
        VM.prank(THIEF);
        _court.commit(_commitment(REPORTER, data));
        _send(REPORTER, address(_court), data, 0);
        (address reporter,,) = _court.getFault(_faultId(1, _nodeId, 0, 7));
        VM.assertEq(reporter, REPORTER, "who found it");
    }

    /// @dev Heads, checkpoints and pledges made for another chain, registry or log accuse nobody here.
    function test_replayAcrossChainsAndContracts() public {
        CourtSigning.HeadFields memory a = _fields(7, keccak256("previous"));
        CourtSigning.HeadFields memory b = _fields(7, keccak256("other"));
        (a.chainId, b.chainId) = (1, 1);
        _expectRefused(_twoHeadsOf(a, b), abi.encodeWithSelector(IFaultEvidence.ForeignHead.selector));
        (a.chainId, b.chainId) = (block.chainid, block.chainid);
        NodeRegistry other = new NodeRegistry(true);
        (a.registry, b.registry) = (address(other), address(other));
        _expectRefused(_twoHeadsOf(a, b), abi.encodeWithSelector(IFaultEvidence.ForeignHead.selector));

        IFaultEvidence.Pledge memory p = IFaultEvidence.Pledge(_logId, keccak256("leaf"), 0, 90, BLOCK_HASH, "");
        p.signature = CourtSigning.pledge(KEY, address(other), p);
        _rollTo(2_000);
        _expectRefused(_unkept(p, true, 0, 0), abi.encodeWithSelector(IFaultEvidence.BadSignature.selector));
        uint256 chain = block.chainid;
        VM.chainId(1);
        p.signature = CourtSigning.pledge(KEY, address(_anchorLog), p);
        VM.chainId(chain);
        _expectRefused(_unkept(p, true, 0, 0), abi.encodeWithSelector(IFaultEvidence.BadSignature.selector));

        bytes32 root = ReferenceTree.root(FORKED, 9);
        bytes memory foreign = Signing.checkpoint(KEY, address(other), _logId, 9, root);
        bytes memory data = abi.encodeCall(
            IFaultCourt.fileTwoHistories,
            (_logId, uint64(0), _state(SALT, 9, 0, _checkpointOf(SALT, 9)), _state(FORKED, 9, 0, foreign), RANDOM)
        );
        _expectRefused(data, abi.encodeWithSelector(IFaultEvidence.BadSignature.selector));
    }

    /// @dev A commitment of one chain is none of another: the same call would be stolen there.
    function test_replayOfACommitment() public {
        bytes memory data = _twoHeads(7);
        uint256 chain = block.chainid;
        VM.chainId(1);
        bytes32 there = _commitment(REPORTER, data);
        VM.chainId(chain);
        VM.prank(REPORTER);
        _court.commit(there);
        _roll(REVEAL);
        (bool succeeded,) = _try(REPORTER, address(_court), data, 0);
        VM.assertFalse(succeeded, "a commitment of another chain");
    }

    /// @dev From one signature a second public key follows under which it holds as well. It is not registered, and
    /// cannot be: nobody has its private key. So one head and a foreign one accuse nobody.
    function test_secondPublicKeyOfOneSignature() public {
        bytes memory head = CourtSigning.head(_fields(7, keccak256("previous")));
        bytes memory signature = CourtSigning.signHead(NODE_KEY, head);
        (bytes32 otherX, bytes32 otherY) = _otherKey(sha256(head), signature);

        IFaultEvidence.HeadPair memory heads = _pair(NODE_KEY, head, CourtSigning.head(_fields(7, keccak256("other"))));
        (heads.x, heads.y) = (otherX, otherY);
        bytes memory data = abi.encodeCall(IFaultCourt.fileTwoHeads, (heads, RANDOM));
        _expectRefused(data, abi.encodeWithSelector(IFaultEvidence.UnknownSigner.selector, _nodeId, uint32(0)));
        VM.expectRevert(
            abi.encodeWithSignature("InvalidProofOfPossession(bytes32)", sha256(abi.encodePacked(otherX, otherY)))
        );
        VM.prank(OPERATOR);
        _registry.addKey(_nodeId, 1, otherX, otherY, signature);
    }

    /// @dev Honest evidence never becomes a fault, and a fault is never half recorded, however little gas there is.
    function test_starvedGas() public {
        bytes memory honest =
            _histories(_state(SALT, 9, 3, _checkpointOf(SALT, 9)), _state(SALT, 6, 3, _checkpointOf(SALT, 6)));
        CourtSigning.HeadFields memory a = _fields(7, keccak256("previous"));
        CourtSigning.HeadFields memory b = _fields(8, CourtSigning.receiptHash(CourtSigning.head(a)));
        IFaultEvidence.HeadPair memory heads = _pair(NODE_KEY, CourtSigning.head(a), CourtSigning.head(b));
        bytes memory linked = abi.encodeCall(IFaultCourt.fileWrongLink, (heads, RANDOM));
        bytes memory guilty = _twoHeads(7);
        _commit(REPORTER, honest);
        _commit(REPORTER, linked);
        _commit(REPORTER, guilty);
        _roll(REVEAL);
        bytes32 faultId = _faultId(1, _nodeId, 0, 7);
        bool recorded = false;
        for (uint256 gas_ = 2_000; gas_ < 200_000; gas_ += 1_777) {
            VM.prank(REPORTER);
            (bool accepted,) = address(_court).call{ gas: gas_ }(honest);
            VM.assertFalse(accepted, "an honest log was slashed");
            VM.prank(REPORTER);
            (accepted,) = address(_court).call{ gas: gas_ }(linked);
            VM.assertFalse(accepted, "an honest node was slashed");
            if (recorded) continue;
            VM.prank(REPORTER);
            (accepted,) = address(_court).call{ gas: gas_ }(guilty);
            recorded = accepted;
            VM.assertTrue(_isRecorded(faultId) == accepted, "recorded if and only if the call went through");
            VM.assertTrue((_stake.getSubject(_nodeId).index == 0) == accepted, "slashed if and only if recorded");
        }
        VM.assertTrue(recorded, "with enough gas it is a fault");
    }

    /// @dev Others anchor a part of what the log signed, in front of it and in another order: no fault follows.
    function test_frontRunAnchor() public {
        IAnchorLog.SignedStep[] memory steps = new IAnchorLog.SignedStep[](3);
        (steps[0], steps[1], steps[2]) = (_step(0, 3), _step(3, 6), _step(6, 9));
        _anchor(_step(0, 6));
        _anchor(steps);
        VM.assertEq(_anchorLog.getStep(_logId, 3).root, bytes32(0), "skipped for ever");
        _expectHead(9, ReferenceTree.root(SALT, 9));
        bytes memory data = _histories(_state(SALT, 3, 1, _checkpointOf(SALT, 3)), _state(SALT, 9, 1, ""));
        _expectRefused(data, abi.encodeWithSelector(IFaultEvidence.NotContradictory.selector));
        IFaultEvidence.Pledge memory p = _pledge(ReferenceTree.leaf(SALT, 2), 2, 99);
        _rollTo(2_000);
        _expectRefused(
            _unkept(p, false, 0, 0), abi.encodeWithSelector(IFaultEvidence.Kept.selector, uint64(2), uint64(9))
        );
        _expectRefused(
            _unkept(p, false, 1, 0), abi.encodeWithSelector(IFaultEvidence.NotDue.selector, uint256(100), uint256(699))
        );
    }

    /// @dev Stake that began to leave before the fault was found still pays; what left in time pays nothing.
    function test_leavingDoesNotHelp() public {
        VM.prank(OPERATOR);
        _stake.retire(_nodeId);
        VM.prank(DELEGATOR);
        _stake.unbond(_nodeId, 4_000 ether);
        _roll(UNBOND - REVEAL - 1);
        _file(_twoHeads(7));
        _roll(UNBOND);
        VM.prank(DELEGATOR);
        VM.assertEq(_stake.withdraw(_nodeId), 0, "nothing left");
    }

    /// @dev Only the court slashes, only the timelock sets, only FaultCases records cases.
    function test_onlyCourt() public {
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.NotCourt.selector, THIEF));
        VM.prank(THIEF);
        _stake.slash(_nodeId, 100, 0, 50, 0, true);
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.NotCourt.selector, THIEF));
        VM.prank(THIEF);
        _stake.payReporter(_nodeId, THIEF, 1);
        VM.expectRevert(abi.encodeWithSelector(IFaultCourt.NotCases.selector, THIEF));
        VM.prank(THIEF);
        _court.recordCase(17, _nodeId, 0, 0, 0, THIEF);
    }

    function _otherKey(bytes32 payload, bytes memory signature) private view returns (bytes32 otherX, bytes32 otherY) {
        (bytes32 r, bytes32 s) = abi.decode(signature, (bytes32, bytes32));
        bytes memory prefix = hex"846a5369676e61747572653143a101265061737361792f726563656970742f76315820";
        bytes32 digest = sha256(bytes.concat(prefix, payload));
        (bytes32 x,) = Signing.publicKey(NODE_KEY);
        (otherX, otherY) = P256.recovery(digest, 0, r, s);
        if (otherX == x) (otherX, otherY) = P256.recovery(digest, 1, r, s);
        VM.assertTrue(otherX != x, "a second key");
        VM.assertTrue(P256.verify(digest, r, s, otherX, otherY), "under which it holds");
    }

    function _expectThief(bytes memory data) private {
        bytes32 commitment = _commitment(THIEF, data);
        (bool succeeded, bytes memory answer) = _try(THIEF, address(_court), data, 0);
        VM.assertFalse(succeeded, "stolen");
        VM.assertEq(answer, abi.encodeWithSelector(IFaultCourt.NotCommitted.selector, commitment), "reason");
    }

    function _twoHeadsOf(CourtSigning.HeadFields memory a, CourtSigning.HeadFields memory b)
        private
        pure
        returns (bytes memory)
    {
        IFaultEvidence.HeadPair memory heads = _pair(NODE_KEY, CourtSigning.head(a), CourtSigning.head(b));
        return abi.encodeCall(IFaultCourt.fileTwoHeads, (heads, RANDOM));
    }

    function _histories(IFaultEvidence.State memory a, IFaultEvidence.State memory b)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeCall(IFaultCourt.fileTwoHistories, (_logId, uint64(3), a, b, RANDOM));
    }
}
