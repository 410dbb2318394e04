// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IStakeManager } from "../src/interfaces/IStakeManager.sol";
import { CourtFixture } from "./support/CourtFixture.sol";
import { VM } from "./support/Vm.sol";

/// @notice An operator, delegators and the court doing everything in any order; own books of what must be conserved.
contract StakeHandler is CourtFixture {
    address[4] private _accounts = [OPERATOR, DELEGATOR, address(0xD1), address(0xD2)];
    uint256 private _supply;
    uint256 private _index = 1e18;

    constructor() {
        _deployAll();
        _fund(_accounts[2], 1_000_000 ether);
        _fund(_accounts[3], 1_000_000 ether);
        _supply = _token.totalSupply();
    }

    function add(uint256 who, uint96 amount) external {
        address account = _accounts[who % 4];
        uint256 value = uint256(amount) % 10_000 ether;
        VM.prank(account);
        if (account == OPERATOR) {
            try _stake.bond(_nodeId, value) { } catch { }
        } else {
            try _stake.delegate(_nodeId, value) { } catch { }
        }
    }

    function unbond(uint256 who, uint96 part) external {
        address account = _accounts[who % 4];
        uint256 shares = _stake.getPosition(_nodeId, account).shares;
        VM.prank(account);
        try _stake.unbond(_nodeId, shares * (part % 101) / 100) { } catch { }
    }

    function withdraw(uint256 who) external {
        address account = _accounts[who % 4];
        (uint256 active, uint256 unbonding) = _stake.valueOf(_nodeId, account);
        VM.prank(account);
        try _stake.withdraw(_nodeId) returns (uint256 amount) {
            VM.assertTrue(amount <= active + unbonding + 1, "paid what it was worth");
        } catch { }
    }

    function claim(uint256 who) external {
        VM.prank(_accounts[who % 4]);
        try _stake.claim(_nodeId) { } catch { }
    }

    function reward(uint96 amount) external {
        VM.prank(DELEGATOR);
        try _stake.reward(_nodeId, uint256(amount) % 100 ether) { } catch { }
    }

    function slash(uint8 percent, bool capped, uint32 window) external {
        uint256 supply = _token.totalSupply();
        VM.prank(address(_court));
        (, uint256 paid) = _stake.slash(_nodeId, percent % 40, capped ? 20 : 0, 50, window % 64, false);
        if (paid != 0 && percent % 2 == 0) {
            VM.prank(address(_court));
            _stake.payReporter(_nodeId, REPORTER, paid);
        }
        VM.assertEq(_token.totalSupply(), supply, "a slash burns nothing by itself");
    }

    function burn() external {
        try _stake.burnSlashed(_nodeId) returns (uint256 amount) {
            _supply -= amount;
        } catch { }
    }

    function retire(uint256 rarely) external {
        if (rarely % 16 != 0) return;
        VM.prank(OPERATOR);
        try _stake.retire(_nodeId) { } catch { }
    }

    function pass(uint16 blocks) external {
        _roll(1 + blocks % 2_000);
    }

    function check() external {
        IStakeManager.Subject memory books = _stake.getSubject(_nodeId);
        uint256 self = 0;
        uint256 delegated = 0;
        uint256 worth = 0;
        for (uint256 i = 0; i < 4; ++i) {
            IStakeManager.Position memory position = _stake.getPosition(_nodeId, _accounts[i]);
            uint256 shares = uint256(position.shares) + position.unbondingShares;
            if (i == 0) self += shares;
            else delegated += shares;
            (uint256 active, uint256 unbonding) = _stake.valueOf(_nodeId, _accounts[i]);
            worth += active + unbonding;
        }
        VM.assertEq(books.selfShares, self, "self-bond = the operator's position");
        VM.assertEq(books.delegatedShares, delegated, "delegated = sum of the other positions");
        VM.assertTrue(books.selfUnbonding <= books.selfShares, "unbonding is a part");
        VM.assertTrue(books.delegatedUnbonding <= books.delegatedShares, "unbonding is a part");
        VM.assertTrue(books.heldTokens >= worth + books.reservedRewards, "all positions can be paid");
        VM.assertEq(
            _token.balanceOf(address(_stake)), uint256(books.heldTokens) + books.heldRewards, "tokens = what is booked"
        );
        VM.assertEq(_token.totalSupply(), _supply, "nothing is made, only burnt");
        if (books.operator == address(0)) return;
        VM.assertTrue(books.index <= _index, "the index only falls");
        _index = books.index;
    }
}

contract StakeInvariantTest {
    StakeHandler private _handler;

    function setUp() public {
        _handler = new StakeHandler();
    }

    function targetContracts() public view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(_handler);
    }

    function invariant_stakeIsConserved() public {
        _handler.check();
    }
}
