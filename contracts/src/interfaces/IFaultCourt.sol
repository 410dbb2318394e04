// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IFaultEvidence } from "./IFaultEvidence.sol";

/// @title FaultCourt
/// @notice Decides faults from evidence and contract state alone and lets StakeManager take what they cost. Reads
/// NodeRegistry and AnchorLog, writes to neither. Anybody may file; nobody can file the same fault twice.
/// @dev Source: spec/faults.md. Every check reverts or passes: no failure of a sub-call is ever read as an answer.
interface IFaultCourt is IFaultEvidence {
    /// @notice Percent of the stake that each class costs (0 to 100), of the slashed self-bond that a reporter gets
    /// (0 to 50), and the most that omissions cost in one window (1 to 100). In the order of storage.
    struct Penalties {
        uint8 twoHeads;
        uint8 twoHistories;
        uint8 wrongLeaf;
        uint8 latePledge;
        uint8 missingPledge;
        uint8 falseEntry;
        uint8 twoCosignatures;
        uint8 wrongLink;
        uint8 withheldEntry;
        uint8 withheldOpening;
        uint8 reward;
        uint8 cap;
    }

    /// @notice Blocks, and the least bond of a case.
    /// @param graceBlocks from a pledge's deadline until it is missing
    /// @param openWindowBlocks for which a node keeps openings after the first anchor
    /// @param answerBlocks to answer a case
    /// @param evidenceBlocks left to file after all other windows
    /// @param revealBlocks from a commitment to the filing, 1 to 7,200
    /// @param bondFloorGwei 10^9 wei
    struct Windows {
        uint32 graceBlocks;
        uint32 openWindowBlocks;
        uint32 answerBlocks;
        uint32 evidenceBlocks;
        uint32 revealBlocks;
        uint64 bondFloorGwei;
    }

    /// @notice Emitted when a fault is recorded; it never is again. StakeManager's Slashed comes before it.
    event FaultRecorded(
        bytes32 indexed faultId,
        bytes32 indexed subject,
        address indexed reporter,
        uint8 class,
        uint32 keyEpoch,
        bytes32 incident
    );
    /// @notice Emitted when somebody commits to evidence; it can be filed from that block on.
    event Committed(bytes32 indexed commitment, uint256 fromBlock);
    /// @notice Emitted when a log's head size is written down for this block.
    event HeadObserved(bytes32 indexed logId, uint256 indexed blockNumber, uint64 size);
    /// @notice Emitted when the timelock sets the penalties, and at construction.
    event PenaltiesSet(Penalties penalties);
    /// @notice Emitted when the timelock sets the windows, and at construction.
    event WindowsSet(Windows windows);

    /// @notice Thrown at construction when StakeManager names another court.
    error CourtMismatch(address court);
    /// @notice Thrown when windows would outlast stake on its way out (blocks).
    error ExposureTooLong(uint256 exposureBlocks, uint256 unbondBlocks);
    /// @notice Thrown when a parameter is out of range.
    error InvalidParameter();
    /// @notice Thrown when the sender has no ripe commitment to exactly this call.
    error NotCommitted(bytes32 commitment);
    /// @notice Thrown when the fault is on record.
    error AlreadyRecorded(bytes32 faultId);
    /// @notice Thrown when there is no reward to pay.
    error NoReward(bytes32 faultId);
    /// @notice Thrown when somebody else than FaultCases records a case.
    error NotCases(address sender);

    /// @notice Commits the sender to a later call. Repeating changes nothing.
    /// @param commitment Keccak-256(abi.encode(chainId, this contract, reporter, Keccak-256(calldata of that call)))
    function commit(bytes32 commitment) external;

    /// @notice Writes down the head size of a log in this block, so that lateness can be shown afterwards.
    function observe(bytes32 logId) external;

    /// @notice F1: two receipts of one key in one place.
    function fileTwoHeads(HeadPair calldata heads, bytes32 salt) external;

