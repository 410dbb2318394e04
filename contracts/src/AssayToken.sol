// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import { ERC20Burnable } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import { ERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import { ERC20Votes } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import { ERC3009 } from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import { Nonces } from "@openzeppelin/contracts/utils/Nonces.sol";

/// @title AssayToken
/// @notice The token that is staked: a fixed supply, minted once, with permits, votes and transfers by authorization
/// under random nonces, as stock x402 clients make them.
/// @dev Source: spec/stake.md section 2. No owner, no parameter, no mint.
contract AssayToken is ERC20, ERC20Burnable, ERC20Permit, ERC20Votes, ERC3009 {
    /// @notice All tokens there ever are: 10^9 of 18 decimals.
    uint256 public constant SUPPLY = 1e27;

    /// @param holder account that gets the whole supply
    constructor(address holder) ERC20("Assay", "ASY") ERC20Permit("Assay") {
        _mint(holder, SUPPLY);
    }

    /// @notice Votes are counted by block timestamps, which mean the same on every chain.
    function clock() public view override returns (uint48) {
        // casting to 'uint48' is safe for the next eight million years
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint48(block.timestamp);
    }

    /// @notice Machine-readable name of the clock (ERC-6372).
    // forge-lint: disable-next-line(mixed-case-function)
    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }

    /// @inheritdoc ERC20Permit
    function nonces(address owner) public view override(ERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner);
    }

    function _update(address from, address to, uint256 value) internal override(ERC20, ERC20Votes) {
        super._update(from, to, value);
    }
}
