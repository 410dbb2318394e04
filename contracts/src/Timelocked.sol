// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IMinDelay, ITimelocked } from "./interfaces/ITimelocked.sol";

/// @title Timelocked
/// @notice See ITimelocked.
/// @dev The timelock is asked for its delay at every change: it can shorten its own delay, and is then powerless here.
abstract contract Timelocked is ITimelocked {
    /// @notice Least delay of the timelock, seconds.
    uint256 public constant MIN_DELAY_SECONDS = 2 days;

    IMinDelay private _timelock; // slot 0

    modifier onlyTimelock() {
        if (msg.sender != address(_timelock)) revert NotTimelock(msg.sender);
        _requireDelay();
        _;
    }

    constructor(address timelock_) {
        _timelock = IMinDelay(timelock_);
        _requireDelay();
    }

    /// @inheritdoc ITimelocked
    function timelock() external view returns (address) {
        return address(_timelock);
    }

    function _requireDelay() private view {
        uint256 delay = _timelock.getMinDelay();
        if (delay < MIN_DELAY_SECONDS) revert TimelockTooShort(MIN_DELAY_SECONDS, delay);
    }
}
