// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IAnchorLog } from "./interfaces/IAnchorLog.sol";
import { IFaultCases } from "./interfaces/IFaultCases.sol";
import { IFaultCourt } from "./interfaces/IFaultCourt.sol";
import { INodeRegistry } from "./interfaces/INodeRegistry.sol";
import { CoseSign1 } from "./libraries/CoseSign1.sol";
import { Heads } from "./libraries/Heads.sol";
import { Orders } from "./libraries/Orders.sol";
import { CourtEvidence } from "./court/CourtEvidence.sol";

/// @title FaultCases
/// @notice See IFaultCases.
/// @dev A case's id is the fault id that it becomes if nobody answers, so there is one per fault, ever. The order of the
/// state variables is part of spec/faults.md section 6.5. No parameter of its own: windows and the least bond are asked
/// of FaultCourt, whose timelock sets them.
contract FaultCases is IFaultCases, CourtEvidence {
    using Heads for bytes;

    /// @notice Most cases open against one subject.
    uint256 public constant MAX_OPEN_CASES = 8;
    /// @notice Longest value of a slot, bytes.
    uint256 public constant MAX_VALUE_BYTES = 65_536;
    /// @notice Gas that an answer costs at most, by kind: entry, short slot, slot of up to 65,536 bytes.
    uint256 public constant ENTRY_ANSWER_GAS = 400_000;
    uint256 public constant SLOT_ANSWER_GAS = 500_000;
    uint256 public constant CONTENT_ANSWER_GAS = 3_500_000;

    bytes private constant REPORT_TAG = "assay/report/v1";
    /// @dev Bits of the slots that anybody may demand: 1, 6, 7, 8, 12, 13.
    uint256 private constant OPEN_SLOTS = 0x31c2;
    uint8 private constant OPEN = 1;
    uint8 private constant ANSWERED = 2;
    uint8 private constant EXPIRED = 3;
    uint8 private constant WITHHELD_ENTRY = 17;
    uint8 private constant WITHHELD_OPENING = 18;

    IFaultCourt private _court; // slot 0
    IAnchorLog private _anchorLog; // slot 1
    INodeRegistry private _registry; // slot 2
    mapping(bytes32 caseId => Case record) private _cases; // slot 3
    mapping(bytes32 subject => uint8 open) private _openCases; // slot 4
    mapping(address account => uint256 amount) private _credits; // slot 5

    /// @param court names this contract's address
    constructor(IFaultCourt court) {
        (, address anchorLog, address registry, address cases) = court.contracts();
        if (cases != address(this)) revert CasesMismatch(cases);
        (_court, _anchorLog, _registry) = (court, IAnchorLog(anchorLog), INodeRegistry(registry));
    }

    /// @inheritdoc IFaultCases
    function challengeEntry(bytes32 logId, uint64 index) external payable {
        IAnchorLog.LogRecord memory log = _anchorLog.getLog(logId);
        if (log.keyId == 0) revert UnknownLog(logId);
        if (index >= log.headSize) revert NotCovered(index, log.headSize);
        _openCase(WITHHELD_ENTRY, logId, 0, bytes32(uint256(index)), ENTRY_ANSWER_GAS);
    }

    /// @inheritdoc IFaultCases
    function answerEntry(Inclusion calldata place, bytes calldata entry, SignedHead calldata head) external {
        _requireHead(head.head);
        if (keccak256(entry) != keccak256(head.head.entry(head.head.hash()))) revert EntryDiffers();
        _requireHeadSigned(head.head, head.signature, head.x, head.y);
        _requireAnchored(Heads.leafHash(entry), place);
        bytes32 caseId = _idOf(WITHHELD_ENTRY, place.logId, 0, bytes32(uint256(place.index)));
        // Late is better than never: what FaultCourt takes for missing is what nobody has ever shown.
        if (_cases[caseId].state == EXPIRED) _answered(caseId, place.logId);
        else _close(caseId, place.logId, _anchorLog.getLog(place.logId).operator, ENTRY_ANSWER_GAS);
        emit EntryPublished(place.logId, place.index, entry, head.head, head.signature, head.x, head.y);
    }

    /// @inheritdoc IFaultCases
    function demandOpening(SignedHead calldata head, Inclusion calldata place, uint8 how, uint64 seenAt, uint8 slot)
        external
        payable
    {
        if (slot > 15 || (OPEN_SLOTS >> slot) & 1 == 0) revert SlotNotOpenToAll(slot);
        _requireYoungReceipt(head, place, how, seenAt);
        _demand(head.head, slot, SLOT_ANSWER_GAS);
    }

    /// @inheritdoc IFaultCases
    function demandContent(
        SignedHead calldata head,
        Inclusion calldata place,
        uint8 how,
        uint64 seenAt,
        uint8 slot,
        SlotOpening calldata opening,
        OrderProof calldata order
    ) external payable {
        if (slot < 2 || slot > 5) revert SlotNotOpenToAll(slot);
        _requireYoungReceipt(head, place, how, seenAt);
        _requireOpened(head.head, 1, opening);
        _requireOrderSigner(head.head, slot, opening, order);
        _demand(head.head, slot, CONTENT_ANSWER_GAS);
    }

    /// @inheritdoc IFaultCases
    function answerOpening(bytes calldata head, uint8 slot, SlotOpening calldata opening) external {
        _requireHead(head);
        _requireOpened(head, slot, opening);
        bytes32 receiptHash = head.hash();
        _closeDemand(head, receiptHash, slot);
        emit SlotPublished(receiptHash, slot, opening.salt, opening.value);
    }

    /// @inheritdoc IFaultCases
    function answerAbsent(bytes calldata head, uint8 slot, bytes32[4] calldata path) external {
        _requireHead(head);
        if (Heads.rootOf(slot, Heads.unusedLeaf(slot), path) != head.claimsRoot()) revert NotOpened();
        _closeDemand(head, head.hash(), slot);
    }

    /// @inheritdoc IFaultCases
    function answerAnchoredBefore(bytes calldata head, uint8 slot, Inclusion calldata place) external {
        _requireHead(head);
        bytes32 receiptHash = head.hash();
        uint256 anchoredAt = _requireAnchored(Heads.leafHash(head.entry(receiptHash)), place);
        uint256 openedAt = _cases[_demandId(head, receiptHash, slot)].openedAtBlock;
        (uint256 openWindowBlocks,,) = _court.caseTerms();
        if (anchoredAt + openWindowBlocks >= openedAt) revert WrongAge(anchoredAt);
        _closeOld(head, receiptHash, slot);
    }

    /// @inheritdoc IFaultCases
    function expireCase(uint8 class, bytes32 subject, uint32 keyEpoch, bytes32 incident) external {
        bytes32 caseId = _idOf(class, subject, keyEpoch, incident);
        Case storage record = _cases[caseId];
        if (record.state != OPEN) revert NoOpenCase(caseId);
        uint256 openedAt = record.openedAtBlock;
        (, uint256 answerBlocks,) = _court.caseTerms();
        if (block.number <= openedAt + answerBlocks) revert CaseNotDue(openedAt + answerBlocks);
        address challenger = record.challenger;
        record.state = EXPIRED;
        --_openCases[subject];
        _credits[challenger] += uint256(record.bondGwei) * 1 gwei;
        emit CaseExpired(caseId, subject);
        _court.recordCase(class, subject, keyEpoch, incident, openedAt, challenger);
    }

    /// @inheritdoc IFaultCases
    function withdrawCredit() external {
        uint256 amount = _credits[msg.sender];
        if (amount == 0) revert NoCredit(msg.sender);
        _credits[msg.sender] = 0;
        emit CreditWithdrawn(msg.sender, amount);
        (bool sent,) = msg.sender.call{ value: amount }("");
        if (!sent) revert NoCredit(msg.sender);
    }

    /// @inheritdoc IFaultCases
    function getCase(bytes32 caseId) external view returns (Case memory) {
        return _cases[caseId];
    }

    /// @inheritdoc IFaultCases
    function openCases(bytes32 subject) external view returns (uint256) {
        return _openCases[subject];
    }

    /// @inheritdoc IFaultCases
    function minimumBond(bytes32 subject, uint8 class, uint8 slot) external view returns (uint256) {
        (,, uint256 floor) = _court.caseTerms();
        uint256 answerGas = class == WITHHELD_ENTRY ? ENTRY_ANSWER_GAS : _slotGas(slot);
        return _minimumBond(answerGas, _openCases[subject], floor);
    }

    /// @inheritdoc IFaultCases
    function credit(address account) external view returns (uint256) {
        return _credits[account];
    }

    /// @dev Twice the cost of an answer at this block's base fee, doubled for each open case: who fills the places of a
    /// subject, be it the subject itself, pays exponentially more for a little time.
    function _minimumBond(uint256 answerGas, uint256 open, uint256 floor) private view returns (uint256) {
        uint256 bond = _baseBond(answerGas, floor) << open;
        return (bond + 1 gwei - 1) / 1 gwei * 1 gwei;
    }

    /// @dev Before it is doubled.
    function _baseBond(uint256 answerGas, uint256 floor) private view returns (uint256) {
        uint256 base = 2 * answerGas * block.basefee;
        return base > floor ? base : floor;
    }

    function _openCase(uint8 class, bytes32 subject, uint32 keyEpoch, bytes32 incident, uint256 answerGas)
        private
        returns (bytes32 caseId)
    {
        caseId = _idOf(class, subject, keyEpoch, incident);
        if (_cases[caseId].challenger != address(0)) revert CaseExists(caseId);
        uint256 open = _openCases[subject];
        if (open >= MAX_OPEN_CASES) revert TooManyCases(open, MAX_OPEN_CASES);
        (, uint256 answerBlocks, uint256 floor) = _court.caseTerms();
        _requireBond(_minimumBond(answerGas, open, floor));
        ++_openCases[subject];
        // casting to 'uint48' is safe because _requireBond has compared it
        // forge-lint: disable-next-line(unsafe-typecast)
        _cases[caseId] = Case(msg.sender, uint40(block.number), OPEN, uint48(msg.value / 1 gwei));
        uint256 lastBlock = block.number + answerBlocks;
        emit CaseOpened(caseId, subject, msg.sender, class, keyEpoch, incident, msg.value, lastBlock);
    }

    function _requireBond(uint256 minimum) private view {
        bool fits = msg.value % 1 gwei == 0 && msg.value / 1 gwei <= type(uint48).max;
        if (msg.value < minimum || !fits) revert BondTooSmall(msg.value, minimum);
    }

    /// @dev Three quarters of what a bond is before it is doubled, one and a half times the cost of the answer in this block,
    /// go to the operator whoever answers, so that copying an answer earns nothing. All the rest is burnt: a subject whose
    /// own cases made the bond of the next one dear gets nothing of that.
    function _close(bytes32 caseId, bytes32 subject, address operator, uint256 answerGas) private {
        (uint256 bond, uint256 base) = _take(caseId, subject, answerGas);
        uint256 pay = base - base / 4;
        _credits[operator] += pay;
        _credits[address(0)] += bond - pay;
        _answered(caseId, subject);
    }

    /// @dev Takes a case off the open ones.
    /// @return bond of the case
    /// @return base what it would be now, undoubled, and not more than it is
    function _take(bytes32 caseId, bytes32 subject, uint256 answerGas) private returns (uint256 bond, uint256 base) {
        Case storage record = _cases[caseId];
        if (record.state != OPEN) revert NoOpenCase(caseId);
        (,, uint256 floor) = _court.caseTerms();
        (bond, base) = (uint256(record.bondGwei) * 1 gwei, _baseBond(answerGas, floor));
        if (base > bond) base = bond;
        --_openCases[subject];
    }

    function _answered(bytes32 caseId, bytes32 subject) private {
        _cases[caseId].state = ANSWERED;
        emit CaseAnswered(caseId, subject);
    }

    function _demand(bytes calldata head, uint8 slot, uint256 answerGas) private {
        bytes32 receiptHash = head.hash();
        bytes32 incident = keccak256(abi.encodePacked(receiptHash, slot));
        bytes32 caseId = _openCase(WITHHELD_OPENING, head.nodeId(), head.keyEpoch(), incident, answerGas);
        emit OpeningDemanded(caseId, receiptHash, slot);
    }

    function _closeDemand(bytes calldata head, bytes32 receiptHash, uint8 slot) private {
        bytes32 nodeId = head.nodeId();
        address operator = _registry.getNode(nodeId).operator;
        _close(_demandId(head, receiptHash, slot), nodeId, operator, _slotGas(slot));
    }

    /// @dev The receipt was older than it looked: the operator gets what showing that costs and no more, or receipts put into
    /// a log that nobody knows would live on the bonds of who demands them in good faith. The challenger gets the rest, but
    /// for a quarter of what doubling added, so that a subject does not fill its places with such receipts for nothing.
    function _closeOld(bytes calldata head, bytes32 receiptHash, uint8 slot) private {
        bytes32 nodeId = head.nodeId();
        bytes32 caseId = _demandId(head, receiptHash, slot);
        (uint256 bond, uint256 base) = _take(caseId, nodeId, _slotGas(slot));
        (,, uint256 floor) = _court.caseTerms();
        uint256 pay = _baseBond(SLOT_ANSWER_GAS, floor) / 2;
        if (pay > base / 2) pay = base / 2;
        uint256 burnt = (bond - base) / 4;
        _credits[_registry.getNode(nodeId).operator] += pay;
        _credits[address(0)] += burnt;
        _credits[_cases[caseId].challenger] += bond - pay - burnt;
        _answered(caseId, nodeId);
    }

    function _demandId(bytes calldata head, bytes32 receiptHash, uint8 slot) private pure returns (bytes32) {
        bytes32 incident = keccak256(abi.encodePacked(receiptHash, slot));
        return _idOf(WITHHELD_OPENING, head.nodeId(), head.keyEpoch(), incident);
    }

    /// @dev First anchored within the window: the log covers the entry, and in some block of the window it did not yet.
    function _requireYoungReceipt(SignedHead calldata head, Inclusion calldata place, uint8 how, uint64 seenAt)
        private
        view
    {
        _requireOwnHead(head.head, head.x, head.y);
        _requireHeadSigned(head.head, head.signature, head.x, head.y);
        _requireAnchored(Heads.leafHash(head.head.entry(head.head.hash())), place);
        (uint256 seenIn, uint64 size) = _seen(place.logId, how, seenAt);
        (uint256 openWindowBlocks,,) = _court.caseTerms();
        if (size > place.index || seenIn + openWindowBlocks < block.number) revert WrongAge(seenIn);
    }

    /// @dev As in FaultCourt, but the head of now can show nothing here.
    function _seen(bytes32 logId, uint8 how, uint64 seenAt) private view returns (uint256, uint64) {
        if (how == 1) return (_requireStep(logId, seenAt).blockNumber, seenAt);
        uint64 sizePlusOne = how == 2 ? _court.observed(logId, seenAt) : 0;
        if (sizePlusOne == 0) revert NotObserved(logId, seenAt);
        return (seenAt, sizePlusOne - 1);
    }

    function _anchors() internal view override returns (IAnchorLog) {
        return _anchorLog;
    }

    function _nodes() internal view override returns (INodeRegistry) {
        return _registry;
    }

    function _slotGas(uint8 slot) private pure returns (uint256) {
        return slot >= 2 && slot <= 5 ? CONTENT_ANSWER_GAS : SLOT_ANSWER_GAS;
    }

    function _idOf(uint8 class, bytes32 subject, uint32 keyEpoch, bytes32 incident) private pure returns (bytes32) {
        return keccak256(abi.encode(class, subject, keyEpoch, incident));
    }

    function _requireOpened(bytes calldata head, uint8 slot, SlotOpening calldata opening) private pure {
        uint256 length = opening.value.length;
        if (slot > 15 || length == 0 || length > MAX_VALUE_BYTES) revert NotOpened();
        bytes32 leaf = Heads.slotLeaf(slot, opening.salt, opening.value);
        if (Heads.rootOf(slot, leaf, opening.path) != head.claimsRoot()) revert NotOpened();
    }

    /// @dev Slot 1 holds the order's hash as a CBOR byte string: 58 20 and 32 bytes.
    function _requireOrderSigner(
        bytes calldata head,
        uint8 slot,
        SlotOpening calldata opening,
        OrderProof calldata order
    ) private view {
        if (order.words.length != Orders.WORDS_LENGTH) revert OrderDiffers();
        bytes32 orderHash = Orders.hash(order.words, address(_registry));
        if (keccak256(opening.value) != keccak256(abi.encodePacked(hex"5820", orderHash))) revert OrderDiffers();
        bytes32 client = Orders.client(order.words);
        if (uint256(client) <= type(uint160).max) {
            if (client != bytes32(uint256(uint160(msg.sender)))) revert NotOrderSigner();
            return;
        }
        if (CoseSign1.keyIdOf(order.x, order.y) != client) revert NotOrderSigner();
        bytes32 caseId = _demandId(head, head.hash(), slot);
        bytes32 payload = sha256(abi.encode(block.chainid, address(this), caseId, msg.sender));
        _requireSigned(REPORT_TAG, payload, order.signature, order.x, order.y);
    }
}
