// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title StakeManager
/// @notice Holds what nodes and logs lose when they are shown to have lied. Only FaultCourt takes from it.
/// @dev Source: spec/stake.md. A subject is a nodeId or a logId. Amounts are token units (10^-18), shares are worth
/// `index` / 10^18 token units each.
interface IStakeManager {
    /// @notice A subject's books.
    /// @param selfShares the operator's shares, unbonding ones included
    /// @param delegatedShares all others', unbonding ones included
    /// @param retiredAtBlock block in which the operator let everything leave; 0 = not retired
    /// @param index token units per share times 10^18; only falls; 0 = unused or wiped out
    /// @param reservedRewards token units that reporters may still fetch
    /// @param capWindow newest window of omissions seen
    /// @param capUsed taken for omissions in it, 2^-16 of a percent
    /// @param endedAtBlock block from which the subject can never be bonded again; 0 = it can
    /// @param selfUnbonding the operator's shares on their way out
    /// @param delegatedUnbonding all others'
    /// @param heldTokens token units held for stake, slashed and unburnt ones included
    /// @param heldRewards token units held for rewards
    /// @param rewardPerShare rewards per active share so far, times 2^64
    /// @param operator zero = nothing was ever staked here
    /// @param extraPledgeBlocks pledge blocks of a log beyond AnchorLog's minimum
    struct Subject {
        uint96 selfShares;
        uint96 delegatedShares;
        uint40 retiredAtBlock;
        uint64 index;
        uint96 reservedRewards;
        uint32 capWindow;
        uint24 capUsed;
        uint40 endedAtBlock;
        uint96 selfUnbonding;
        uint96 delegatedUnbonding;
        uint128 heldTokens;
        uint128 heldRewards;
        uint128 rewardPerShare;
        address operator;
        uint64 extraPledgeBlocks;
    }

    /// @notice An account's part in a subject.
    /// @param shares active ones
    /// @param unbondingShares on their way out, still slashable
    /// @param unlockBlock first block in which those may be withdrawn
    /// @param rewardDebt rewardPerShare up to which rewards are booked
    /// @param rewardOwed booked rewards, token units
    struct Position {
        uint96 shares;
        uint96 unbondingShares;
        uint64 unlockBlock;
        uint128 rewardDebt;
        uint128 rewardOwed;
    }

    /// @notice Thrown when the sender is not the subject's operator.
    error NotOperator(bytes32 subject, address sender);
    /// @notice Thrown when an operator delegates to itself.
    error OperatorCannotDelegate(bytes32 subject);
    /// @notice Thrown when neither registry knows the subject.
    error UnknownSubject(bytes32 subject);
    /// @notice Thrown when an amount or number of shares is zero, or too small for one share.
    error ZeroAmount();
    /// @notice Thrown when the subject is ended.
    error SubjectEnded(bytes32 subject);
    /// @notice Thrown when the subject is retired.
    error SubjectRetired(bytes32 subject);
    /// @notice Thrown when the operator's active shares would be too few of all active shares.
    error SelfBondTooLow(bytes32 subject, uint256 selfShares, uint256 totalShares);
    /// @notice Thrown when a position has fewer active shares.
    error NotEnoughShares(uint256 shares, uint256 held);
    /// @notice Thrown when nothing can be paid out.
    error NothingDue(bytes32 subject, address account);
    /// @notice Thrown when somebody else than FaultCourt slashes.
    error NotCourt(address sender);
    /// @notice Thrown when stake could leave before faults of its time are judged (blocks).
    error UnbondBlocksTooFew(uint256 unbondBlocks, uint256 minimum);
    /// @notice Thrown when stake could be held for longer than who bonded could know (blocks).
    error UnbondBlocksTooMany(uint256 unbondBlocks, uint256 maximum);
    /// @notice Thrown when a percentage is out of range.
    error InvalidPercent(uint256 percent, uint256 maximum);
    /// @notice Thrown when a log's pledges last too long for its stake ever to be withdrawn (blocks).
    error PledgeBlocksTooMany(uint64 pledgeBlocks, uint64 maximum);

