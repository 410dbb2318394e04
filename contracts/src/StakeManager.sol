// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { Checkpoints } from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import { AssayToken } from "./AssayToken.sol";
import { Timelocked } from "./Timelocked.sol";
import { IAnchorLog } from "./interfaces/IAnchorLog.sol";
import { IFaultCourt } from "./interfaces/IFaultCourt.sol";
import { INodeRegistry } from "./interfaces/INodeRegistry.sol";
import { IStakeManager } from "./interfaces/IStakeManager.sol";
import { Shares } from "./libraries/Shares.sol";

/// @title StakeManager
/// @notice See IStakeManager.
/// @dev The order of the state variables is part of spec/stake.md section 5.1: readers prove these slots. Addresses are
/// in storage, not in the code, so that one code hash serves every chain. The token has no hooks; books are
/// closed before it is called all the same.
contract StakeManager is IStakeManager, Timelocked {
    using Checkpoints for Checkpoints.Trace208;
    using SafeCast for uint256;
    using SafeERC20 for AssayToken;

    /// @notice Longest pledge of a log that can be staked on, blocks.
    uint64 public constant MAX_PLEDGE_BLOCKS = 1 << 32;
    /// @notice How often `unbondBlocks` can grow over what was deployed: the windows that stake has to outlast may, but
    /// who bonds must know how long its stake can be held at most.
    uint64 public constant MAX_GROWTH = 4;
    /// @notice Largest part of the slashed self-bond that a reporter gets, percent.
    uint256 public constant MAX_REWARD_PERCENT = 50;

    AssayToken private _token; // slot 1
    address private _court; // slot 2
    uint64 private _unbondBlocks; // slot 2
    uint8 private _minSelfPercent; // slot 2
    INodeRegistry private _registry; // slot 3
    uint64 private _maxUnbondBlocks; // slot 3
    IAnchorLog private _anchorLog; // slot 4
    mapping(bytes32 subject => Subject books) private _subjects; // slot 5
    mapping(bytes32 subject => mapping(address account => Position position)) private _positions; // slot 6
    /// @dev `unbondBlocks` by the block from which it counts: who retired or ended leaves by what counted then.
    Checkpoints.Trace208 private _unbondHistory; // slot 7

    /// @param court address at which FaultCourt will be deployed; it refuses to be deployed unless it is named here
    /// and its own windows fit `unbondBlocks_`
    constructor(
        address timelock_,
        AssayToken token,
        address court,
        INodeRegistry registry,
        IAnchorLog anchorLog,
        uint64 unbondBlocks_,
        uint8 minSelfPercent_
    ) Timelocked(timelock_) {
        if (unbondBlocks_ > MAX_PLEDGE_BLOCKS) {
            revert UnbondBlocksTooMany(unbondBlocks_, MAX_PLEDGE_BLOCKS);
        }
        (_token, _court, _registry, _anchorLog) = (token, court, registry, anchorLog);
        _maxUnbondBlocks = MAX_GROWTH * unbondBlocks_;
        _setParameters(0, unbondBlocks_, minSelfPercent_);
    }

    /// @inheritdoc IStakeManager
    function bond(bytes32 subject, uint256 amount) external returns (uint256) {
        Subject storage books = _open(subject);
        if (books.operator != msg.sender) revert NotOperator(subject, msg.sender);
        return _deposit(subject, books, amount, true);
    }

    /// @inheritdoc IStakeManager
    function delegate(bytes32 subject, uint256 amount) external returns (uint256 shares) {
        Subject storage books = _open(subject);
        if (books.operator == msg.sender) revert OperatorCannotDelegate(subject);
        shares = _deposit(subject, books, amount, false);
        _requireSelfBond(subject, books);
    }

    /// @inheritdoc IStakeManager
    function unbond(bytes32 subject, uint256 shares) external {
        Subject storage books = _subjects[subject];
        Position storage position = _positions[subject][msg.sender];
        if (shares == 0) revert ZeroAmount();
        if (shares > position.shares) revert NotEnoughShares(shares, position.shares);
        _settle(books, position);
        uint256 untilBlock = _exitOf(books, block.number);
        uint96 moved = shares.toUint96();
        position.shares -= moved;
        position.unbondingShares += moved;
        position.unlockBlock = untilBlock.toUint64();
        if (books.operator == msg.sender) {
            books.selfUnbonding += moved;
            if (books.delegatedShares > books.delegatedUnbonding) _requireSelfBond(subject, books);
        } else {
            books.delegatedUnbonding += moved;
        }
        emit Unbonding(subject, msg.sender, shares, untilBlock);
    }

    /// @inheritdoc IStakeManager
    function retire(bytes32 subject) external {
        Subject storage books = _subjects[subject];
        if (books.operator != msg.sender) revert NotOperator(subject, msg.sender);
        if (books.retiredAtBlock != 0) revert SubjectRetired(subject);
        books.retiredAtBlock = uint40(block.number);
        emit Retired(subject, _exitOf(books, block.number));
    }

    /// @inheritdoc IStakeManager
    function withdraw(bytes32 subject) external returns (uint256 amount) {
        Subject storage books = _subjects[subject];
        Position storage position = _positions[subject][msg.sender];
        _settle(books, position);
        uint96 unbonding = position.unbondingShares;
        uint96 shares = unbonding;
        uint256 exit = _exitBlock(books);
        if (exit != 0 && block.number >= exit) {
            shares += position.shares;
            position.shares = 0;
        } else if (block.number < position.unlockBlock) {
            shares = 0;
        }
        if (shares == 0) revert NothingDue(subject, msg.sender);
        position.unbondingShares = 0;
        position.unlockBlock = 0;
        if (books.operator == msg.sender) {
            books.selfShares -= shares;
            books.selfUnbonding -= unbonding;
        } else {
            books.delegatedShares -= shares;
            books.delegatedUnbonding -= unbonding;
        }
        amount = Shares.valueOf(shares, books.index);
        books.heldTokens -= amount.toUint128();
        emit Withdrawn(subject, msg.sender, amount, shares);
        _token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IStakeManager
    function reward(bytes32 subject, uint256 amount) external {
        Subject storage books = _subjects[subject];
        if (amount == 0) revert ZeroAmount();
        if (books.endedAtBlock != 0) revert SubjectEnded(subject);
        (uint256 ofSelf, uint256 ofAll) = _activeShares(books);
        if (ofAll == 0) revert SelfBondTooLow(subject, ofSelf, ofAll);
        books.rewardPerShare += ((amount << 64) / ofAll).toUint128();
        books.heldRewards += amount.toUint128();
        emit Rewarded(subject, msg.sender, amount);
        _token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IStakeManager
    function claim(bytes32 subject) external returns (uint256 amount) {
        Subject storage books = _subjects[subject];
        Position storage position = _positions[subject][msg.sender];
        _settle(books, position);
        amount = position.rewardOwed;
        if (amount == 0) revert NothingDue(subject, msg.sender);
        position.rewardOwed = 0;
        books.heldRewards -= amount.toUint128();
        emit RewardClaimed(subject, msg.sender, amount);
        _token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IStakeManager
    function burnSlashed(bytes32 subject) external returns (uint256 amount) {
        Subject storage books = _subjects[subject];
        uint256 index = books.index;
        uint256 owned = Shares.valueOf(books.selfShares, index) + Shares.valueOf(books.delegatedShares, index);
        amount = books.heldTokens - owned - books.reservedRewards;
        if (amount == 0) revert NothingDue(subject, address(0));
        books.heldTokens -= amount.toUint128();
        emit SlashedBurned(subject, amount);
        _token.burn(amount);
    }

    /// @inheritdoc IStakeManager
    function slash(
        bytes32 subject,
        uint256 percent,
        uint256 capPercent,
        uint256 rewardPercent,
        uint32 capWindow,
        bool fatal
    ) external returns (uint256 slashed, uint256 reporterReward) {
        if (msg.sender != _court) revert NotCourt(msg.sender);
        if (percent > 100) revert InvalidPercent(percent, 100);
        if (rewardPercent > MAX_REWARD_PERCENT) revert InvalidPercent(rewardPercent, MAX_REWARD_PERCENT);
        Subject storage books = _subjects[subject];
        if (capPercent != 0) percent = _useCap(books, percent, capPercent, capWindow);
        (uint256 index, uint96 reserved, uint40 endedAt) = (books.index, books.reservedRewards, books.endedAtBlock);
        if (index != 0 && percent != 0) {
            uint256 lower = Shares.indexAfter(index, percent);
            uint256 fromSelf = _lost(books.selfShares, index, lower);
            slashed = _lost(books.delegatedShares, index, lower);
            reporterReward = fromSelf * rewardPercent / 100;
            if (reporterReward > type(uint88).max) reporterReward = type(uint88).max;
            emit Slashed(subject, percent, fromSelf, slashed, reporterReward);
            slashed += fromSelf;
            if (lower == 0) fatal = true;
            // casting is safe because the reward is below 2^88
            // forge-lint: disable-next-line(unsafe-typecast)
            (index, reserved) = (lower, reserved + uint96(reporterReward));
        }
        if (fatal && endedAt == 0) {
            endedAt = uint40(block.number);
            emit Ended(subject);
        }
        // casting is safe because the index only falls
        // forge-lint: disable-next-line(unsafe-typecast)
        (books.index, books.reservedRewards, books.endedAtBlock) = (uint64(index), reserved, endedAt);
    }

    /// @inheritdoc IStakeManager
    function payReporter(bytes32 subject, address reporter, uint256 amount) external {
        if (msg.sender != _court) revert NotCourt(msg.sender);
        Subject storage books = _subjects[subject];
        books.reservedRewards -= amount.toUint96();
        books.heldTokens -= amount.toUint128();
        emit ReporterPaid(subject, reporter, amount);
        _token.safeTransfer(reporter, amount);
    }

    /// @inheritdoc IStakeManager
    function setParameters(uint64 unbondBlocks_, uint8 minSelfPercent_) external onlyTimelock {
        uint256 minimum = IFaultCourt(_court).exposureBlocks();
        if (unbondBlocks_ <= minimum) revert UnbondBlocksTooFew(unbondBlocks_, minimum);
        uint64 maximum = _maxUnbondBlocks;
        if (unbondBlocks_ > maximum) revert UnbondBlocksTooMany(unbondBlocks_, maximum);
        // From the next block on: in this one nobody's exit depends on the order of transactions.
        _setParameters(block.number + 1, unbondBlocks_, minSelfPercent_);
    }

    /// @inheritdoc IStakeManager
    function contracts() external view returns (address, address, address, address) {
        return (address(_token), _court, address(_registry), address(_anchorLog));
    }

    /// @inheritdoc IStakeManager
    function unbondBlocks() external view returns (uint64) {
        return _unbondBlocks;
    }

    /// @inheritdoc IStakeManager
    function minSelfPercent() external view returns (uint8) {
        return _minSelfPercent;
    }

    /// @inheritdoc IStakeManager
    function exitDelay(bytes32 subject) external view returns (uint256) {
        Subject storage books = _subjects[subject];
        uint64 extraPledgeBlocks = books.extraPledgeBlocks;
        if (books.operator == address(0)) (, extraPledgeBlocks) = _lookUp(subject);
        return _unbondBlocksIn(block.number) + extraPledgeBlocks;
    }

    /// @inheritdoc IStakeManager
    function exitBlock(bytes32 subject) external view returns (uint256) {
        return _exitBlock(_subjects[subject]);
    }

    /// @inheritdoc IStakeManager
    function operatorOf(bytes32 subject) external view returns (address operator) {
        operator = _subjects[subject].operator;
        if (operator == address(0)) (operator,) = _lookUp(subject);
    }

    /// @inheritdoc IStakeManager
    function getSubject(bytes32 subject) external view returns (Subject memory) {
        return _subjects[subject];
    }

    /// @inheritdoc IStakeManager
    function getPosition(bytes32 subject, address account) external view returns (Position memory) {
        return _positions[subject][account];
    }

    /// @inheritdoc IStakeManager
    function valueOf(bytes32 subject, address account) external view returns (uint256 active, uint256 unbonding) {
        Position storage position = _positions[subject][account];
        uint256 index = _subjects[subject].index;
        return (Shares.valueOf(position.shares, index), Shares.valueOf(position.unbondingShares, index));
    }

    /// @dev The first stake of a subject fixes its operator, which never changes in either registry.
    function _open(bytes32 subject) private returns (Subject storage books) {
        books = _subjects[subject];
        if (books.endedAtBlock != 0) revert SubjectEnded(subject);
        if (books.retiredAtBlock != 0) revert SubjectRetired(subject);
        if (books.operator != address(0)) return books;
        (address operator, uint64 extraPledgeBlocks) = _lookUp(subject);
        if (operator == address(0)) revert UnknownSubject(subject);
        if (extraPledgeBlocks > MAX_PLEDGE_BLOCKS) revert PledgeBlocksTooMany(extraPledgeBlocks, MAX_PLEDGE_BLOCKS);
        (books.operator, books.extraPledgeBlocks) = (operator, extraPledgeBlocks);
        books.index = uint64(Shares.ONE);
    }

    function _deposit(bytes32 subject, Subject storage books, uint256 amount, bool isSelf)
        private
        returns (uint256 shares)
    {
        shares = Shares.sharesOf(amount, books.index);
        if (shares == 0) revert ZeroAmount();
        Position storage position = _positions[subject][msg.sender];
        _settle(books, position);
        uint96 added = shares.toUint96();
        // What a window has taken was taken of what was there: new stake does not stand behind a cap that was used up before.
        uint256 used = books.capUsed;
        if (used != 0) {
            used = Shares.usedAfter(used, uint256(books.selfShares) + books.delegatedShares, shares);
            books.capUsed = used.toUint24();
        }
        position.shares += added;
        if (isSelf) books.selfShares += added;
        else books.delegatedShares += added;
        books.heldTokens += amount.toUint128();
        emit Bonded(subject, msg.sender, amount, shares);
        _token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @dev Books the rewards of the active shares so far; before every change of those shares.
    function _settle(Subject storage books, Position storage position) private {
        uint256 perShare = books.rewardPerShare;
        uint256 debt = position.rewardDebt;
        if (perShare == debt) return;
        position.rewardOwed += ((position.shares * (perShare - debt)) >> 64).toUint128();
        position.rewardDebt = perShare.toUint128();
    }

    /// @dev The counter belongs to the newest window: an omission of an older one counts in it, so filing in another
    /// order never makes room.
    function _useCap(Subject storage books, uint256 percent, uint256 cap, uint32 window) private returns (uint256) {
        uint256 used = books.capUsed;
        if (window > books.capWindow) {
            books.capWindow = window;
            used = 0;
        }
        percent = Shares.withinCap(percent, cap, used);
        books.capUsed = (used + percent * Shares.CAP_UNITS).toUint24();
        return percent;
    }

    function _setParameters(uint256 fromBlock, uint64 unbondBlocks_, uint8 minSelfPercent_) private {
        if (minSelfPercent_ == 0 || minSelfPercent_ > 100) revert InvalidPercent(minSelfPercent_, 100);
        (_unbondBlocks, _minSelfPercent) = (unbondBlocks_, minSelfPercent_);
        _unbondHistory.push(fromBlock.toUint48(), unbondBlocks_);
        emit ParametersSet(unbondBlocks_, minSelfPercent_);
    }

    function _requireSelfBond(bytes32 subject, Subject storage books) private view {
        (uint256 ofSelf, uint256 ofAll) = _activeShares(books);
        if (ofSelf * 100 < ofAll * _minSelfPercent) revert SelfBondTooLow(subject, ofSelf, ofAll);
    }

    function _activeShares(Subject storage books) private view returns (uint256 ofSelf, uint256 ofAll) {
        ofSelf = books.selfShares - books.selfUnbonding;
        ofAll = ofSelf + books.delegatedShares - books.delegatedUnbonding;
    }

    /// @dev Block from which all positions may leave because the subject retired or ended, whichever comes first; 0 = neither.
    function _exitBlock(Subject storage books) private view returns (uint256 exit) {
        (uint256 retired, uint256 ended) = (books.retiredAtBlock, books.endedAtBlock);
        if (retired != 0) exit = _exitOf(books, retired);
        if (ended == 0) return exit;
        ended = _exitOf(books, ended);
        return retired == 0 || ended < exit ? ended : exit;
    }

    /// @dev First block in which that may leave which began to in a block; no later change moves it.
    function _exitOf(Subject storage books, uint256 since) private view returns (uint256) {
        return since + _unbondBlocksIn(since) + books.extraPledgeBlocks;
    }

    function _unbondBlocksIn(uint256 blockNumber) private view returns (uint256) {
        // casting to 'uint48' is safe for block numbers
        // forge-lint: disable-next-line(unsafe-typecast)
        return _unbondHistory.upperLookupRecent(uint48(blockNumber));
    }

    function _lookUp(bytes32 subject) private view returns (address operator, uint64 extraPledgeBlocks) {
        operator = _registry.getNode(subject).operator;
        if (operator != address(0)) return (operator, 0);
        IAnchorLog.LogRecord memory log = _anchorLog.getLog(subject);
        if (log.keyId == 0) return (address(0), 0);
        return (log.operator, log.pledgeBlocks - _anchorLog.minPledgeBlocks());
    }

    function _lost(uint256 shares, uint256 index, uint256 lower) private pure returns (uint256) {
        return Shares.valueOf(shares, index) - Shares.valueOf(shares, lower);
    }
}
