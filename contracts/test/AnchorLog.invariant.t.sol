// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { AnchorLog } from "../src/AnchorLog.sol";
import { IAnchorLog } from "../src/interfaces/IAnchorLog.sol";
import { LogFixture } from "./support/LogFixture.sol";
import { ReferenceTree } from "./support/ReferenceTree.sol";
import { Signing } from "./support/Signing.sol";
import { VM } from "./support/Vm.sol";

/// @notice A log whose key signs two histories, senders who bring everything in any order, and forgers; own books.
contract AnchorLogHandler is LogFixture {
    uint64 private constant LARGEST = 90;
    uint64[] private _sizes;
    mapping(uint64 size => bytes32 root) private _roots;
    mapping(uint64 size => uint256 number) private _blocks;
    mapping(uint64 size => bytes32 root) private _conflicts;
    uint64 private _head;
    uint256 private _block = 100;

    constructor() {
        _deploy();
        _book(0, sha256(""));
    }

    function append(uint64 by) external {
        uint64 size = _head + 1 + by % 7;
        if (size > LARGEST) return;
        _anchor(_step(_head, size));
        _book(size, ReferenceTree.root(SALT, size));
        _head = size;
    }

    /// @dev Any earlier state, wanted or not, with whatever proof: never an error, never a change.
    function replay(uint64 size) external {
        _anchor(_step(0, size % (_head + 1)));
    }

    function conflict(uint64 which) external {
        uint64 size = _sizes[which % _sizes.length];
        if (size == 0) return;
        IAnchorLog.SignedStep memory step = _forkedStep(size);
        _anchor(step);
        if (_conflicts[size] == 0) _conflicts[size] = step.root;
    }

    function appendOtherHistory(uint64 by) external {
        if (_head == 0) return;
        uint64 size = _head + 1 + by % 7;
        IAnchorLog.SignedStep memory step = _forkedStep(size);
        step.consistencyProof = ReferenceTree.consistency(FORKED, _head, size);
        VM.assertFalse(_try(step), "another history was appended");
    }

    function forge(uint64 by, uint256 bit, bool above) external {
        uint64 size = above ? _head + 1 + by % 7 : _sizes[by % _sizes.length];
        IAnchorLog.SignedStep memory step = _step(_head, size);
        if (!above) step.root = keccak256("forged");
        step.signature = Signing.flip(step.signature, bit % 512);
        VM.assertFalse(_try(step), "a step without signature was taken");
    }

    function registerAgain() external {
        (bytes32 x, bytes32 y) = Signing.publicKey(KEY);
        bytes32 next = _anchorLog.logIdOf(OPERATOR, _anchorLog.logCount(OPERATOR));
        bytes memory proof = Signing.key(KEY, address(_anchorLog), next, 2);
        VM.prank(OPERATOR);
        try _anchorLog.register(x, y, ED25519, MINIMUM, proof) {
            VM.assertTrue(false, "a key got a second log");
        } catch { }
    }

    function wait_(uint256 blocks) external {
        _block += 1 + blocks % 50;
        VM.roll(_block);
    }

    function check() external view {
        _expectHead(_head, _roots[_head]);
        VM.assertEq(_anchorLog.logOfKey(Signing.keyId(KEY)), _logId, "one log for ever");
        for (uint256 i = 0; i < _sizes.length; ++i) {
            uint64 size = _sizes[i];
            IAnchorLog.Step memory step = _anchorLog.getStep(_logId, size);
            VM.assertEq(step.root, _roots[size], "an anchored root never changes");
            VM.assertEq(step.blockNumber, _blocks[size], "nor does its block");
            VM.assertEq(_anchorLog.conflictingRoot(_logId, size), _conflicts[size], "conflicts stay");
            VM.assertTrue(_conflicts[size] != step.root, "a conflict is another root");
        }
        for (uint64 size = 0; size <= _head; ++size) {
            if (_roots[size] == 0) VM.assertEq(_anchorLog.getStep(_logId, size).root, bytes32(0), "nothing between");
        }
    }

    function _book(uint64 size, bytes32 root) private {
        _sizes.push(size);
        _roots[size] = root;
        _blocks[size] = block.number;
    }

    function _try(IAnchorLog.SignedStep memory step) private returns (bool) {
        IAnchorLog.SignedStep[] memory steps = new IAnchorLog.SignedStep[](1);
        steps[0] = step;
        try _anchorLog.anchor(_logId, steps) {
            return true;
        } catch {
            return false;
        }
    }
}

contract AnchorLogInvariantTest {
    AnchorLogHandler private _handler;

    function setUp() public {
        _handler = new AnchorLogHandler();
    }

    function targetContracts() public view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(_handler);
    }

    function invariant_oneHistory() public view {
        _handler.check();
    }
}
