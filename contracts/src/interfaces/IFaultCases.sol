// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IFaultEvidence } from "./IFaultEvidence.sol";

/// @title FaultCases
/// @notice What has to be shown on demand: an entry that a log covers (F17), an opening of a receipt (F18). Who demands
/// leaves a bond in the chain's coin; who is accused answers in time and is paid out of it.
/// @dev Source: spec/faults.md section 6.
interface IFaultCases is IFaultEvidence {
    /// @notice An opened slot of a receipt.
    /// @param value the claim's bytes
    /// @param path siblings from the leaf up to the claims root
    struct SlotOpening {
        bytes16 salt;
        bytes value;
        bytes32[4] path;
    }

    /// @notice An order, and who speaks for its client.
    /// @param words 13 ABI words, 416 bytes
    /// @param signature empty when the sender is the client's wallet
    struct OrderProof {
        bytes words;
        bytes signature;
        bytes32 x;
        bytes32 y;
    }

    /// @notice A case.
    /// @param challenger zero = no such case
    /// @param openedAtBlock block of opening
    /// @param state 1 open, 2 answered, 3 expired
    /// @param bondGwei bond, 10^9 wei
    struct Case {
        address challenger;
        uint40 openedAtBlock;
        uint8 state;
        uint48 bondGwei;
    }

    /// @notice Thrown at construction when FaultCourt names another contract.
    error CasesMismatch(address cases);
    /// @notice Emitted when a case is opened; it can be answered until it is expired, which nobody can do before the
    /// block after `lastBlock`.
    event CaseOpened(
        bytes32 indexed caseId,
        bytes32 indexed subject,
        address indexed challenger,
        uint8 class,
        uint32 keyEpoch,
        bytes32 incident,
        uint256 bond,
        uint256 lastBlock
    );
    /// @notice Emitted when the opening of a slot is demanded, beside CaseOpened.
    event OpeningDemanded(bytes32 indexed caseId, bytes32 indexed receiptHash, uint8 indexed slot);
    /// @notice Emitted when a case is answered.
    event CaseAnswered(bytes32 indexed caseId, bytes32 indexed subject);
    /// @notice Emitted when nobody answered; FaultRecorded follows.
    event CaseExpired(bytes32 indexed caseId, bytes32 indexed subject);
    /// @notice Emitted with the answer to a challenged entry.
    event EntryPublished(
        bytes32 indexed logId, uint64 indexed index, bytes entry, bytes head, bytes signature, bytes32 x, bytes32 y
    );
    /// @notice Emitted with the answer to a demanded opening.
    event SlotPublished(bytes32 indexed receiptHash, uint8 indexed slot, bytes16 salt, bytes value);
    /// @notice Emitted when somebody takes out credit (wei).
    event CreditWithdrawn(address indexed account, uint256 amount);

    /// @notice Thrown when there was a case of this id.
    error CaseExists(bytes32 caseId);
    /// @notice Thrown when no case of this id is open.
    error NoOpenCase(bytes32 caseId);
    /// @notice Thrown when a case can still be answered.
    error CaseNotDue(uint256 lastBlock);
    /// @notice Thrown when too many cases are open against a subject.
    error TooManyCases(uint256 open, uint256 maximum);
    /// @notice Thrown when a bond (wei) is below the minimum or no multiple of 10^9.
    error BondTooSmall(uint256 bond, uint256 minimum);
    /// @notice Thrown when the index lies above what the log anchored.
    error NotCovered(uint64 index, uint64 headSize);
    /// @notice Thrown when an answer's entry is not the entry of its head.
    error EntryDiffers();
    /// @notice Thrown when a slot can not be demanded this way.
    error SlotNotOpenToAll(uint8 slot);
    /// @notice Thrown when the receipt may have been anchored before the window, or in an answer: was not.
    error WrongAge(uint256 blockNumber);
    /// @notice Thrown when the opened slot 1 is not this order's hash.
    error OrderDiffers();
    /// @notice Thrown when the sender does not speak for the order's client.
    error NotOrderSigner();
    /// @notice Thrown when an opening does not lead to the claims root, or is empty or too long.
    error NotOpened();
    /// @notice Thrown when the sender has no credit.
    error NoCredit(address account);

    /// @notice F17: demands the entry at an index that the log has anchored.
    function challengeEntry(bytes32 logId, uint64 index) external payable;

    /// @notice Answers a challenged entry. Anybody may; the log's operator is paid. Of an expired case too, which pays
    /// nobody and leaves its fault on record: the entry is no longer withheld, so its pledge is not missing.
    function answerEntry(Inclusion calldata place, bytes calldata entry, SignedHead calldata head) external;

    /// @notice F18: demands slot 1, 6, 7, 8, 12 or 13 of a receipt first anchored within the window.
    /// @param how as in fileUnkeptPledge, 1 or 2: the log's head in a block of the window did not cover the index
    function demandOpening(SignedHead calldata head, Inclusion calldata place, uint8 how, uint64 seenAt, uint8 slot)
        external
        payable;

    /// @notice F18: demands slot 2, 3, 4 or 5; only the order's client.
    /// @param opening of slot 1
    function demandContent(
        SignedHead calldata head,
        Inclusion calldata place,
        uint8 how,
        uint64 seenAt,
        uint8 slot,
        SlotOpening calldata opening,
        OrderProof calldata order
    ) external payable;

    /// @notice Answers a demand with the opening.
    function answerOpening(bytes calldata head, uint8 slot, SlotOpening calldata opening) external;

    /// @notice Answers a demand: the slot is unused.
    function answerAbsent(bytes calldata head, uint8 slot, bytes32[4] calldata path) external;

    /// @notice Answers a demand: the receipt was anchored before the window, in any log. The operator gets what that costs,
    /// the challenger most of the bond back.
    function answerAnchoredBefore(bytes calldata head, uint8 slot, Inclusion calldata place) external;

    /// @notice Records the fault of a case that was not answered in time. Anybody may send it.
    function expireCase(uint8 class, bytes32 subject, uint32 keyEpoch, bytes32 incident) external;

    /// @notice Pays out the sender's credit.
    function withdrawCredit() external;

    /// @notice A case; all zero if there is none.
    function getCase(bytes32 caseId) external view returns (Case memory);

    /// @notice Cases open against a subject.
    function openCases(bytes32 subject) external view returns (uint256);

    /// @notice Least bond (wei) in this block for a case of class 17, or 18 with a slot.
    function minimumBond(bytes32 subject, uint8 class, uint8 slot) external view returns (uint256);

    /// @notice Credit of an account, wei; that of address zero is burnt.
    function credit(address account) external view returns (uint256);
}
