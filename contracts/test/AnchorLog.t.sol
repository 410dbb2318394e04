// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { AnchorLog } from "../src/AnchorLog.sol";
import { IAnchorLog } from "../src/interfaces/IAnchorLog.sol";
import { LogFixture } from "./support/LogFixture.sol";
import { ReferenceTree } from "./support/ReferenceTree.sol";
import { Signing } from "./support/Signing.sol";
import { VM } from "./support/Vm.sol";

/// @notice Each rule of spec/contracts.md section 4, each event, each refusal; for a refusal everything else is right.
contract AnchorLogTest is LogFixture {
    using ReferenceTree for bytes32[];

    bytes32 private constant EMPTY_ROOT = 0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855;

    function setUp() public {
        _deploy();
    }

    // Construction

    function test_constructor() public view {
        VM.assertEq(_anchorLog.instance(), PREVIOUS, "instance");
        VM.assertEq(_anchorLog.minPledgeBlocks(), MINIMUM, "minPledgeBlocks");
    }

    function test_constructor_refusals() public {
        VM.expectRevert(abi.encodeWithSelector(IAnchorLog.ZeroPledgeBlocks.selector));
        new AnchorLog(0);
        VM.setBlockhash(99, 0);
        VM.expectRevert(abi.encodeWithSelector(IAnchorLog.NoPreviousBlockHash.selector));
        new AnchorLog(MINIMUM);
    }

    function test_instance_separatesHistories() public {
        VM.setBlockhash(99, keccak256("another history"));
        AnchorLog other = new AnchorLog(MINIMUM);
        VM.assertTrue(other.instance() != _anchorLog.instance(), "instance");
        VM.assertTrue(other.logIdOf(OPERATOR, 0) != _logId, "logId");
    }

    // Registration

    function test_register() public {
        (bytes32 x, bytes32 y) = Signing.publicKey(0x202);
        bytes32 logId = sha256(abi.encode(block.chainid, address(_anchorLog), PREVIOUS, OPERATOR, uint64(1)));
        bytes memory proof = Signing.key(0x202, address(_anchorLog), logId, 2);
        VM.expectEmit(address(_anchorLog));
        emit IAnchorLog.LogRegistered(logId, OPERATOR, Signing.keyId(0x202), 1, x, y, ED25519, 700);
        VM.expectEmit(address(_anchorLog));
        emit IAnchorLog.Anchored(logId, 0, EMPTY_ROOT);
        VM.prank(OPERATOR);
        VM.assertEq(_anchorLog.register(x, y, ED25519, 700, proof), logId, "logId");

        VM.assertEq(_anchorLog.logIdOf(OPERATOR, 1), logId, "logIdOf");
        VM.assertEq(_anchorLog.logCount(OPERATOR), 2, "logCount");
        VM.assertEq(_anchorLog.logOfKey(Signing.keyId(0x202)), logId, "logOfKey");
        IAnchorLog.LogRecord memory log = _anchorLog.getLog(logId);
        VM.assertEq(
            abi.encode(log),
            abi.encode(IAnchorLog.LogRecord(Signing.keyId(0x202), OPERATOR, 700, ED25519, x, y, 0, EMPTY_ROOT)),
            "record"
        );
        IAnchorLog.Step memory step = _anchorLog.getStep(logId, 0);
        VM.assertEq(step.root, EMPTY_ROOT, "size 0");
        VM.assertEq(step.blockNumber, 100, "size 0 is anchored here");
    }

    function test_register_pledgeBlocksTooFew() public {
        (bytes32 x, bytes32 y) = Signing.publicKey(0x202);
        bytes memory proof = Signing.key(0x202, address(_anchorLog), _anchorLog.logIdOf(OPERATOR, 1), 2);
        VM.expectRevert(abi.encodeWithSelector(IAnchorLog.PledgeBlocksTooFew.selector, MINIMUM - 1, MINIMUM));
        VM.prank(OPERATOR);
        _anchorLog.register(x, y, ED25519, MINIMUM - 1, proof);
    }

    function test_register_offTheCurve() public {
        bytes memory proof = Signing.key(0x202, address(_anchorLog), _anchorLog.logIdOf(OPERATOR, 1), 2);
        VM.expectRevert(abi.encodeWithSelector(IAnchorLog.InvalidPublicKey.selector, bytes32(0), bytes32(0)));
        VM.prank(OPERATOR);
        _anchorLog.register(0, 0, ED25519, MINIMUM, proof);
    }

    function test_register_keyOfAnotherLog() public {
        (bytes32 x, bytes32 y) = Signing.publicKey(KEY);
        bytes memory proof = Signing.key(KEY, address(_anchorLog), _anchorLog.logIdOf(OPERATOR, 1), 2);
        bytes32 keyId = Signing.keyId(KEY);
        VM.expectRevert(abi.encodeWithSelector(IAnchorLog.KeyAlreadyRegistered.selector, keyId, _logId));
        VM.prank(OPERATOR);
        _anchorLog.register(x, y, ED25519, MINIMUM, proof);
    }

    /// @dev Each proof is right in all but one thing.
    function test_register_proofForSomethingElse() public {
        bytes32 next = _anchorLog.logIdOf(OPERATOR, 1);
        _refuseRegistration(Signing.key(0x202, address(this), next, 2)); // another contract
        _refuseRegistration(Signing.key(0x202, address(_anchorLog), _logId, 2)); // another log
        _refuseRegistration(Signing.key(0x202, address(_anchorLog), _anchorLog.logIdOf(ANYBODY, 1), 2)); // operator
        _refuseRegistration(Signing.key(0x202, address(_anchorLog), next, 1)); // another role
        _refuseRegistration(Signing.key(KEY, address(_anchorLog), next, 2)); // another key
        _refuseRegistration(Signing.malleate(Signing.key(0x202, address(_anchorLog), next, 2))); // high S
        _refuseRegistration("");
    }

    function testFuzz_register_oneFlip(uint256 bit) public {
        bytes32 next = _anchorLog.logIdOf(OPERATOR, 1);
        _refuseRegistration(Signing.flip(Signing.key(0x202, address(_anchorLog), next, 2), bit % 512));
    }

    /// @dev Seen pending, copied, sent first: the copier's logId is another, so the proof is for something else.
    function test_register_copiedProof() public {
        (bytes32 x, bytes32 y) = Signing.publicKey(0x202);
        bytes memory seen = Signing.key(0x202, address(_anchorLog), _anchorLog.logIdOf(OPERATOR, 1), 2);
        bytes32 keyId = Signing.keyId(0x202);
        VM.expectRevert(abi.encodeWithSelector(IAnchorLog.InvalidProofOfPossession.selector, keyId));
        VM.prank(ANYBODY);
        _anchorLog.register(x, y, ED25519, MINIMUM, seen);
        VM.prank(OPERATOR);
        _anchorLog.register(x, y, ED25519, MINIMUM, seen);
    }

    function _refuseRegistration(bytes memory proof) private {
        (bytes32 x, bytes32 y) = Signing.publicKey(0x202);
        bytes32 keyId = Signing.keyId(0x202);
        VM.expectRevert(abi.encodeWithSelector(IAnchorLog.InvalidProofOfPossession.selector, keyId));
        VM.prank(OPERATOR);
        _anchorLog.register(x, y, ED25519, MINIMUM, proof);
    }

    // Above the head

    function test_anchor() public {
        VM.roll(120);
        VM.expectEmit(address(_anchorLog));
        emit IAnchorLog.Anchored(_logId, 5, ReferenceTree.root(SALT, 5));
        _anchor(_step(0, 5));
        VM.assertEq(_anchorLog.getStep(_logId, 5).blockNumber, 120, "blockNumber");
        _expectHead(5, ReferenceTree.root(SALT, 5));
        _anchor(_step(5, 13));
        _expectHead(13, ReferenceTree.root(SALT, 13));
    }

    function testFuzz_anchor(uint64 first, uint64 second, uint64 third) public {
        first = 1 + first % 60;
        second = first + 1 + second % 60;
        third = second + 1 + third % 60;
        IAnchorLog.SignedStep[] memory steps = new IAnchorLog.SignedStep[](3);
        (steps[0], steps[1], steps[2]) = (_step(0, first), _step(first, second), _step(second, third));
        _anchor(steps);
        _expectHead(third, ReferenceTree.root(SALT, third));
        VM.assertEq(_anchorLog.getStep(_logId, first).root, ReferenceTree.root(SALT, first), "first");
        VM.assertEq(_anchorLog.getStep(_logId, second).root, ReferenceTree.root(SALT, second), "second");
    }

    function test_anchor_withoutPrecompile() public {
        VM.mockCall(address(0x100), "", "");
        _anchor(_step(0, 5));
        _anchor(_step(5, 6));
        IAnchorLog.SignedStep memory step = _step(6, 7);
        step.signature = Signing.flip(step.signature, 100);
        _expectBadSignature(0);
        _anchor(step);
        VM.clearMockedCalls();
        _expectHead(6, ReferenceTree.root(SALT, 6));
    }

    /// @dev The largest size there is, from the empty tree: nothing wraps, and nothing fits above it.
    function test_anchor_largestSize() public {
        uint64 largest = (1 << 63) - 1;
        for (uint64 size = largest + 1; size != 0; size = size == largest + 1 ? type(uint64).max : 0) {
            IAnchorLog.SignedStep memory step = _signed(size, keccak256("root"), new bytes32[](0));
            VM.expectRevert(abi.encodeWithSelector(IAnchorLog.SizeTooLarge.selector, 0, size, largest));
            _anchor(step);
        }
        _anchor(_signed(largest, keccak256("root"), new bytes32[](0)));
        _expectHead(largest, keccak256("root"));
        _anchor(_step(0, 5)); // below, not anchored: skipped
        VM.assertEq(_anchorLog.getStep(_logId, 5).blockNumber, 0, "skipped");
    }

    function test_anchor_signatureForSomethingElse() public {
        IAnchorLog.SignedStep memory step = _step(0, 5);
        bytes memory signature = step.signature;
        address self = address(_anchorLog);
        _refuseSignature(step, Signing.checkpoint(0x202, self, _logId, 5, step.root)); // another key
        _refuseSignature(step, Signing.checkpoint(KEY, address(this), _logId, 5, step.root)); // another contract
        _refuseSignature(step, Signing.checkpoint(KEY, self, bytes32("log"), 5, step.root)); // another log
        _refuseSignature(step, Signing.checkpoint(KEY, self, _logId, 6, step.root)); // another size
        _refuseSignature(step, Signing.checkpoint(KEY, self, _logId, 5, keccak256("root"))); // another root
        bytes memory tuple = abi.encode(block.chainid, self, _logId, uint256(5), step.root);
        _refuseSignature(step, Signing.sign(KEY, hex"4f61737361792f636f7369676e2f7631", tuple)); // another tag: cosign
        _refuseSignature(step, Signing.malleate(signature)); // high S
        _refuseSignature(step, "");
        VM.chainId(block.chainid + 1); // another chain
        _refuseSignature(step, signature);
    }

    function testFuzz_anchor_oneFlip(uint256 bit) public {
        _anchor(_step(0, 11));
        IAnchorLog.SignedStep memory step = _step(11, 29);
        step.signature = Signing.flip(step.signature, bit % 512);
        _expectBadSignature(0);
        _anchor(step);
        step = _step(11, 29);
        uint256 position = bit % step.consistencyProof.length;
        step.consistencyProof[position] ^= bytes32(1 << (bit % 256));
        _expectBadProof(0, 11, 29);
        _anchor(step);
    }

    function test_anchor_proofLength() public {
        IAnchorLog.SignedStep memory step = _step(0, 5);
        step.consistencyProof = new bytes32[](1);
        _expectBadProof(0, 0, 5);
        _anchor(step);

        _anchor(_step(0, 5));
        step = _step(5, 9);
        step.consistencyProof = step.consistencyProof.withoutLast();
        _expectBadProof(0, 5, 9);
        _anchor(step);
        step.consistencyProof = _step(5, 9).consistencyProof.with(bytes32(0));
        _expectBadProof(0, 5, 9);
        _anchor(step);
        step.consistencyProof = new bytes32[](0);
        _expectBadProof(0, 5, 9);
        _anchor(step);
        step.consistencyProof = new bytes32[](64);
        _expectBadProof(0, 5, 9);
        _anchor(step);
        step.consistencyProof = new bytes32[](65);
        VM.expectRevert(abi.encodeWithSelector(IAnchorLog.ProofTooLong.selector, 0, 65, 64));
        _anchor(step);
    }

    /// @dev Signed by the log, yet not an append of what was anchored: no signature buys a second history.
    function test_anchor_otherHistory() public {
        _anchor(_step(0, 5));
        IAnchorLog.SignedStep memory step = _forkedStep(9);
        step.consistencyProof = ReferenceTree.consistency(FORKED, 5, 9);
        _expectBadProof(0, 5, 9);
        _anchor(step);
    }

    function test_anchor_proofFromAnotherHead() public {
        _anchor(_step(0, 5));
        IAnchorLog.SignedStep memory step = _step(4, 9);
        _expectBadProof(0, 5, 9);
        _anchor(step);
    }

    function test_anchor_revertsAsAWhole() public {
        IAnchorLog.SignedStep[] memory steps = new IAnchorLog.SignedStep[](2);
        (steps[0], steps[1]) = (_step(0, 3), _step(3, 8));
        steps[1].signature = Signing.flip(steps[1].signature, 9);
        _expectBadSignature(1);
        _anchor(steps);
        _expectHead(0, EMPTY_ROOT);
        VM.assertEq(_anchorLog.getStep(_logId, 3).blockNumber, 0, "nothing of it");
    }

    // Anchored already, or below the head

    function test_anchor_sameAgain() public {
        _anchor(_step(0, 5));
        VM.roll(130);
        IAnchorLog.SignedStep memory step = _step(0, 5);
        step.signature = "not read";
        _expectNoEvent(step);
        VM.assertEq(_anchorLog.getStep(_logId, 5).blockNumber, 100, "first block stays");
    }

    function test_anchor_belowTheHead() public {
        _anchor(_step(0, 9));
        IAnchorLog.SignedStep memory step = _forkedStep(5);
        step.signature = "not read";
        _expectNoEvent(step);
        VM.assertEq(_anchorLog.getStep(_logId, 5).blockNumber, 0, "not anchored");
        _expectHead(9, ReferenceTree.root(SALT, 9));
    }

    /// @dev A sender lists all that the log has signed; whoever comes first with a part of it only helps.
    function test_anchor_frontRun() public {
        IAnchorLog.SignedStep[] memory steps = new IAnchorLog.SignedStep[](4);
        (steps[0], steps[1], steps[2], steps[3]) = (_step(0, 3), _step(3, 4), _step(4, 9), _step(9, 12));
        _anchor(_step(0, 4));
        _anchor(steps);
        _expectHead(12, ReferenceTree.root(SALT, 12));
        VM.assertEq(_anchorLog.getStep(_logId, 3).blockNumber, 0, "overtaken");
        VM.assertTrue(_anchorLog.getStep(_logId, 9).blockNumber != 0, "anchored");
        _expectNoEvents(steps);
    }

    // Conflicts

    function test_anchor_conflict() public {
        _anchor(_step(0, 5));
        IAnchorLog.SignedStep memory forked = _forkedStep(5);
        bytes32 anchored = ReferenceTree.root(SALT, 5);
        VM.expectEmit(address(_anchorLog));
        emit IAnchorLog.ConflictRecorded(_logId, 5, anchored, forked.root, forked.signature);
        _anchor(forked);
        VM.assertEq(_anchorLog.conflictingRoot(_logId, 5), forked.root, "recorded");
        _expectHead(5, anchored);
        // Once per size: a repetition, or a third root, says nothing new.
        _expectNoEvent(forked);
        _expectNoEvent(_signed(5, keccak256("third"), new bytes32[](0)));
        VM.assertEq(_anchorLog.conflictingRoot(_logId, 5), forked.root, "the first stays");
    }

    function test_anchor_conflictBelowTheHeadAndAtSizeZero() public {
        _anchor(_step(0, 5));
        _anchor(_step(5, 8));
        _anchor(_forkedStep(5));
        _anchor(_signed(0, keccak256("not empty"), new bytes32[](0)));
        VM.assertEq(_anchorLog.conflictingRoot(_logId, 5), ReferenceTree.root(FORKED, 5), "5");
        VM.assertEq(_anchorLog.conflictingRoot(_logId, 0), keccak256("not empty"), "0");
        _expectHead(8, ReferenceTree.root(SALT, 8));
    }

    function test_anchor_conflictDoesNotStopTheRest() public {
        _anchor(_step(0, 5));
        IAnchorLog.SignedStep[] memory steps = new IAnchorLog.SignedStep[](2);
        (steps[0], steps[1]) = (_forkedStep(5), _step(5, 8));
        _anchor(steps);
        _expectHead(8, ReferenceTree.root(SALT, 8));
    }

    /// @dev Nobody can make an honest log look like a liar.
    function test_anchor_conflictNotSigned() public {
        _anchor(_step(0, 5));
        IAnchorLog.SignedStep memory step = _forkedStep(5);
        step.signature = _step(0, 5).signature;
        _expectBadSignature(0);
        _anchor(step);
        step.signature = Signing.malleate(_forkedStep(5).signature);
        _expectBadSignature(0);
        _anchor(step);
        VM.assertEq(_anchorLog.conflictingRoot(_logId, 5), bytes32(0), "nothing recorded");
    }

    function test_anchor_bothInOneCall() public {
        IAnchorLog.SignedStep[] memory steps = new IAnchorLog.SignedStep[](2);
        (steps[0], steps[1]) = (_step(0, 5), _forkedStep(5));
        _anchor(steps);
        VM.assertEq(_anchorLog.conflictingRoot(_logId, 5), ReferenceTree.root(FORKED, 5), "recorded");
    }

    // Limits

    function test_anchor_stepCount() public {
        VM.expectRevert(abi.encodeWithSelector(IAnchorLog.InvalidStepCount.selector, 0, 16));
        _anchor(new IAnchorLog.SignedStep[](0));
        IAnchorLog.SignedStep[] memory steps = new IAnchorLog.SignedStep[](16);
        for (uint64 i = 0; i < 16; ++i) {
            steps[i] = _step(i, i + 1);
        }
        _anchor(steps);
        _expectHead(16, ReferenceTree.root(SALT, 16));
        VM.expectRevert(abi.encodeWithSelector(IAnchorLog.InvalidStepCount.selector, 17, 16));
        _anchor(new IAnchorLog.SignedStep[](17));
    }

    function test_anchor_unknownLog() public {
        IAnchorLog.SignedStep[] memory steps = new IAnchorLog.SignedStep[](1);
        steps[0] = _step(0, 5);
        VM.expectRevert(abi.encodeWithSelector(IAnchorLog.UnknownLog.selector, bytes32("none")));
        _anchorLog.anchor("none", steps);
    }

    function test_anchor_zeroRoot() public {
        IAnchorLog.SignedStep memory step = _signed(5, 0, new bytes32[](0));
        VM.expectRevert(abi.encodeWithSelector(IAnchorLog.ZeroRoot.selector, 0));
        _anchor(step);
    }

    function _refuseSignature(IAnchorLog.SignedStep memory step, bytes memory signature) private {
        step.signature = signature;
        _expectBadSignature(0);
        _anchor(step);
    }

    function _expectNoEvent(IAnchorLog.SignedStep memory step) private {
        IAnchorLog.SignedStep[] memory steps = new IAnchorLog.SignedStep[](1);
        steps[0] = step;
        _expectNoEvents(steps);
    }

    function _expectNoEvents(IAnchorLog.SignedStep[] memory steps) private {
        VM.recordLogs();
        _anchor(steps);
        VM.assertEq(VM.getRecordedLogs().length, 0, "events");
    }

    function _expectBadSignature(uint256 stepIndex) private {
        VM.expectRevert(abi.encodeWithSelector(IAnchorLog.InvalidCheckpointSignature.selector, stepIndex));
    }

    function _expectBadProof(uint256 stepIndex, uint64 headSize, uint64 size) private {
        VM.expectRevert(abi.encodeWithSelector(IAnchorLog.InvalidConsistencyProof.selector, stepIndex, headSize, size));
    }
}
