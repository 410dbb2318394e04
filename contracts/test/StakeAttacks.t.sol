// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { StakeManager } from "../src/StakeManager.sol";
import { IFaultCases } from "../src/interfaces/IFaultCases.sol";
import { IStakeManager } from "../src/interfaces/IStakeManager.sol";
import { CourtFixture } from "./support/CourtFixture.sol";
import { VM } from "./support/Vm.sol";

/// @notice Ways around the cap of a window, and around the block in which stake may leave.
contract StakeAttacksTest is CourtFixture {
    function setUp() public {
        _deployAll();
    }

    // The cap

    /// @dev The attack: the cap of a window is used up while nothing is staked, then the operator bonds.
    function test_capUsedUpBeforeTheBond() public {
        _anchor(_step(0, 8));
        _challengeAndExpire(THIEF, 0);
        _bond(_logId, 1_000 ether, 0);
        _challengeAndExpire(REPORTER, 1);
        VM.assertEq(_stake.getSubject(_logId).index, 0.8e18, "a fifth");
        _challengeAndExpire(REPORTER, 2);
        VM.assertEq(_stake.getSubject(_logId).index, 0.8e18, "and no more in this window");
    }

    /// @dev The same while next to nothing is staked.
    function test_capUsedUpOnDust() public {
        _bond(_logId, 1_000, 0);
        _anchor(_step(0, 8));
        _challengeAndExpire(THIEF, 0);
        _bond(_logId, 1_000 ether, 0);
        _challengeAndExpire(REPORTER, 1);
        (uint256 active,) = _stake.valueOf(_logId, OPERATOR);
        VM.assertTrue(active <= 800 ether + 1_000, "a fifth");
    }

    /// @dev The same in steps so small that a counter in whole percents would not move.
    function test_capUsedUpBeforeManySmallBonds() public {
        _bond(_nodeId, 1 ether, 0);
        _slash(20, 1);
        uint256 staked = 0.8 ether;
        for (uint256 i = 0; i < 300; ++i) {
            VM.prank(OPERATOR);
            _stake.bond(_nodeId, staked / 50);
            staked += staked / 50;
        }
        VM.assertTrue(staked > 300 ether, "grown");
        uint256 index = _stake.getSubject(_nodeId).index;
        _slash(20, 1);
        VM.assertTrue(_stake.getSubject(_nodeId).index <= index * 81 / 100, "nearly a fifth");
    }

    /// @dev The attack on an honest subject: dust from anybody must not make room for more omissions.
    function test_capIsNotRaisedByDust() public {
        _bond(_nodeId, 1_000 ether, 1_000 ether);
        _slash(20, 1);
        for (uint256 i = 0; i < 100; ++i) {
            VM.prank(DELEGATOR);
            _stake.delegate(_nodeId, 1);
        }
        uint256 index = _stake.getSubject(_nodeId).index;
        _slash(19, 1);
        VM.assertEq(_stake.getSubject(_nodeId).index, index, "nothing but what rounding gives, below a percent");
    }

    /// @dev Half of the stake is new: half of the cap is there again, of all.
    function test_capFollowsTheStake() public {
        _bond(_nodeId, 1_000 ether, 0);
        _slash(20, 1);
        VM.prank(OPERATOR);
        _stake.bond(_nodeId, 800 ether);
        uint256 index = _stake.getSubject(_nodeId).index;
        _slash(20, 1);
        VM.assertEq(_stake.getSubject(_nodeId).index, index * 90 / 100, "ten of twenty");
        _slash(20, 1);
        VM.assertEq(_stake.getSubject(_nodeId).index, index * 90 / 100, "used up");
    }

    // Leaving

    /// @dev The attack: who retired waits for the promised block, and a change of parameters moves it away.
    function test_exitBlockOfTheRetiredIsKept() public {
        _bond(_nodeId, 1_000 ether, 1_000 ether);
        VM.prank(OPERATOR);
        _stake.retire(_nodeId);
        uint256 promised = _now + UNBOND;
        VM.assertEq(_stake.exitBlock(_nodeId), promised, "promised");
        _roll(UNBOND - 1);
        _setUnbond(4 * UNBOND);
        VM.assertEq(_stake.exitBlock(_nodeId), promised, "not moved");
        _expectNothing(DELEGATOR);
        _roll(1);
        VM.prank(DELEGATOR);
        VM.assertEq(_stake.withdraw(_nodeId), 1_000 ether, "in the block that was promised");
        VM.prank(OPERATOR);
        VM.assertEq(_stake.withdraw(_nodeId), 1_000 ether, "and the operator");
    }

    /// @dev The same for what has ended: what a fault left leaves when it was due.
    function test_exitBlockOfTheEndedIsKept() public {
        _bond(_nodeId, 1_000 ether, 1_000 ether);
        VM.prank(address(_court));
        _stake.slash(_nodeId, 50, 0, 25, 0, true);
        uint256 promised = _now + UNBOND;
        VM.assertEq(_stake.exitBlock(_nodeId), promised, "promised");
        _roll(UNBOND - 1);
        _setUnbond(4 * UNBOND);
        VM.assertEq(_stake.exitBlock(_nodeId), promised, "not moved");
        _expectNothing(DELEGATOR);
        _roll(1);
        VM.prank(DELEGATOR);
        VM.assertEq(_stake.withdraw(_nodeId), 500 ether, "half");
    }

    /// @dev Nor does a shorter delay let anybody out before faults of its time are judged.
    function test_exitBlockIsNotMovedForward() public {
        _setUnbond(2 * UNBOND);
        _roll(1);
        _bond(_nodeId, 1_000 ether, 1_000 ether);
        VM.prank(OPERATOR);
        _stake.retire(_nodeId);
        _roll(1);
        _setUnbond(UNBOND);
        _roll(2 * UNBOND - 2);
        _expectNothing(DELEGATOR);
        _roll(1);
        VM.prank(DELEGATOR);
        VM.assertEq(_stake.withdraw(_nodeId), 1_000 ether, "in the block that was promised");
    }

    /// @dev In the block of a change nobody's block depends on the order of transactions: the change counts from the next.
    function test_changeCountsFromTheNextBlock() public {
        _bond(_nodeId, 1_000 ether, 0);
        _roll(1);
        _setUnbond(2 * UNBOND);
        VM.assertEq(_stake.unbondBlocks(), 2 * UNBOND, "set");
        VM.assertEq(_stake.exitDelay(_nodeId), UNBOND, "in this block");
        _roll(1);
        VM.assertEq(_stake.exitDelay(_nodeId), 2 * UNBOND, "from the next");
    }

    /// @dev The attack: a delay that nobody lives to see.
    function test_unbondBlocksHaveAMaximum() public {
        for (uint64 i = 0; i < 2; ++i) {
            uint64 blocks = i == 0 ? 4 * UNBOND + 1 : type(uint64).max;
            VM.expectRevert(abi.encodeWithSelector(IStakeManager.UnbondBlocksTooMany.selector, blocks, 4 * UNBOND));
            _setUnbond(blocks);
        }
        _setUnbond(4 * UNBOND);
        // Also not from what it has become, and not at deployment.
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.UnbondBlocksTooMany.selector, 4 * UNBOND + 1, 4 * UNBOND));
        _setUnbond(4 * UNBOND + 1);
        VM.expectRevert(
            abi.encodeWithSelector(IStakeManager.UnbondBlocksTooMany.selector, uint256(2 ** 32 + 1), uint256(2 ** 32))
        );
        new StakeManager(address(_timelock), _token, address(this), _registry, _anchorLog, 2 ** 32 + 1, 20);
    }

    function _setUnbond(uint64 blocks) private {
        VM.prank(address(_timelock));
        _stake.setParameters(blocks, 20);
    }

    function _expectNothing(address account) private {
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.NothingDue.selector, _nodeId, account));
        VM.prank(account);
        _stake.withdraw(_nodeId);
    }

    function _slash(uint256 percent, uint32 window) private {
        VM.prank(address(_court));
        _stake.slash(_nodeId, percent, 20, 25, window, false);
    }

    function _challengeAndExpire(address challenger, uint64 index) private {
        uint256 bond = _cases.minimumBond(_logId, 17, 0);
        _send(challenger, address(_cases), abi.encodeCall(IFaultCases.challengeEntry, (_logId, index)), bond);
        _roll(301);
        _cases.expireCase(17, _logId, 0, bytes32(uint256(index)));
    }
}
