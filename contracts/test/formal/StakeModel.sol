// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Shares } from "../../src/libraries/Shares.sol";

/// @notice Stake accounting for a solver: two positions, any order of calls, any numbers. What StakeManager keeps per
/// subject, with the same library, without tokens and registries.
contract StakeModel {
    uint256 private _total;
    uint256 private _first;
    uint256 private _second;

    function add(uint256 shares, bool ofFirst) external {
        require(shares < 1 << 96 && _total + shares < 1 << 96);
        if (ofFirst) _first += shares;
        else _second += shares;
        _total += shares;
        assert(_total == _first + _second);
    }

    function remove(uint256 shares, bool ofFirst) external {
        if (ofFirst) _first -= shares;
        else _second -= shares;
        _total -= shares;
        assert(_total == _first + _second);
    }

    function cap(uint256 percent, uint256 most, uint256 used) external pure {
        require(percent <= 100 && most <= 100 && used <= most * Shares.CAP_UNITS);
        uint256 taken = Shares.withinCap(percent, most, used);
        assert(taken <= percent);
        assert(used + taken * Shares.CAP_UNITS <= most * Shares.CAP_UNITS);
    }

    function slash(uint256 index, uint256 percent) external pure {
        require(index <= Shares.ONE && percent <= 100);
        uint256 lower = Shares.indexAfter(index, percent);
        assert(lower <= index);
        assert(percent < 100 || lower == 0);
    }
}

/// @notice What a deposit does to the use of a cap; by itself, because with it the solver loses its way in the other model.
contract DepositModel {
    function deposit(uint256 used, uint256 before, uint256 added) external pure {
        require(used <= 100 * Shares.CAP_UNITS && before < 1 << 97 && added < 1 << 96);
        assert(Shares.usedAfter(used, before, added) <= used);
    }
}