    /// @notice F13: head B follows head A by its number but not by its link.
    function fileWrongLink(HeadPair calldata heads, bytes32 salt) external;

    /// @notice F2: two states of a log that no append explains; a state without signature is an anchored one.
    /// @param index of the two leaves, when the sizes differ
    function fileTwoHistories(bytes32 logId, uint64 index, State calldata a, State calldata b, bytes32 salt) external;

    /// @notice F6: the same by one witness, who signed both.
    function fileTwoCosignatures(
        Witness calldata witness,
        bytes32 logId,
        uint64 index,
        State calldata a,
        State calldata b,
        bytes32 salt
    ) external;

    /// @notice F3: another leaf at the pledged index.
    function fileWrongLeaf(
        Pledge calldata pledge,
        bytes32 otherLeaf,
        uint64 size,
        bytes32[] calldata proof,
        bytes32 salt
    ) external;

    /// @notice F4: a pledge that is late or missing.
    /// @param missing whether the grace has passed as well
    /// @param how 0 the head now, 1 the anchored step of size `seenAt`, 2 the head observed in block `seenAt`, 3 (missing
    /// only, `seenAt` 0) covered, but an F17 case about it has expired: the log shows nobody what stands there
    function fileUnkeptPledge(Pledge calldata pledge, bool missing, uint8 how, uint64 seenAt, bytes32 salt) external;

    /// @notice F5: an anchored entry that is not the entry of the head whose hash it carries.
    function fileFalseEntry(Inclusion calldata place, bytes calldata entry, SignedHead calldata head, bytes32 salt)
        external;

    /// @notice Pays the reporter of a recorded fault. Anybody may send it.
    function claimReward(uint8 class, bytes32 subject, uint32 keyEpoch, bytes32 incident) external;

    /// @notice Records the fault of a case that nobody answered. Only FaultCases.
    function recordCase(
        uint8 class,
        bytes32 subject,
        uint32 keyEpoch,
        bytes32 incident,
        uint256 openedAtBlock,
        address challenger
    ) external;

    /// @notice Sets the penalties. Only the timelock.
    function setPenalties(Penalties calldata penalties) external;

    /// @notice Sets the windows. Only the timelock.
    function setWindows(Windows calldata windows) external;

    /// @notice Blocks that the judgement of a fault can take: StakeManager's unbondBlocks is above it.
    function exposureBlocks() external view returns (uint256);

    /// @notice Keccak-256(abi.encode(class, subject, keyEpoch, incident)).
    function faultIdOf(uint8 class, bytes32 subject, uint32 keyEpoch, bytes32 incident) external pure returns (bytes32);

    /// @notice Who reported a fault, what is still reserved for it (token units), its class; zero if not on record.
    function getFault(bytes32 faultId) external view returns (address reporter, uint256 reward, uint8 class);

    /// @notice First block in which a commitment can be used; 0 = none, or used.
    function committedFrom(bytes32 commitment) external view returns (uint256);

    /// @notice Head size observed in a block, plus one; 0 = not observed.
    function observed(bytes32 logId, uint64 blockNumber) external view returns (uint64 sizePlusOne);

    /// @notice The percentages.
    function getPenalties() external view returns (Penalties memory);

    /// @notice The windows.
    function getWindows() external view returns (Windows memory);

    /// @notice StakeManager, AnchorLog, NodeRegistry, FaultCases.
    function contracts()
        external
        view
        returns (address stakeManager, address anchorLog, address nodeRegistry, address faultCases);

    /// @notice The two numbers of blocks that never change.
    function fixedWindows() external view returns (uint32 incidentBlocks, uint32 capWindowBlocks);

    /// @notice Blocks that openings are kept and that an answer may take, and the least bond (wei).
    function caseTerms() external view returns (uint256 openWindowBlocks, uint256 answerBlocks, uint256 bondFloor);
}
