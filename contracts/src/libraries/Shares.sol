// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Shares with a falling index
/// @notice Shares of a subject are worth `index` / 10^18 token units each. A slash lowers the index and touches no
/// position; nothing else moves it, so there is nothing to inflate. Every rounding is against who deposits or leaves.
/// @dev Source: spec/stake.md section 3.
library Shares {
    /// @notice Index of a subject that was never slashed.
    uint256 internal constant ONE = 1e18;
    /// @notice Below this (a thousandth left) the index is 0, so that a deposit has at most 1,000 shares a token unit: up to
    /// 2^96 / 1,000 units (79 million tokens) of one subject fit 96 bits at any index. More may be refused once it has fallen.
    uint256 internal constant MIN_INDEX = 1e15;

    /// @notice Units of a percent in which the use of a cap is counted: rounding it at a deposit gives or takes nothing that
    /// very many deposits would add up to a percent of.
    uint256 internal constant CAP_UNITS = 1 << 16;

    /// @notice Shares for a deposit, rounded down: worth at most the amount.
    function sharesOf(uint256 amount, uint256 index) internal pure returns (uint256) {
        return amount * ONE / index;
    }

    /// @notice Token units that shares are worth, rounded down.
    function valueOf(uint256 shares, uint256 index) internal pure returns (uint256) {
        return shares * index / ONE;
    }

    /// @notice The index after `percent` (0 to 100) of everything is taken, rounded down.
    function indexAfter(uint256 index, uint256 percent) internal pure returns (uint256 lower) {
        lower = index * (100 - percent) / 100;
        if (lower < MIN_INDEX) lower = 0;
    }

    /// @notice What a cap leaves of a percentage.
    /// @param used taken before in the newest window, CAP_UNITS of a percent
    function withinCap(uint256 percent, uint256 cap, uint256 used) internal pure returns (uint256) {
        uint256 whole = (used + CAP_UNITS - 1) / CAP_UNITS;
        if (whole >= cap) return 0;
        uint256 room = cap - whole;
        return percent < room ? percent : room;
    }

    /// @notice What is used of a cap after a deposit: what was taken of what was there, spread over all, rounded down.
    function usedAfter(uint256 used, uint256 before, uint256 added) internal pure returns (uint256) {
        return before == 0 ? 0 : used * before / (before + added);
    }
}
