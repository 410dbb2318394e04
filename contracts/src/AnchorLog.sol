// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IAnchorLog } from "./interfaces/IAnchorLog.sol";
import { CoseSign1 } from "./libraries/CoseSign1.sol";
import { Rfc9162 } from "./libraries/Rfc9162.sol";
import { Statements } from "./libraries/Statements.sol";

/// @title AnchorLog
/// @notice See IAnchorLog.
/// @dev The order of the state variables is part of spec/contracts.md section 5: readers prove these slots.
/// Parameters are in storage, not in the code, so that one code hash serves every chain.
contract AnchorLog is IAnchorLog {
    /// @notice Most steps in one call: 16 with proofs of full length and without the P-256 precompile stay under the
    /// 2^24 gas that one transaction may use.
    uint256 public constant MAX_STEPS = 16;
    /// @notice Most hashes in one consistency proof: no tree of up to 2^63 - 1 leaves needs more.
    uint256 public constant MAX_PROOF_HASHES = 64;

    bytes32 private _instance; // slot 0
    uint64 private _minPledgeBlocks; // slot 1
    mapping(address operator => uint64 count) private _logCount; // slot 2
    mapping(bytes32 logId => LogRecord record) private _logs; // slot 3
    mapping(bytes32 logId => mapping(uint64 size => Step step)) private _steps; // slot 4
    mapping(bytes32 keyId => bytes32 logId) private _logOfKey; // slot 5
    mapping(bytes32 logId => mapping(uint64 size => bytes32 root)) private _conflictingRoot; // slot 6
    mapping(bytes32 leafHash => uint64 blockNumber) private _requestedAt; // slot 7

    /// @param minPledgeBlocks_ fewest blocks a log may have from a pledge to its deadline
    constructor(uint64 minPledgeBlocks_) {
        bytes32 previous = blockhash(block.number - 1);
        if (previous == 0) revert NoPreviousBlockHash();
        if (minPledgeBlocks_ == 0) revert ZeroPledgeBlocks();
        _instance = previous;
        _minPledgeBlocks = minPledgeBlocks_;
    }

    /// @inheritdoc IAnchorLog
    function register(bytes32 x, bytes32 y, bytes32 ed25519Key, uint64 pledgeBlocks, bytes calldata proofOfPossession)
        external
        returns (bytes32 logId)
    {
        if (pledgeBlocks < _minPledgeBlocks) revert PledgeBlocksTooFew(pledgeBlocks, _minPledgeBlocks);
        uint64 operatorIndex = _logCount[msg.sender]++;
        logId = logIdOf(msg.sender, operatorIndex);
        bytes32 keyId = _requirePossession(logId, x, y, proofOfPossession);

        _logOfKey[keyId] = logId;
        _logs[logId] = LogRecord(keyId, msg.sender, pledgeBlocks, ed25519Key, x, y, 0, Rfc9162.EMPTY_ROOT);
        _steps[logId][0] = Step(Rfc9162.EMPTY_ROOT, uint64(block.number));
        emit LogRegistered(logId, msg.sender, keyId, operatorIndex, x, y, ed25519Key, pledgeBlocks);
        emit Anchored(logId, 0, Rfc9162.EMPTY_ROOT);
    }

    /// @inheritdoc IAnchorLog
    function anchor(bytes32 logId, SignedStep[] calldata steps) external {
        uint256 count = steps.length;
        if (count == 0 || count > MAX_STEPS) revert InvalidStepCount(count, MAX_STEPS);
        LogRecord storage log = _logs[logId];
        uint64 headSize = log.headSize;
        bytes32 headRoot = log.headRoot;
        // Every registered log has a head from the start, so no other word has to be read to know that it exists.
        if (headRoot == 0) revert UnknownLog(logId);

        bool moved = false;
        for (uint256 i = 0; i < count; ++i) {
            SignedStep calldata step = steps[i];
            // These depend on the sender's bytes alone, so nobody else can make them fail. A root of zero would read as
            // "none" in storage.
            if (step.root == 0) revert ZeroRoot(i);
            if (step.size > Rfc9162.MAX_SIZE) revert SizeTooLarge(i, step.size, Rfc9162.MAX_SIZE);
            Step storage stored = _steps[logId][step.size];
            if (stored.blockNumber != 0) {
                if (stored.root != step.root) _recordConflict(logId, log, stored.root, step, i);
                continue;
            }
            if (step.size < headSize) continue;
            // The head itself is always anchored, so here the step lies above it.
            _requireSigned(logId, log, step, i);
            _requireAppend(headSize, headRoot, step, i);
            stored.root = step.root;
            stored.blockNumber = uint64(block.number);
            emit Anchored(logId, step.size, step.root);
            (headSize, headRoot, moved) = (step.size, step.root, true);
        }
        if (moved) (log.headSize, log.headRoot) = (headSize, headRoot);
    }

    /// @inheritdoc IAnchorLog
    function request(bytes32 leafHash) external {
        if (_requestedAt[leafHash] != 0) return;
        _requestedAt[leafHash] = uint64(block.number);
        emit LeafRequested(leafHash, msg.sender);
    }

    /// @inheritdoc IAnchorLog
    function requestedAt(bytes32 leafHash) external view returns (uint64) {
        return _requestedAt[leafHash];
    }

    /// @inheritdoc IAnchorLog
    function instance() external view returns (bytes32) {
        return _instance;
    }

    /// @inheritdoc IAnchorLog
    function minPledgeBlocks() external view returns (uint64) {
        return _minPledgeBlocks;
    }

    /// @inheritdoc IAnchorLog
    function logCount(address operator) external view returns (uint64) {
        return _logCount[operator];
    }

    /// @inheritdoc IAnchorLog
    function getLog(bytes32 logId) external view returns (LogRecord memory) {
        return _logs[logId];
    }

    /// @inheritdoc IAnchorLog
    function getStep(bytes32 logId, uint64 size) external view returns (Step memory) {
        return _steps[logId][size];
    }

    /// @inheritdoc IAnchorLog
    function logOfKey(bytes32 keyId) external view returns (bytes32) {
        return _logOfKey[keyId];
    }

    /// @inheritdoc IAnchorLog
    function conflictingRoot(bytes32 logId, uint64 size) external view returns (bytes32) {
        return _conflictingRoot[logId][size];
    }

    /// @inheritdoc IAnchorLog
    function logIdOf(address operator, uint64 operatorIndex) public view returns (bytes32) {
        return sha256(abi.encode(block.chainid, address(this), _instance, operator, operatorIndex));
    }

    /// @dev Keeps the first conflict of a size: one is enough to convict, and an event per repetition would be noise.
    /// The signature is checked before anything is skipped, so that a step of the sender's invention never passes.
    function _recordConflict(
        bytes32 logId,
        LogRecord storage log,
        bytes32 anchoredRoot,
        SignedStep calldata step,
        uint256 stepIndex
    ) private {
        _requireSigned(logId, log, step, stepIndex);
        if (_conflictingRoot[logId][step.size] != 0) return;
        _conflictingRoot[logId][step.size] = step.root;
        emit ConflictRecorded(logId, step.size, anchoredRoot, step.root, step.signature);
    }

    function _requireSigned(bytes32 logId, LogRecord storage log, SignedStep calldata step, uint256 stepIndex)
        private
        view
    {
        bytes32 payload = Statements.checkpointPayload(address(this), logId, step.size, step.root);
        if (!CoseSign1.isSigned(Statements.CHECKPOINT_TAG, payload, step.signature, log.x, log.y)) {
            revert InvalidCheckpointSignature(stepIndex);
        }
    }

    function _requireAppend(uint64 headSize, bytes32 headRoot, SignedStep calldata step, uint256 stepIndex)
        private
        view
    {
        uint256 length = step.consistencyProof.length;
        if (length > MAX_PROOF_HASHES) revert ProofTooLong(stepIndex, length, MAX_PROOF_HASHES);
        // Every tree is an append of the empty one, whose root was set at registration.
        bool isAppend = headSize == 0
            ? length == 0
            : Rfc9162.isConsistent(headSize, headRoot, step.size, step.root, step.consistencyProof);
        if (!isAppend) revert InvalidConsistencyProof(stepIndex, headSize, step.size);
    }

    /// @dev logId contains the operator, so a proof copied from a pending transaction registers nothing for a stranger.
    function _requirePossession(bytes32 logId, bytes32 x, bytes32 y, bytes calldata signature)
        private
        view
        returns (bytes32 keyId)
    {
        if (!CoseSign1.isPublicKey(x, y)) revert InvalidPublicKey(x, y);
        keyId = CoseSign1.keyIdOf(x, y);
        bytes32 owner = _logOfKey[keyId];
        if (owner != 0) revert KeyAlreadyRegistered(keyId, owner);
        bytes32 payload = Statements.keyPayload(address(this), logId, Statements.ROLE_LOG, x, y);
        if (!CoseSign1.isSigned(Statements.KEY_TAG, payload, signature, x, y)) revert InvalidProofOfPossession(keyId);
    }
}
