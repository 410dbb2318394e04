// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Owned by a timelock
/// @notice Parameters of the contract are changed by one timelock, named at construction and never replaced.
/// @dev Source: spec/stake.md section 1.
interface ITimelocked {
    /// @notice Thrown when somebody else than the timelock changes a parameter.
    error NotTimelock(address sender);
    /// @notice Thrown when the timelock lets less time (seconds) pass than every change must wait.
    error TimelockTooShort(uint256 minimum, uint256 delay);

    /// @notice The timelock.
    function timelock() external view returns (address);
}

/// @notice What is asked of an OpenZeppelin TimelockController.
interface IMinDelay {
    /// @notice Seconds from scheduling a call to its execution, at least.
    function getMinDelay() external view returns (uint256);
}
