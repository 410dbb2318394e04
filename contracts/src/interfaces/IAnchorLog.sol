// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title AnchorLog
/// @notice Keeps the history of every log: each anchored (size, root) was signed by the log and proven to be an append
/// of the one before, so the chain can never be shown two histories. Nothing is ever deleted, nobody owns it.
/// @dev Source: spec/contracts.md section 4. Block numbers are `block.number` of this chain. A root is an RFC 9162 root
/// (SHA-256), a size is a number of leaves.
interface IAnchorLog {
    /// @notice A log. One ES256 and one Ed25519 key for life: who retires a key ends the log.
    /// @param keyId SHA-256(x || y) of the ES256 key; zero = not registered
    /// @param operator account that registered it; has no rights over it afterwards
    /// @param pledgeBlocks blocks from a pledge's issue to its deadline, fixed for life
    /// @param ed25519Key 32 bytes for signed notes, not checked on chain; zero = none
    /// @param x first coordinate of the ES256 key
    /// @param y second coordinate
    /// @param headSize largest anchored size
    /// @param headRoot its root
    struct LogRecord {
        bytes32 keyId;
        address operator;
        uint64 pledgeBlocks;
        bytes32 ed25519Key;
        bytes32 x;
        bytes32 y;
        uint64 headSize;
        bytes32 headRoot;
    }

    /// @notice An anchored state.
    /// @param root its root
    /// @param blockNumber block in which it was anchored; 0 = this size is not anchored
    struct Step {
        bytes32 root;
        uint64 blockNumber;
    }

    /// @notice A state that a sender brings.
    /// @param size number of leaves, at most 2^63 - 1
    /// @param root RFC 9162 root over them, not zero
    /// @param signature r || s, 64 bytes, low-S, by the log's key under `assay/checkpoint/v1` over
    /// (chainId, this contract, logId, size, root)
    /// @param consistencyProof RFC 9162 proof from the head as it is when this step's turn comes, at most 64 hashes;
    /// empty from size 0
    struct SignedStep {
        uint64 size;
        bytes32 root;
        bytes signature;
        bytes32[] consistencyProof;
    }

    /// @notice Thrown at construction when the chain gives no hash of the block before (block 0, some test chains).
    error NoPreviousBlockHash();
    /// @notice Thrown at construction when the minimum would be 0 blocks.
    error ZeroPledgeBlocks();
    /// @notice Thrown when a log wants a shorter deadline than this chain allows (blocks).
    error PledgeBlocksTooFew(uint64 pledgeBlocks, uint64 minimum);
    /// @notice Thrown when (x, y) is not a point of P-256.
    error InvalidPublicKey(bytes32 x, bytes32 y);
    /// @notice Thrown when the key is the key of a log already.
    error KeyAlreadyRegistered(bytes32 keyId, bytes32 logId);
    /// @notice Thrown when the signature is not the key's own low-S signature over its entry.
    error InvalidProofOfPossession(bytes32 keyId);
    /// @notice Thrown when no log has this id.
    error UnknownLog(bytes32 logId);
    /// @notice Thrown when a call brings no step or too many.
    error InvalidStepCount(uint256 count, uint256 maximum);
    /// @notice Thrown when a step's root is zero, which no tree has.
    error ZeroRoot(uint256 stepIndex);
    /// @notice Thrown when a step's size is above 2^63 - 1 leaves.
    error SizeTooLarge(uint256 stepIndex, uint64 size, uint64 maximum);
    /// @notice Thrown when a step that has to be checked is not signed by the log.
    error InvalidCheckpointSignature(uint256 stepIndex);
    /// @notice Thrown when a proof has more hashes than any tree needs.
    error ProofTooLong(uint256 stepIndex, uint256 length, uint256 maximum);
    /// @notice Thrown when the proof does not lead from the head (headSize) to the step.
    error InvalidConsistencyProof(uint256 stepIndex, uint64 headSize, uint64 size);

    /// @notice Emitted when a log is registered; size 0 with root SHA-256('') is anchored with it.
    /// @param operatorIndex the operator's running number, from 0, that went into logId
    event LogRegistered(
        bytes32 indexed logId,
        address indexed operator,
        bytes32 indexed keyId,
        uint64 operatorIndex,
        bytes32 x,
        bytes32 y,
        bytes32 ed25519Key,
        uint64 pledgeBlocks
    );
    /// @notice Emitted when a state is anchored.
    event Anchored(bytes32 indexed logId, uint64 indexed size, bytes32 root);
    /// @notice Emitted when the log is shown to have signed another root for an anchored size (fault F2). Once per size.
    /// @param signature the log's own signature over (size, conflictingRoot): with the anchored root it is the evidence
    event ConflictRecorded(
        bytes32 indexed logId, uint64 indexed size, bytes32 anchoredRoot, bytes32 conflictingRoot, bytes signature
    );

    /// @notice Emitted when somebody asks all logs, in public, to take an entry. Once per leaf hash.
    event LeafRequested(bytes32 indexed leafHash, address indexed sender);

    /// @notice Registers a log of the sender with its two keys.
    /// @param ed25519Key public key for signed notes, or zero
    /// @param pledgeBlocks blocks from a pledge's issue to its deadline, at least minPledgeBlocks
    /// @param proofOfPossession r || s, 64 bytes, low-S, by (x, y) under `assay/key/v1` over
    /// (chainId, this contract, logId, role 2, x, y)
    /// @return logId SHA-256(abi.encode(chainId, this contract, instance, operator, operatorIndex))
    function register(bytes32 x, bytes32 y, bytes32 ed25519Key, uint64 pledgeBlocks, bytes calldata proofOfPossession)
        external
        returns (bytes32 logId);

    /// @notice Anchors states of a log, in the order given. Anybody may send them. Per step:
    /// size anchored with the same root: skipped, nothing else is read. Size anchored with another root: the log's
    /// signature is checked and the conflict recorded. Below the head and not anchored: skipped, nothing else is read.
    /// Above the head: signature and consistency proof from the head are checked and the step becomes the head.
    /// A check that fails reverts the whole call.
    /// @param steps 1 to 16, usually all states that the log has signed and not seen anchored, ascending
    function anchor(bytes32 logId, SignedStep[] calldata steps) external;

    /// @notice Asks all logs, in public, to take an entry that logs refuse: the chain keeps when it was first asked.
    /// Repeating changes nothing.
    function request(bytes32 leafHash) external;

    /// @notice Block in which the entry was first requested; 0 = never.
    function requestedAt(bytes32 leafHash) external view returns (uint64);

    /// @notice Hash of the block before this contract's own: another chain history gives other logIds.
    function instance() external view returns (bytes32);

    /// @notice Fewest blocks a log may have from a pledge to its deadline.
    function minPledgeBlocks() external view returns (uint64);

    /// @notice How many logs an operator has registered.
    function logCount(address operator) external view returns (uint64);

    /// @notice The id that the operator's log number `operatorIndex` has or will have.
    function logIdOf(address operator, uint64 operatorIndex) external view returns (bytes32);

    /// @notice A log; all zero if unknown.
    function getLog(bytes32 logId) external view returns (LogRecord memory);

    /// @notice The anchored state of this size; all zero if there is none.
    function getStep(bytes32 logId, uint64 size) external view returns (Step memory);

    /// @notice The log whose key this is; zero if none.
    function logOfKey(bytes32 keyId) external view returns (bytes32);

    /// @notice The first other root that the log was shown to have signed for an anchored size; zero if none.
    function conflictingRoot(bytes32 logId, uint64 size) external view returns (bytes32);
}