    /// @notice Emitted when an account, operator or not, adds stake.
    event Bonded(bytes32 indexed subject, address indexed account, uint256 amount, uint256 shares);
    /// @notice Emitted when shares begin to leave.
    event Unbonding(bytes32 indexed subject, address indexed account, uint256 shares, uint256 untilBlock);
    /// @notice Emitted when an operator lets everything leave.
    event Retired(bytes32 indexed subject, uint256 untilBlock);
    /// @notice Emitted when stake is paid out.
    event Withdrawn(bytes32 indexed subject, address indexed account, uint256 amount, uint256 shares);
    /// @notice Emitted when somebody pays rewards to the active shares.
    event Rewarded(bytes32 indexed subject, address indexed from, uint256 amount);
    /// @notice Emitted when an account fetches its rewards.
    event RewardClaimed(bytes32 indexed subject, address indexed account, uint256 amount);
    /// @notice Emitted when a fault is paid for. `percent` is what was taken after the cap.
    event Slashed(bytes32 indexed subject, uint256 percent, uint256 fromSelf, uint256 fromDelegated, uint256 reward);
    /// @notice Emitted when a subject can never be bonded again.
    event Ended(bytes32 indexed subject);
    /// @notice Emitted when a reporter is paid.
    event ReporterPaid(bytes32 indexed subject, address indexed reporter, uint256 amount);
    /// @notice Emitted when slashed tokens are burnt.
    event SlashedBurned(bytes32 indexed subject, uint256 amount);
    /// @notice Emitted when the timelock sets the parameters, and at construction.
    event ParametersSet(uint64 unbondBlocks, uint8 minSelfPercent);

    /// @notice Adds to the operator's own stake. Only the operator; needs the token's allowance.
    function bond(bytes32 subject, uint256 amount) external returns (uint256 shares);

    /// @notice Adds another account's stake. Needs the token's allowance and enough self-bond.
    function delegate(bytes32 subject, uint256 amount) external returns (uint256 shares);

    /// @notice Lets shares of the sender leave; all its unbonding shares wait from this block on.
    function unbond(bytes32 subject, uint256 shares) external;

    /// @notice Lets everything leave, for ever. Only the operator.
    function retire(bytes32 subject) external;

    /// @notice Pays out to the sender what is due.
    function withdraw(bytes32 subject) external returns (uint256 amount);

    /// @notice Pays rewards to the active shares. Needs the token's allowance.
    function reward(bytes32 subject, uint256 amount) external;

    /// @notice Pays out the sender's rewards.
    function claim(bytes32 subject) external returns (uint256 amount);

    /// @notice Burns what slashes took, except what reporters may still fetch.
    function burnSlashed(bytes32 subject) external returns (uint256 amount);

    /// @notice Takes a percentage of all stake of a subject. Only FaultCourt. Never reverts for lack of stake.
    /// @param percent of every share
    /// @param capPercent most that omissions take in one window; 0 = no cap
    /// @param rewardPercent of what is taken from the self-bond, at most 50
    /// @param capWindow window in which the fault happened
    /// @param fatal whether the subject ends
    /// @return slashed token units taken
    /// @return reporterReward token units reserved for the reporter, below 2^88
    function slash(
        bytes32 subject,
        uint256 percent,
        uint256 capPercent,
        uint256 rewardPercent,
        uint32 capWindow,
        bool fatal
    ) external returns (uint256 slashed, uint256 reporterReward);

    /// @notice Pays a reserved reward. Only FaultCourt.
    function payReporter(bytes32 subject, address reporter, uint256 amount) external;

    /// @notice Sets the parameters. Only the timelock. Counts for who begins to leave from the next block on.
    /// @param unbondBlocks above what FaultCourt says that faults can take to be judged, at most four times what it was when
    /// this was deployed
    /// @param minSelfPercent 1 to 100
    function setParameters(uint64 unbondBlocks, uint8 minSelfPercent) external;

    /// @notice Token, FaultCourt, NodeRegistry, AnchorLog.
    function contracts() external view returns (address token, address court, address registry, address anchorLog);

    /// @notice Blocks from leaving to withdrawal for a node, as set last.
    function unbondBlocks() external view returns (uint64);

    /// @notice Least percentage of active shares that must be the operator's when others delegate.
    function minSelfPercent() external view returns (uint8);

    /// @notice Blocks to withdrawal for what begins to leave this subject in this block.
    function exitDelay(bytes32 subject) external view returns (uint256);

    /// @notice Block from which all stake of a subject may leave because it retired or ended; 0 = neither. No later change of
    /// parameters moves it.
    function exitBlock(bytes32 subject) external view returns (uint256);

    /// @notice The operator of a node or log as the registries know it; zero if unknown.
    function operatorOf(bytes32 subject) external view returns (address);

    /// @notice A subject's books; all zero if nothing was ever staked.
    function getSubject(bytes32 subject) external view returns (Subject memory);

    /// @notice An account's part.
    function getPosition(bytes32 subject, address account) external view returns (Position memory);

    /// @notice Token units of an account's active and unbonding shares at the present index.
    function valueOf(bytes32 subject, address account) external view returns (uint256 active, uint256 unbonding);
}
