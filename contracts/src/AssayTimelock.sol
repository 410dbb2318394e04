// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { TimelockController } from "@openzeppelin/contracts/governance/TimelockController.sol";

/// @title AssayTimelock
/// @notice The timelock that owns every parameter: OpenZeppelin's, with no administrator beside itself, never with less
/// than 2 days from scheduling to execution, and with an end: what nobody executed for 14 days has to be scheduled anew.
/// @dev Source: spec/stake.md section 1. The floor is here because who is called cannot see when a call was scheduled: a
/// timelock without a delay could give itself one back in the very batch that changes a parameter.
contract AssayTimelock is TimelockController {
    /// @notice Least delay, seconds, whatever was asked for.
    uint256 public constant MIN_DELAY_SECONDS = 2 days;
    /// @notice Longest time from the end of the delay to execution, seconds: notice that nobody remembers is none.
    uint256 public constant KEPT_SECONDS = 14 days;

    /// @param minDelaySeconds from scheduling to execution
    /// @param proposers who may schedule and cancel
    /// @param executors who may execute; the zero address stands for anybody
    constructor(uint256 minDelaySeconds, address[] memory proposers, address[] memory executors)
        TimelockController(minDelaySeconds, proposers, executors, address(0))
    { }

    /// @notice An operation's state; one that was ready for longer than KEPT_SECONDS is unset, as if it had never been
    /// scheduled: it cannot be executed or cancelled, and can be scheduled again.
    function getOperationState(bytes32 id) public view override returns (OperationState state) {
        state = super.getOperationState(id);
        bool isReady = state == OperationState.Ready;
        if (isReady && block.timestamp > getTimestamp(id) + KEPT_SECONDS) state = OperationState.Unset;
    }

    /// @notice The delay from scheduling to execution, seconds: that set last, at least 2 days.
    function getMinDelay() public view override returns (uint256) {
        uint256 delay = super.getMinDelay();
        return delay < MIN_DELAY_SECONDS ? MIN_DELAY_SECONDS : delay;
    }
}
