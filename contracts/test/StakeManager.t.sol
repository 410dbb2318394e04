// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IStakeManager } from "../src/interfaces/IStakeManager.sol";
import { ITimelocked } from "../src/interfaces/ITimelocked.sol";
import { CourtFixture } from "./support/CourtFixture.sol";
import { Signing } from "./support/Signing.sol";
import { VM } from "./support/Vm.sol";

/// @notice Each rule of spec/stake.md section 3, each refusal.
contract StakeManagerTest is CourtFixture {
    function setUp() public {
        _deployAll();
    }

    function test_bond() public {
        VM.expectEmit(address(_stake));
        emit IStakeManager.Bonded(_nodeId, OPERATOR, 100 ether, 100 ether);
        VM.prank(OPERATOR);
        VM.assertEq(_stake.bond(_nodeId, 100 ether), 100 ether, "shares");
        IStakeManager.Subject memory books = _stake.getSubject(_nodeId);
        VM.assertEq(books.selfShares, 100 ether, "self");
        VM.assertEq(books.heldTokens, 100 ether, "held");
        VM.assertEq(books.operator, OPERATOR, "operator");
        VM.assertEq(_token.balanceOf(address(_stake)), 100 ether, "tokens");
        VM.assertEq(_stake.operatorOf(_logId), OPERATOR, "a log's operator before it is bonded");
        VM.assertEq(_stake.operatorOf(keccak256("nobody")), address(0), "unknown");
    }

    function test_bond_refusals() public {
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.NotOperator.selector, _nodeId, DELEGATOR));
        VM.prank(DELEGATOR);
        _stake.bond(_nodeId, 1 ether);
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.UnknownSubject.selector, keccak256("nobody")));
        VM.prank(OPERATOR);
        _stake.bond(keccak256("nobody"), 1 ether);
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.ZeroAmount.selector));
        VM.prank(OPERATOR);
        _stake.bond(_nodeId, 0);
    }

    function test_delegate_ratio() public {
        _bond(_nodeId, 20 ether, 80 ether);
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.SelfBondTooLow.selector, _nodeId, 20 ether, 100 ether + 1));
        VM.prank(DELEGATOR);
        _stake.delegate(_nodeId, 1);
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.OperatorCannotDelegate.selector, _nodeId));
        VM.prank(OPERATOR);
        _stake.delegate(_nodeId, 1);
    }

    function test_unbond_andWithdraw() public {
        _bond(_nodeId, 100 ether, 80 ether);
        VM.expectEmit(address(_stake));
        emit IStakeManager.Unbonding(_nodeId, DELEGATOR, 30 ether, 100 + UNBOND);
        VM.prank(DELEGATOR);
        _stake.unbond(_nodeId, 30 ether);
        _expectNothingDue(DELEGATOR);
        _roll(UNBOND - 1);
        _expectNothingDue(DELEGATOR);
        _roll(1);
        uint256 before = _token.balanceOf(DELEGATOR);
        VM.prank(DELEGATOR);
        VM.assertEq(_stake.withdraw(_nodeId), 30 ether, "amount");
        VM.assertEq(_token.balanceOf(DELEGATOR) - before, 30 ether, "paid");
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.NotEnoughShares.selector, 51 ether, 50 ether));
        VM.prank(DELEGATOR);
        _stake.unbond(_nodeId, 51 ether);
    }

    /// @dev More shares move the block for all of them, so nothing leaves early by being added to an old exit.
    function test_unbond_again() public {
        _bond(_nodeId, 100 ether, 80 ether);
        VM.prank(DELEGATOR);
        _stake.unbond(_nodeId, 1 ether);
        _roll(UNBOND - 1);
        VM.prank(DELEGATOR);
        _stake.unbond(_nodeId, 79 ether);
        _roll(1);
        _expectNothingDue(DELEGATOR);
    }

    /// @dev Nobody can lock an operator in by delegating to it: it cannot go below the ratio, but it can retire.
    function test_retire() public {
        _bond(_nodeId, 20 ether, 80 ether);
        VM.expectRevert(
            abi.encodeWithSelector(IStakeManager.SelfBondTooLow.selector, _nodeId, 20 ether - 1, 100 ether - 1)
        );
        VM.prank(OPERATOR);
        _stake.unbond(_nodeId, 1);
        VM.prank(OPERATOR);
        _stake.retire(_nodeId);
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.SubjectRetired.selector, _nodeId));
        VM.prank(DELEGATOR);
        _stake.delegate(_nodeId, 1);
        _roll(UNBOND - 1);
        _expectNothingDue(OPERATOR);
        _roll(1);
        VM.prank(OPERATOR);
        VM.assertEq(_stake.withdraw(_nodeId), 20 ether, "self");
        VM.prank(DELEGATOR);
        VM.assertEq(_stake.withdraw(_nodeId), 80 ether, "delegated");
        VM.assertEq(_token.balanceOf(address(_stake)), 0, "empty");
    }

    function test_exitDelay_ofALog() public {
        (bytes32 x, bytes32 y) = Signing.publicKey(0x203);
        bytes32 logId = _anchorLog.logIdOf(OPERATOR, 1);
        bytes memory proof = Signing.key(0x203, address(_anchorLog), logId, 2);
        VM.prank(OPERATOR);
        _anchorLog.register(x, y, ED25519, 1_000, proof);
        VM.assertEq(_stake.exitDelay(logId), UNBOND + 400, "longer pledges, longer exit");
        VM.assertEq(_stake.exitDelay(_nodeId), UNBOND, "a node");
        _bond(logId, 1 ether, 0);
        VM.assertEq(_stake.exitDelay(logId), UNBOND + 400, "bonded");
    }

    function test_slash_isProportional() public {
        _bond(_nodeId, 100 ether, 300 ether);
        VM.prank(DELEGATOR);
        _stake.unbond(_nodeId, 100 ether);
        VM.expectEmit(address(_stake));
        emit IStakeManager.Slashed(_nodeId, 10, 10 ether, 30 ether, 2.5 ether);
        _slash(10, 0, 25, 0, false);
        (uint256 active, uint256 unbonding) = _stake.valueOf(_nodeId, DELEGATOR);
        VM.assertEq(active, 180 ether, "active");
        VM.assertEq(unbonding, 90 ether, "on its way out");
        VM.assertEq(_stake.burnSlashed(_nodeId), 37.5 ether, "burnt, without the reporter's part");
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.NothingDue.selector, _nodeId, address(0)));
        _stake.burnSlashed(_nodeId);
        VM.prank(OPERATOR);
        VM.assertEq(_stake.bond(_nodeId, 9 ether), 10 ether, "a share is worth 0.9");
    }

    function test_slash_ends() public {
        _bond(_nodeId, 100 ether, 300 ether);
        _slash(60, 0, 25, 0, true);
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.SubjectEnded.selector, _nodeId));
        VM.prank(OPERATOR);
        _stake.bond(_nodeId, 1);
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.SubjectEnded.selector, _nodeId));
        VM.prank(DELEGATOR);
        _stake.reward(_nodeId, 1);
        _roll(UNBOND);
        VM.prank(DELEGATOR);
        VM.assertEq(_stake.withdraw(_nodeId), 120 ether, "what is left leaves without unbond");
    }

    function test_slash_limits() public {
        _bond(_nodeId, 100 ether, 0);
        VM.prank(address(_court));
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.InvalidPercent.selector, 51, 50));
        _stake.slash(_nodeId, 1, 0, 51, 0, false);
        VM.prank(address(_court));
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.InvalidPercent.selector, 101, 100));
        _stake.slash(_nodeId, 101, 0, 50, 0, false);
        for (uint256 i = 0; i < 700; ++i) {
            _slash(1, 0, 0, 0, false);
        }
        VM.assertEq(_stake.getSubject(_nodeId).index, 0, "below a thousandth is nothing");
        VM.assertTrue(_stake.getSubject(_nodeId).endedAtBlock != 0, "and ended");
    }

    function test_rewards() public {
        _bond(_nodeId, 100 ether, 300 ether);
        VM.prank(DELEGATOR);
        _stake.unbond(_nodeId, 200 ether);
        VM.prank(DELEGATOR);
        _stake.reward(_nodeId, 20 ether);
        _expectReward(OPERATOR, 10 ether);
        // Unbonding shares earn nothing.
        _expectReward(DELEGATOR, 10 ether);
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.NothingDue.selector, _nodeId, DELEGATOR));
        VM.prank(DELEGATOR);
        _stake.claim(_nodeId);
    }

    function test_parameters() public {
        VM.expectRevert(abi.encodeWithSelector(ITimelocked.NotTimelock.selector, ANYBODY));
        VM.prank(ANYBODY);
        _stake.setParameters(5_000, 10);
        VM.prank(address(_timelock));
        _stake.setParameters(5_000, 10);
        VM.assertEq(_stake.unbondBlocks(), 5_000, "unbondBlocks");
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.UnbondBlocksTooFew.selector, 3_400, 3_400));
        VM.prank(address(_timelock));
        _stake.setParameters(3_400, 10);
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.InvalidPercent.selector, 0, 100));
        VM.prank(address(_timelock));
        _stake.setParameters(5_000, 0);
    }

    /// @dev Rounding theft: whoever comes and goes around slashes never takes out more than it brought.
    function testFuzz_depositAndLeave(uint96 amount, uint8 first, uint8 second, uint96 others) public {
        uint256 mine = 1 + uint256(amount) % 1_000 ether;
        _bond(_nodeId, 900_000 ether, 1 + uint256(others) % 1_000 ether);
        _slash(first % 60, 0, 25, 0, false);
        address late = address(0x1A7E);
        _fund(late, mine);
        VM.prank(late);
        try _stake.delegate(_nodeId, mine) {
            _slash(second % 60, 0, 25, 0, false);
            uint256 shares = _stake.getPosition(_nodeId, late).shares;
            VM.prank(late);
            _stake.unbond(_nodeId, shares);
            _roll(UNBOND);
            VM.prank(late);
            uint256 out = _stake.withdraw(_nodeId);
            VM.assertTrue(out <= mine - mine * (second % 60) / 100, "no more than it brought, less the slash");
        } catch { }
    }

    /// @dev Rounded down by at most shares / 2^64 token units.
    function _expectReward(address account, uint256 amount) private {
        VM.prank(account);
        uint256 paid = _stake.claim(_nodeId);
        VM.assertTrue(paid <= amount && paid + 10 >= amount, "reward");
    }

    function _slash(uint256 percent, uint256 cap, uint256 reward, uint32 window, bool fatal) private {
        VM.prank(address(_court));
        _stake.slash(_nodeId, percent, cap, reward, window, fatal);
    }

    function _expectNothingDue(address account) private {
        VM.expectRevert(abi.encodeWithSelector(IStakeManager.NothingDue.selector, _nodeId, account));
        VM.prank(account);
        _stake.withdraw(_nodeId);
    }
}
