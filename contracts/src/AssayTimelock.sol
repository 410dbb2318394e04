// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { TimelockController } from "@openzeppelin/contracts/governance/TimelockController.sol";

/// @title AssayTimelock
/// @notice The timelock that owns every parameter: OpenZeppelin's, with no administrator beside itself.
/// @dev Source: spec/stake.md section 1. A delay below 2 days leaves it without power over the parameters.
contract AssayTimelock is TimelockController {
    /// @param minDelaySeconds from scheduling to execution
    /// @param proposers who may schedule and cancel
    /// @param executors who may execute; the zero address stands for anybody
    constructor(uint256 minDelaySeconds, address[] memory proposers, address[] memory executors)
        TimelockController(minDelaySeconds, proposers, executors, address(0))
    { }
}
