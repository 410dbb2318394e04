// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Timelocked } from "../Timelocked.sol";
import { IAnchorLog } from "../interfaces/IAnchorLog.sol";
import { IFaultCases } from "../interfaces/IFaultCases.sol";
import { IFaultCourt } from "../interfaces/IFaultCourt.sol";
import { INodeRegistry } from "../interfaces/INodeRegistry.sol";
import { IStakeManager } from "../interfaces/IStakeManager.sol";
import { CourtEvidence } from "./CourtEvidence.sol";

/// @title State of FaultCourt
/// @notice Parameters, commitments, recorded faults, observed heads.
/// @dev The order of the state variables is part of spec/faults.md section 6.5: readers prove these slots. What a filing
/// reads together shares a word.
abstract contract CourtRecords is IFaultCourt, Timelocked, CourtEvidence {
    uint8 internal constant TWO_HEADS = 1;
    uint8 internal constant TWO_HISTORIES = 2;
    uint8 internal constant WRONG_LEAF = 3;
    uint8 internal constant LATE_PLEDGE = 4;
    uint8 internal constant FALSE_ENTRY = 5;
    uint8 internal constant TWO_COSIGNATURES = 6;
    uint8 internal constant WRONG_LINK = 13;
    uint8 internal constant WITHHELD_ENTRY = 17;
    uint8 internal constant WITHHELD_OPENING = 18;
    uint8 internal constant MISSING_PLEDGE = 104;

    /// @dev `how` of a pledge whose leaf the log covers and shows nobody.
    uint8 internal constant SEEN_NEVER = 3;
    uint8 private constant CASE_EXPIRED = 3;

    /// @dev Longest wait from a commitment to its filing: a day of 12-second blocks.
    uint32 private constant MAX_REVEAL_BLOCKS = 7_200;
    /// @dev FaultCases keeps bonds in 48 bits of gwei; the eighth open against a subject is at least 128 times the floor.
    uint64 private constant MAX_BOND_FLOOR_GWEI = 2 ** 41 - 1;
    /// @dev Places of the two percentages that belong to no class, from the low end.
    uint256 private constant REWARD_PLACE = 10;
    uint256 private constant CAP_PLACE = 11;

    struct FaultRecord {
        address reporter;
        uint88 reward;
        uint8 class;
    }

    /// @dev A copy of what never changes of a log.
    struct LogKey {
        bytes32 x;
        bytes32 y;
        uint64 pledgeBlocks;
    }

    IStakeManager private _stakeManager; // slot 1
    uint96 private _percents; // slot 1: Penalties, the first in the lowest byte
    IAnchorLog private _anchorLog; // slot 2
    uint32 private _graceBlocks; // slot 2
    uint32 private _incidentBlocks; // slot 2
    uint32 private _capWindowBlocks; // slot 2
    INodeRegistry private _registry; // slot 3
    uint32 private _openWindowBlocks; // slot 3
    uint32 private _answerBlocks; // slot 3
    uint32 private _revealBlocks; // slot 3
    address private _cases; // slot 4
    uint32 private _evidenceBlocks; // slot 4
    uint64 private _bondFloorGwei; // slot 4
    mapping(bytes32 faultId => FaultRecord record) private _faults; // slot 5
    mapping(bytes32 commitment => uint64 fromBlock) private _commitments; // slot 6
    mapping(bytes32 logId => mapping(uint64 blockNumber => uint64 sizePlusOne)) private _observed; // slot 7
    mapping(bytes32 logId => LogKey key) private _logKeys; // slot 8

    /// @param faultCases address at which FaultCases will be deployed; it refuses to be deployed unless it is named here
    /// @param incidentBlocks window of deadlines whose unkept pledges are one fault; in fault ids, so it never changes
    /// @param capWindowBlocks window in which omissions are capped; in StakeManager's counters, so it never changes
    constructor(
        address timelock_,
        IStakeManager stakeManager,
        address faultCases,
        uint32 incidentBlocks,
        uint32 capWindowBlocks,
        Penalties memory penalties,
        Windows memory windows
    ) Timelocked(timelock_) {
        (, address court, address registry, address anchorLog) = stakeManager.contracts();
        if (court != address(this)) revert CourtMismatch(court);
        if (incidentBlocks == 0 || capWindowBlocks == 0) revert InvalidParameter();
        _cases = faultCases;
        (_stakeManager, _registry, _anchorLog) = (stakeManager, INodeRegistry(registry), IAnchorLog(anchorLog));
        (_incidentBlocks, _capWindowBlocks) = (incidentBlocks, capWindowBlocks);
        _setPenalties(penalties);
        _setWindows(windows);
    }

    /// @inheritdoc IFaultCourt
    function commit(bytes32 commitment) external {
        if (_commitments[commitment] != 0) return;
        uint256 fromBlock = block.number + _revealBlocks;
        // casting to 'uint64' is safe for block numbers
        // forge-lint: disable-next-line(unsafe-typecast)
        _commitments[commitment] = uint64(fromBlock);
        emit Committed(commitment, fromBlock);
    }

    /// @inheritdoc IFaultCourt
    function observe(bytes32 logId) external {
        IAnchorLog.LogRecord memory log = _anchorLog.getLog(logId);
        if (log.keyId == 0) revert UnknownLog(logId);
        // The copy makes filings against this log cheaper; what is copied never changes there.
        if (_logKeys[logId].x == 0) _logKeys[logId] = LogKey(log.x, log.y, log.pledgeBlocks);
        uint64 here = uint64(block.number);
        if (_observed[logId][here] != 0) return;
        _observed[logId][here] = log.headSize + 1;
        emit HeadObserved(logId, here, log.headSize);
    }

    /// @inheritdoc IFaultCourt
    function claimReward(uint8 class, bytes32 subject, uint32 keyEpoch, bytes32 incident) external {
        bytes32 faultId = faultIdOf(class, subject, keyEpoch, incident);
        FaultRecord storage record = _faults[faultId];
        uint256 amount = record.reward;
        if (amount == 0) revert NoReward(faultId);
        record.reward = 0;
        _stakeManager.payReporter(subject, record.reporter, amount);
    }

    /// @inheritdoc IFaultCourt
    function recordCase(
        uint8 class,
        bytes32 subject,
        uint32 keyEpoch,
        bytes32 incident,
        uint256 openedAtBlock,
        address challenger
    ) external {
        if (msg.sender != _cases) revert NotCases(msg.sender);
        _recordOmission(class, subject, keyEpoch, incident, openedAtBlock, challenger);
    }

    /// @inheritdoc IFaultCourt
    function setPenalties(Penalties calldata penalties) external onlyTimelock {
        _setPenalties(penalties);
    }

    /// @inheritdoc IFaultCourt
    function setWindows(Windows calldata windows) external onlyTimelock {
        _setWindows(windows);
    }

    /// @inheritdoc IFaultCourt
    function getFault(bytes32 faultId) external view returns (address, uint256, uint8) {
        FaultRecord storage record = _faults[faultId];
        return (record.reporter, record.reward, record.class);
    }

    /// @inheritdoc IFaultCourt
    function committedFrom(bytes32 commitment) external view returns (uint256) {
        return _commitments[commitment];
    }

    /// @inheritdoc IFaultCourt
    function observed(bytes32 logId, uint64 blockNumber) external view returns (uint64) {
        return _observed[logId][blockNumber];
    }

    /// @inheritdoc IFaultCourt
    function getPenalties() external view returns (Penalties memory) {
        uint96 all = _percents;
        return Penalties(
            _percent(all, 0),
            _percent(all, 1),
            _percent(all, 2),
            _percent(all, 3),
            _percent(all, 4),
            _percent(all, 5),
            _percent(all, 6),
            _percent(all, 7),
            _percent(all, 8),
            _percent(all, 9),
            _percent(all, 10),
            _percent(all, 11)
        );
    }

    /// @inheritdoc IFaultCourt
    function getWindows() external view returns (Windows memory) {
        return Windows(_graceBlocks, _openWindowBlocks, _answerBlocks, _evidenceBlocks, _revealBlocks, _bondFloorGwei);
    }

    /// @inheritdoc IFaultCourt
    function contracts() external view returns (address, address, address, address) {
        return (address(_stakeManager), address(_anchorLog), address(_registry), _cases);
    }

    /// @inheritdoc IFaultCourt
    function fixedWindows() external view returns (uint32, uint32) {
        return (_incidentBlocks, _capWindowBlocks);
    }

    /// @inheritdoc IFaultCourt
    function caseTerms() external view returns (uint256, uint256, uint256) {
        return (_openWindowBlocks, _answerBlocks, uint256(_bondFloorGwei) * 1 gwei);
    }

    /// @inheritdoc IFaultCourt
    function exposureBlocks() public view returns (uint256) {
        return
            uint256(_anchorLog.minPledgeBlocks()) + _graceBlocks + _openWindowBlocks + _answerBlocks + _evidenceBlocks;
    }

    /// @inheritdoc IFaultCourt
    function faultIdOf(uint8 class, bytes32 subject, uint32 keyEpoch, bytes32 incident) public pure returns (bytes32) {
        return keccak256(abi.encode(class, subject, keyEpoch, incident));
    }

    /// @dev Uses up the sender's commitment to exactly this call. Who copies the call from the pool has none.
    function _requireCommitted() internal {
        bytes32 commitment = keccak256(abi.encode(block.chainid, address(this), msg.sender, keccak256(msg.data)));
        uint64 fromBlock = _commitments[commitment];
        if (fromBlock == 0 || block.number < fromBlock) revert NotCommitted(commitment);
        delete _commitments[commitment];
    }

    /// @dev Records a contradiction: it ends the subject, and no cap holds it.
    function _recordFatal(uint8 class, bytes32 subject, uint32 keyEpoch, bytes32 incident) internal {
        _record(class, subject, keyEpoch, incident, 0, true, msg.sender);
    }

    /// @dev Records an omission. `inBlock` is the block whose window the cap counts.
    function _recordOmission(
        uint8 class,
        bytes32 subject,
        uint32 keyEpoch,
        bytes32 incident,
        uint256 inBlock,
        address reporter
    ) internal {
        uint256 window = inBlock / _capWindowBlocks;
        // A window that no 32 bits hold lies further ahead than any chain will get.
        // forge-lint: disable-next-line(unsafe-typecast)
        _record(class, subject, keyEpoch, incident, uint32(window), false, reporter);
    }

    /// @dev The one place where faults are recorded and paid for: once per fault id, ever.
    function _record(
        uint8 class,
        bytes32 subject,
        uint32 keyEpoch,
        bytes32 incident,
        uint32 window,
        bool fatal,
        address reporter
    ) private {
        bytes32 faultId = faultIdOf(class, subject, keyEpoch, incident);
        FaultRecord storage record = _faults[faultId];
        if (record.reporter != address(0)) revert AlreadyRecorded(faultId);
        uint88 reward = _slash(class, subject, window, fatal);
        (record.reporter, record.reward, record.class) = (reporter, reward, class);
        emit FaultRecorded(faultId, subject, reporter, class, keyEpoch, incident);
    }

    function _slash(uint8 class, bytes32 subject, uint32 window, bool fatal) private returns (uint88) {
        uint96 percents = _percents;
        uint256 cap = fatal || class == MISSING_PLEDGE ? 0 : _percent(percents, CAP_PLACE);
        uint256 percent = _percent(percents, _placeOf(class));
        uint256 rewardPercent = _percent(percents, REWARD_PLACE);
        (, uint256 reward) = _stakeManager.slash(subject, percent, cap, rewardPercent, window, fatal);
        // casting to 'uint88' is safe because StakeManager promises it
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint88(reward);
    }

    /// @dev Incident of an unkept pledge: the window that its deadline lies in.
    function _incidentOf(uint256 deadline) internal view returns (bytes32) {
        return bytes32(deadline / _incidentBlocks);
    }

    function _requireLog(bytes32 logId) internal view override returns (bytes32 x, bytes32 y) {
        LogKey storage copy = _logKeys[logId];
        x = copy.x;
        return x == 0 ? super._requireLog(logId) : (x, copy.y);
    }

    /// @dev Of a registered log.
    function _pledgeBlocks(bytes32 logId) internal view returns (uint256 blocks) {
        blocks = _logKeys[logId].pledgeBlocks;
        if (blocks == 0) blocks = _anchorLog.getLog(logId).pledgeBlocks;
    }

    function _anchors() internal view override returns (IAnchorLog) {
        return _anchorLog;
    }

    function _nodes() internal view override returns (INodeRegistry) {
        return _registry;
    }

    function _grace() internal view returns (uint256) {
        return _graceBlocks;
    }

    /// @dev What a log's head was in some block: 0 now, 1 by an anchored step, 2 by an observation.
    function _seen(bytes32 logId, uint8 how, uint64 seenAt) internal view returns (uint256 blockNumber, uint64 size) {
        if (how == 0) return (block.number, _anchorLog.getLog(logId).headSize);
        if (how == 1) {
            blockNumber = _anchorLog.getStep(logId, seenAt).blockNumber;
            if (blockNumber == 0) revert NotAnchored(logId, seenAt);
            return (blockNumber, seenAt);
        }
        uint64 sizePlusOne = how == 2 ? _observed[logId][seenAt] : 0;
        if (sizePlusOne == 0) revert NotObserved(logId, seenAt);
        return (seenAt, sizePlusOne - 1);
    }

    /// @dev The log covers the index, or there were no such case; it was asked for what stands there, and nobody has shown
    /// it. The case is asked, not its record here: a late answer changes the case and leaves the record.
    /// @return lastBlock of the time to answer
    function _requireWithheld(bytes32 logId, uint64 index) internal view returns (uint256 lastBlock) {
        bytes32 caseId = faultIdOf(WITHHELD_ENTRY, logId, 0, bytes32(uint256(index)));
        IFaultCases.Case memory record = IFaultCases(_cases).getCase(caseId);
        if (record.state != CASE_EXPIRED) revert NotWithheld(logId, index);
        return uint256(record.openedAtBlock) + _answerBlocks;
    }

    function _setPenalties(Penalties memory p) private {
        uint8[12] memory list = [
            p.twoHeads,
            p.twoHistories,
            p.wrongLeaf,
            p.latePledge,
            p.missingPledge,
            p.falseEntry,
            p.twoCosignatures,
            p.wrongLink,
            p.withheldEntry,
            p.withheldOpening,
            p.reward,
            p.cap
        ];
        uint96 packed = 0;
        for (uint256 i = 0; i < 12; ++i) {
            if (list[i] > (i == REWARD_PLACE ? 50 : 100)) revert InvalidParameter();
            packed |= uint96(list[i]) << (8 * i);
        }
        // A cap of 0 would read as none.
        if (p.cap == 0) revert InvalidParameter();
        _percents = packed;
        emit PenaltiesSet(p);
    }

    function _setWindows(Windows memory w) private {
        bool isZero = w.graceBlocks == 0 || w.openWindowBlocks == 0 || w.answerBlocks == 0 || w.evidenceBlocks == 0;
        if (isZero || w.revealBlocks == 0 || w.revealBlocks > MAX_REVEAL_BLOCKS) revert InvalidParameter();
        // A pledge that is covered in the last block of its grace, and never shown, has a second grace after its case:
        // what stake has to outlast for that must not be longer than for a demanded opening.
        if (w.openWindowBlocks < w.graceBlocks) revert InvalidParameter();
        // A receipt that its log anchors in time is young by far when it is seen first: what looks young and is old was hidden.
        if (w.openWindowBlocks <= 2 * uint256(_anchorLog.minPledgeBlocks())) revert InvalidParameter();
        // Who commits within the time for evidence must be able to file within it.
        if (w.revealBlocks >= w.evidenceBlocks || w.bondFloorGwei > MAX_BOND_FLOOR_GWEI) revert InvalidParameter();
        (_graceBlocks, _openWindowBlocks, _answerBlocks) = (w.graceBlocks, w.openWindowBlocks, w.answerBlocks);
        (_evidenceBlocks, _revealBlocks, _bondFloorGwei) = (w.evidenceBlocks, w.revealBlocks, w.bondFloorGwei);
        uint256 exposure = exposureBlocks();
        uint256 unbondBlocks = _stakeManager.unbondBlocks();
        if (unbondBlocks <= exposure) revert ExposureTooLong(exposure, unbondBlocks);
        emit WindowsSet(w);
    }

    function _placeOf(uint8 class) private pure returns (uint256) {
        if (class < LATE_PLEDGE) return class - 1;
        if (class == LATE_PLEDGE) return 3;
        if (class == MISSING_PLEDGE) return 4;
        if (class == FALSE_ENTRY) return 5;
        if (class == TWO_COSIGNATURES) return 6;
        if (class == WRONG_LINK) return 7;
        return class == WITHHELD_ENTRY ? 8 : 9;
    }

    function _percent(uint96 percents, uint256 place) private pure returns (uint8) {
        // The lowest byte is what is wanted.
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint8(percents >> (8 * place));
    }
}
