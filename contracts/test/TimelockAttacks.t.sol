// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { TimelockController } from "@openzeppelin/contracts/governance/TimelockController.sol";
import { AssayTimelock } from "../src/AssayTimelock.sol";
import { IFaultCourt } from "../src/interfaces/IFaultCourt.sol";
import { CourtFixture } from "./support/CourtFixture.sol";
import { COURT_VM } from "./support/CourtVm.sol";
import { VM } from "./support/Vm.sol";

/// @notice Ways around the two days that everybody has before a parameter changes.
contract TimelockAttacksTest is CourtFixture {
    function setUp() public {
        _deployAll();
        _bond(_nodeId, 1_000 ether, 3_000 ether);
        COURT_VM.warp(1_000);
    }

    /// @dev The attack: once, with notice, the delay is taken away. From then on one batch, without any notice, puts the
    /// delay back for the moment in which the contract asks for it, and makes heads that contradict each other free.
    function test_delayIsNotTakenAwayAndPutBackInOneBatch() public {
        bytes memory loosen = abi.encodeCall(TimelockController.updateDelay, (0));
        VM.prank(PROPOSER);
        _timelock.schedule(address(_timelock), 0, loosen, 0, 0, 2 days);
        COURT_VM.warp(block.timestamp + 2 days);
        VM.prank(PROPOSER);
        _timelock.execute(address(_timelock), 0, loosen, 0, 0);

        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _batch();
        VM.expectRevert(
            abi.encodeWithSelector(TimelockController.TimelockInsufficientDelay.selector, uint256(0), uint256(2 days))
        );
        VM.prank(PROPOSER);
        _timelock.scheduleBatch(targets, values, calls, 0, 0, 0);
        VM.assertEq(_timelock.getMinDelay(), 2 days, "delay");
    }

    /// @dev The same from the start: a timelock made without a delay gives two days all the same.
    function test_delayIsNeverShorter() public {
        address[] memory proposers = new address[](1);
        proposers[0] = PROPOSER;
        VM.assertEq(new AssayTimelock(0, proposers, proposers).getMinDelay(), 2 days, "none");
        VM.assertEq(new AssayTimelock(2 days - 1, proposers, proposers).getMinDelay(), 2 days, "shorter");
        VM.assertEq(new AssayTimelock(2 days, proposers, proposers).getMinDelay(), 2 days, "equal");
        VM.assertEq(new AssayTimelock(3 days, proposers, proposers).getMinDelay(), 3 days, "longer");
    }

    /// @dev The attack: one operation that makes contradictions free and one that makes them dear again are scheduled with
    /// notice, and kept. A year later, when nobody looks any more, both run around a fault of one's own in one block.
    function test_scheduledOperationsDoNotKeep() public {
        IFaultCourt.Penalties memory p = _penalties();
        p.twoHeads = 0;
        bytes memory off = abi.encodeCall(IFaultCourt.setPenalties, (p));
        bytes32 id = _schedule(off);
        COURT_VM.warp(block.timestamp + 2 days);
        VM.assertTrue(_timelock.isOperationReady(id), "ready");
        COURT_VM.warp(block.timestamp + 14 days);
        VM.assertTrue(_timelock.isOperationReady(id), "for fourteen days");
        COURT_VM.warp(block.timestamp + 1);
        VM.assertFalse(_timelock.isOperation(id), "then it is none");
        VM.prank(PROPOSER);
        (bool executed,) =
            address(_timelock).call(abi.encodeCall(TimelockController.execute, (address(_court), 0, off, 0, 0)));
        VM.assertFalse(executed, "without notice");
        VM.assertEq(_court.getPenalties().twoHeads, 100, "penalty");
        // It can be scheduled anew, with notice.
        VM.assertEq(_schedule(off), id, "the same");
        VM.assertFalse(_timelock.isOperationReady(id), "not before two days");
        COURT_VM.warp(block.timestamp + 2 days);
        VM.prank(PROPOSER);
        _timelock.execute(address(_court), 0, off, 0, 0);
        COURT_VM.warp(block.timestamp + 100 days);
        VM.assertTrue(_timelock.isOperationDone(id), "what was done stays done");
    }

    function _schedule(bytes memory data) private returns (bytes32) {
        VM.prank(PROPOSER);
        _timelock.schedule(address(_court), 0, data, 0, 0, 2 days);
        return _timelock.hashOperation(address(_court), 0, data, 0, 0);
    }

    function _batch() private view returns (address[] memory targets, uint256[] memory values, bytes[] memory calls) {
        IFaultCourt.Penalties memory p = _penalties();
        p.twoHeads = 0;
        targets = new address[](2);
        values = new uint256[](2);
        calls = new bytes[](2);
        (targets[0], targets[1]) = (address(_timelock), address(_court));
        calls[0] = abi.encodeCall(TimelockController.updateDelay, (2 days));
        calls[1] = abi.encodeCall(IFaultCourt.setPenalties, (p));
    }
}
