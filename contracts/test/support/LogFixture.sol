// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { AnchorLog } from "../../src/AnchorLog.sol";
import { IAnchorLog } from "../../src/interfaces/IAnchorLog.sol";
import { ReferenceTree } from "./ReferenceTree.sol";
import { Signing } from "./Signing.sol";
import { VM } from "./Vm.sol";

/// @notice One registered log over the reference tree, and its signed steps.
abstract contract LogFixture {
    address internal constant OPERATOR = address(0xA11CE);
    address internal constant ANYBODY = address(0xB0B);
    uint256 internal constant KEY = 0x201;
    uint256 internal constant SALT = 1;
    uint256 internal constant FORKED = 2;
    uint64 internal constant MINIMUM = 600;
    bytes32 internal constant ED25519 = keccak256("ed25519 public key");
    bytes32 internal constant PREVIOUS = keccak256("block 99");

    AnchorLog internal _anchorLog;
    bytes32 internal _logId;

    function _deploy() internal {
        VM.roll(100);
        VM.setBlockhash(99, PREVIOUS);
        _anchorLog = new AnchorLog(MINIMUM);
        _logId = _register(KEY);
    }

    function _register(uint256 privateKey) internal returns (bytes32 logId) {
        (bytes32 x, bytes32 y) = Signing.publicKey(privateKey);
        logId = _anchorLog.logIdOf(OPERATOR, _anchorLog.logCount(OPERATOR));
        bytes memory proof = Signing.key(privateKey, address(_anchorLog), logId, 2);
        VM.prank(OPERATOR);
        _anchorLog.register(x, y, ED25519, MINIMUM, proof);
    }

    /// @dev What the honest log signs for the first `size` leaves, with the proof from `from`.
    function _step(uint64 from, uint64 size) internal view returns (IAnchorLog.SignedStep memory) {
        bytes32[] memory proof =
            from == 0 || from > size ? new bytes32[](0) : ReferenceTree.consistency(SALT, from, size);
        return _signed(size, ReferenceTree.root(SALT, size), proof);
    }

    /// @dev The same with another history behind it.
    function _forkedStep(uint64 size) internal view returns (IAnchorLog.SignedStep memory) {
        return _signed(size, ReferenceTree.root(FORKED, size), new bytes32[](0));
    }

    function _signed(uint64 size, bytes32 root, bytes32[] memory proof)
        internal
        view
        returns (IAnchorLog.SignedStep memory)
    {
        bytes memory signature = Signing.checkpoint(KEY, address(_anchorLog), _logId, size, root);
        return IAnchorLog.SignedStep(size, root, signature, proof);
    }

    function _anchor(IAnchorLog.SignedStep memory step) internal {
        IAnchorLog.SignedStep[] memory steps = new IAnchorLog.SignedStep[](1);
        steps[0] = step;
        _anchor(steps);
    }

    function _anchor(IAnchorLog.SignedStep[] memory steps) internal {
        VM.prank(ANYBODY);
        _anchorLog.anchor(_logId, steps);
    }

    function _expectHead(uint64 size, bytes32 root) internal view {
        IAnchorLog.LogRecord memory log = _anchorLog.getLog(_logId);
        VM.assertEq(log.headSize, size, "headSize");
        VM.assertEq(log.headRoot, root, "headRoot");
        VM.assertEq(_anchorLog.getStep(_logId, size).root, root, "the head is anchored");
    }
}
