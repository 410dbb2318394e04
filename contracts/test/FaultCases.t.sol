// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { FaultCases } from "../src/FaultCases.sol";
import { IFaultCases } from "../src/interfaces/IFaultCases.sol";
import { IFaultCourt } from "../src/interfaces/IFaultCourt.sol";
import { IFaultEvidence } from "../src/interfaces/IFaultEvidence.sol";
import { CourtFixture } from "./support/CourtFixture.sol";
import { CourtSigning } from "./support/CourtSigning.sol";
import { COURT_VM } from "./support/CourtVm.sol";
import { Signing } from "./support/Signing.sol";
import { VM } from "./support/Vm.sol";

/// @notice Withheld entries (F17) and demanded openings (F18): demand, answers, time-out, bonds, floods.
contract FaultCasesTest is CourtFixture {
    uint256 private constant CLIENT_KEY = 0x301;
    bytes16 private constant CLAIM_SALT = bytes16(keccak256("salt"));
    bytes private _modelClaim = abi.encodePacked(hex"5820", keccak256("manifest"));
    bytes private _orderClaim;
    bytes private _requestClaim = hex"a10144504f5354";
    CourtSigning.HeadFields private _head;
    bytes32[16] private _leaves;

    function setUp() public {
        _deployAll();
        _bond(_logId, 1_000 ether, 3_000 ether);
        _bond(_nodeId, 1_000 ether, 3_000 ether);
        _orderClaim = abi.encodePacked(hex"5820", _orderHash(_words(_clientOfKey())));
        for (uint8 slot = 0; slot < 16; ++slot) {
            _leaves[slot] = sha256(abi.encodePacked(uint8(0), slot));
        }
        _use(1, _orderClaim);
        _use(2, _requestClaim);
        _use(6, _modelClaim);
        _head = _fields(0, 0);
        _head.claimsRoot = _node(0, 16);
        _roll(10);
        _anchor(_signed(1, CourtSigning.leafOf(CourtSigning.entry(_head)), new bytes32[](0)));
    }

    // F17

    function test_F17_answered() public {
        bytes32 caseId = _faultId(17, _logId, 0, 0);
        uint256 bond = _cases.minimumBond(_logId, 17, 0);
        _challenge(0, bond);
        VM.assertEq(_cases.openCases(_logId), 1, "open");
        VM.assertEq(address(_cases).balance, bond, "bond");
        _send(ANYBODY, address(_cases), _answerData(), 0);
        VM.assertEq(_cases.getCase(caseId).state, 2, "answered");
        VM.assertEq(_cases.credit(OPERATOR), bond - bond / 4, "three quarters to the operator, whoever answers");
        VM.assertEq(_cases.credit(address(0)), bond / 4, "a quarter is burnt");
        VM.prank(OPERATOR);
        _cases.withdrawCredit();
        VM.assertEq(OPERATOR.balance, bond - bond / 4, "paid");
        VM.expectRevert(abi.encodeWithSelector(IFaultCases.NoCredit.selector, OPERATOR));
        VM.prank(OPERATOR);
        _cases.withdrawCredit();
        _expect(ANYBODY, _answerData(), 0, abi.encodeWithSelector(IFaultCases.NoOpenCase.selector, caseId));
        bytes memory again = abi.encodeCall(IFaultCases.challengeEntry, (_logId, uint64(0)));
        _expect(THIEF, again, bond, abi.encodeWithSelector(IFaultCases.CaseExists.selector, caseId));
    }

    function test_F17_expired() public {
        uint256 bond = _cases.minimumBond(_logId, 17, 0);
        _challenge(0, bond);
        uint256 opened = _now;
        _roll(300);
        bytes memory expire = abi.encodeCall(IFaultCases.expireCase, (uint8(17), _logId, uint32(0), bytes32(0)));
        _expect(ANYBODY, expire, 0, abi.encodeWithSelector(IFaultCases.CaseNotDue.selector, opened + 300));
        _roll(1);
        _send(ANYBODY, address(_cases), expire, 0);
        VM.assertEq(_cases.credit(REPORTER), bond, "bond back");
        (address reporter, uint256 reward,) = _court.getFault(_faultId(17, _logId, 0, 0));
        VM.assertEq(reporter, REPORTER, "the challenger reports");
        VM.assertEq(reward, 50 ether, "a quarter of a fifth of the self-bond");
        VM.assertEq(_stake.getSubject(_logId).index, 0.8e18, "a fifth");
        VM.assertEq(_stake.getSubject(_logId).endedAtBlock, 0, "not ended");
        bytes32 caseId = _faultId(17, _logId, 0, 0);
        _expect(ANYBODY, expire, 0, abi.encodeWithSelector(IFaultCases.NoOpenCase.selector, caseId));
    }

    /// @dev Late, but before anybody expired it: an answer still closes the case.
    function test_F17_answeredAfterTheWindow() public {
        _challenge(0, _cases.minimumBond(_logId, 17, 0));
        _roll(301);
        _send(ANYBODY, address(_cases), _answerData(), 0);
        VM.assertEq(_stake.getSubject(_logId).index, 1e18, "not slashed");
    }

    function test_F17_refusals() public {
        uint256 bond = _cases.minimumBond(_logId, 17, 0);
        bytes memory data = abi.encodeCall(IFaultCases.challengeEntry, (_logId, uint64(1)));
        bytes memory reason = abi.encodeWithSelector(IFaultCases.NotCovered.selector, uint64(1), uint64(1));
        _expect(REPORTER, data, bond, reason);
        data = abi.encodeCall(IFaultCases.challengeEntry, (_nodeId, uint64(0)));
        _expect(REPORTER, data, bond, abi.encodeWithSelector(IFaultEvidence.UnknownLog.selector, _nodeId));
        data = abi.encodeCall(IFaultCases.challengeEntry, (_logId, uint64(0)));
        uint256 low = bond - 1 gwei;
        _expect(REPORTER, data, low, abi.encodeWithSelector(IFaultCases.BondTooSmall.selector, low, bond));
        _expect(REPORTER, data, bond + 1, abi.encodeWithSelector(IFaultCases.BondTooSmall.selector, bond + 1, bond));
    }

    function test_F17_wrongAnswers() public {
        _challenge(0, _cases.minimumBond(_logId, 17, 0));
        IFaultEvidence.Inclusion memory place = IFaultEvidence.Inclusion(_logId, 0, 1, new bytes32[](0));
        IFaultEvidence.SignedHead memory head = CourtSigning.signedHead(NODE_KEY, _head);
        bytes memory entry = CourtSigning.entry(_head);
        entry[70] ^= 0x01;
        bytes memory data = abi.encodeCall(IFaultCases.answerEntry, (place, entry, head));
        _expect(OPERATOR, data, 0, abi.encodeWithSelector(IFaultCases.EntryDiffers.selector));
        entry[70] ^= 0x01;
        head.signature = Signing.flip(head.signature, 3);
        data = abi.encodeCall(IFaultCases.answerEntry, (place, entry, head));
        _expect(OPERATOR, data, 0, abi.encodeWithSelector(IFaultEvidence.BadSignature.selector));
        CourtSigning.HeadFields memory other = _fields(1, 0);
        head = CourtSigning.signedHead(NODE_KEY, other);
        data = abi.encodeCall(IFaultCases.answerEntry, (place, CourtSigning.entry(other), head));
        _expect(OPERATOR, data, 0, abi.encodeWithSelector(IFaultEvidence.NotIncluded.selector));
    }

    /// @dev What an answer earns is at least 1.5 times what it costs at the base fee of its block. (A call that is run as a
    /// transaction of its own sees no base fee here.)
    /// forge-config: default.isolate = false
    function test_bondFollowsTheBaseFee() public {
        COURT_VM.fee(50 gwei);
        uint256 bond = _cases.minimumBond(_logId, 17, 0);
        VM.assertEq(bond, 2 * 400_000 * 50 gwei, "twice the cost");
        _challenge(0, bond);
        _send(ANYBODY, address(_cases), _answerData(), 0);
        VM.assertEq(_cases.credit(OPERATOR), 3 * 400_000 * 50 gwei / 2, "1.5 times the cost of an answer");
    }

    function test_gas_answerEntry() public {
        _challenge(0, _cases.minimumBond(_logId, 17, 0));
        _send(ANYBODY, address(_cases), _answerData(), 0);
        uint256 gasUsed = VM.snapshotGasLastCall("FaultCases", "answer entry");
        VM.assertTrue(gasUsed <= _cases.ENTRY_ANSWER_GAS(), "what is paid for");
    }

    /// @dev The attack: all places of a subject are filled, to keep others out or to bury it in answers.
    function test_challengeFlood() public {
        // A log of nothing but its size: every index can be challenged, none is answered here.
        bytes32 logId = _register(0x203);
        bytes32 root = keccak256("root");
        bytes memory signature = Signing.checkpoint(0x203, address(_anchorLog), logId, 1_000, root);
        _anchorOther(logId, 1_000, root, signature);
        uint256 first = _cases.minimumBond(logId, 17, 0);
        uint256 total = 0;
        for (uint64 i = 0; i < 8; ++i) {
            uint256 bond = _cases.minimumBond(logId, 17, 0);
            VM.assertEq(bond, first << i, "doubles");
            bytes memory open = abi.encodeCall(IFaultCases.challengeEntry, (logId, i));
            _send(THIEF, address(_cases), open, bond);
            total += bond;
        }
        VM.assertEq(address(_cases).balance, total, "255 bonds are at stake");
        bytes memory data = abi.encodeCall(IFaultCases.challengeEntry, (logId, uint64(8)));
        bytes memory reason = abi.encodeWithSelector(IFaultCases.TooManyCases.selector, uint256(8), uint256(8));
        _expect(THIEF, data, first << 8, reason);
    }

    // F18

    function test_F18_opening() public {
        _demand(6);
        bytes32 caseId = _demandId(6);
        VM.assertEq(_cases.getCase(caseId).state, 1, "open");
        bytes memory head = CourtSigning.head(_head);
        bytes32 receiptHash = CourtSigning.receiptHash(head);
        VM.expectEmit(address(_cases));
        emit IFaultCases.CaseAnswered(caseId, _nodeId);
        VM.expectEmit(address(_cases));
        emit IFaultCases.SlotPublished(receiptHash, 6, CLAIM_SALT, _modelClaim);
        VM.prank(OPERATOR);
        _cases.answerOpening(head, 6, _opening(6, _modelClaim));
        VM.snapshotGasLastCall("FaultCases", "answer opening");
        VM.assertEq(_cases.getCase(caseId).state, 2, "answered");
    }

    function test_F18_absent() public {
        _demand(12);
        _send(
            OPERATOR,
            address(_cases),
            abi.encodeCall(IFaultCases.answerAbsent, (CourtSigning.head(_head), uint8(12), _path(12))),
            0
        );
        VM.assertEq(_cases.getCase(_demandId(12)).state, 2, "answered");
        // A slot that is used is not absent.
        _demand(6);
        bytes memory data = abi.encodeCall(IFaultCases.answerAbsent, (CourtSigning.head(_head), uint8(6), _path(6)));
        _expect(OPERATOR, data, 0, abi.encodeWithSelector(IFaultCases.NotOpened.selector));
    }

    function test_F18_expired() public {
        _demand(6);
        _roll(301);
        bytes32 incident = keccak256(abi.encodePacked(CourtSigning.receiptHash(CourtSigning.head(_head)), uint8(6)));
        _cases.expireCase(18, _nodeId, 0, incident);
        VM.assertTrue(_isRecorded(_demandId(6)), "recorded");
        VM.assertEq(_stake.getSubject(_nodeId).index, 0.95e18, "five percent");
    }

    function test_F18_wrongOpenings() public {
        _demand(6);
        bytes memory head = CourtSigning.head(_head);
        bytes memory reason = abi.encodeWithSelector(IFaultCases.NotOpened.selector);
        IFaultCases.SlotOpening memory o = _opening(6, _requestClaim);
        _expect(OPERATOR, abi.encodeCall(IFaultCases.answerOpening, (head, uint8(6), o)), 0, reason);
        o = _opening(6, "");
        _expect(OPERATOR, abi.encodeCall(IFaultCases.answerOpening, (head, uint8(6), o)), 0, reason);
        o = _opening(1, _orderClaim);
        _expect(OPERATOR, abi.encodeCall(IFaultCases.answerOpening, (head, uint8(6), o)), 0, reason);
        reason = abi.encodeWithSelector(IFaultCases.NoOpenCase.selector, _demandId(1));
        _expect(OPERATOR, abi.encodeCall(IFaultCases.answerOpening, (head, uint8(1), o)), 0, reason);
    }

    function test_F18_contentIsNotForAll() public {
        for (uint8 slot = 0; slot < 17; ++slot) {
            bool isOpen = slot == 1 || slot == 6 || slot == 7 || slot == 8 || slot == 12 || slot == 13;
            if (isOpen) continue;
            bytes memory reason = abi.encodeWithSelector(IFaultCases.SlotNotOpenToAll.selector, slot);
            _expect(REPORTER, _demandData(slot, 1, 0), 1 ether, reason);
        }
    }

    /// @dev The attack: an old receipt, whose openings the node has thrown away, is demanded under a new step, or put into
    /// a new log and demanded there.
    function test_F18_oldReceipts() public {
        _roll(1_301);
        bytes memory reason = abi.encodeWithSelector(IFaultCases.WrongAge.selector, uint256(100));
        _expect(REPORTER, _demandData(6, 1, 0), 1 ether, reason);

        bytes32 old = _logId;
        _logId = _register(0x203);
        bytes32 leaf = CourtSigning.leafOf(CourtSigning.entry(_head));
        _anchorOther(_logId, 1, leaf, Signing.checkpoint(0x203, address(_anchorLog), _logId, 1, leaf));
        _demand(6);
        IFaultEvidence.Inclusion memory place = IFaultEvidence.Inclusion(old, 0, 1, new bytes32[](0));
        _cases.answerAnchoredBefore(CourtSigning.head(_head), 6, place);
        VM.assertEq(_cases.getCase(_demandId(6)).state, 2, "an old receipt asks nothing of the node");
    }

    function test_F18_youngIsNotOld() public {
        _demand(6);
        IFaultEvidence.Inclusion memory place = IFaultEvidence.Inclusion(_logId, 0, 1, new bytes32[](0));
        bytes memory data = abi.encodeCall(IFaultCases.answerAnchoredBefore, (CourtSigning.head(_head), 6, place));
        _expect(OPERATOR, data, 0, abi.encodeWithSelector(IFaultCases.WrongAge.selector, uint256(110)));
    }

    function test_F18_seenAfterTheAnchor() public {
        _court.observe(_logId);
        bytes memory reason = abi.encodeWithSelector(IFaultCases.WrongAge.selector, _now);
        _expect(REPORTER, _demandData(6, 2, uint64(_now)), 1 ether, reason);
    }

    function test_F18_contentByTheOrdersKey() public {
        bytes memory data = _contentData(_words(_clientOfKey()), CLIENT_KEY, REPORTER);
        bytes memory reason = abi.encodeWithSelector(IFaultEvidence.BadSignature.selector);
        _expect(THIEF, data, 1 ether, reason);
        _send(REPORTER, address(_cases), data, 1 ether);
        VM.assertEq(_cases.getCase(_demandId(2)).state, 1, "open");
        _send(
            OPERATOR,
            address(_cases),
            abi.encodeCall(IFaultCases.answerOpening, (CourtSigning.head(_head), uint8(2), _opening(2, _requestClaim))),
            0
        );
        VM.assertEq(_cases.getCase(_demandId(2)).state, 2, "answered");
    }

    function test_F18_contentByAnotherOrder() public {
        bytes memory other = _words(_clientOfKey());
        other[100] ^= 0x01;
        bytes memory data = _contentData(other, CLIENT_KEY, REPORTER);
        _expect(REPORTER, data, 1 ether, abi.encodeWithSelector(IFaultCases.OrderDiffers.selector));
        data = _contentData(_words(_clientOfKey()), KEY, REPORTER);
        _expect(REPORTER, data, 1 ether, abi.encodeWithSelector(IFaultCases.NotOrderSigner.selector));
    }

    function test_constructor_refusal() public {
        VM.expectRevert(abi.encodeWithSelector(IFaultCases.CasesMismatch.selector, address(_cases)));
        new FaultCases(_court);
    }

    function _challenge(uint64 index, uint256 bond) private {
        _send(REPORTER, address(_cases), abi.encodeCall(IFaultCases.challengeEntry, (_logId, index)), bond);
    }

    function _answerData() private view returns (bytes memory) {
        IFaultEvidence.Inclusion memory place = IFaultEvidence.Inclusion(_logId, 0, 1, new bytes32[](0));
        IFaultEvidence.SignedHead memory head = CourtSigning.signedHead(NODE_KEY, _head);
        return abi.encodeCall(IFaultCases.answerEntry, (place, CourtSigning.entry(_head), head));
    }

    function _demandData(uint8 slot, uint8 how, uint64 seenAt) private view returns (bytes memory) {
        IFaultEvidence.Inclusion memory place = IFaultEvidence.Inclusion(_logId, 0, 1, new bytes32[](0));
        IFaultEvidence.SignedHead memory head = CourtSigning.signedHead(NODE_KEY, _head);
        return abi.encodeCall(IFaultCases.demandOpening, (head, place, how, seenAt, slot));
    }

    function _demand(uint8 slot) private {
        _send(REPORTER, address(_cases), _demandData(slot, 1, 0), _cases.minimumBond(_nodeId, 18, slot));
    }

    function _contentData(bytes memory words, uint256 key, address sender) private view returns (bytes memory) {
        (bytes32 x, bytes32 y) = Signing.publicKey(key);
        bytes memory signature = CourtSigning.report(key, address(_cases), _demandId(2), sender);
        return abi.encodeCall(
            IFaultCases.demandContent,
            (
                CourtSigning.signedHead(NODE_KEY, _head),
                IFaultEvidence.Inclusion(_logId, 0, 1, new bytes32[](0)),
                1,
                0,
                2,
                _opening(1, _orderClaim),
                IFaultCases.OrderProof(words, signature, x, y)
            )
        );
    }

    function _demandId(uint8 slot) private view returns (bytes32) {
        bytes32 receiptHash = CourtSigning.receiptHash(CourtSigning.head(_head));
        return _faultId(18, _nodeId, 0, uint256(keccak256(abi.encodePacked(receiptHash, slot))));
    }

    function _expect(address sender, bytes memory data, uint256 value, bytes memory reason) private {
        (bool succeeded, bytes memory answer) = _try(sender, address(_cases), data, value);
        VM.assertFalse(succeeded, "accepted");
        VM.assertEq(answer, reason, "reason");
    }

    function _anchorOther(bytes32 logId, uint64 size, bytes32 root, bytes memory signature) private {
        (bool succeeded,) = address(_anchorLog)
            .call(
                abi.encodeWithSignature(
                    "anchor(bytes32,(uint64,bytes32,bytes,bytes32[])[])", logId, _steps(size, root, signature)
                )
            );
        VM.assertTrue(succeeded, "anchored");
    }

    struct Step {
        uint64 size;
        bytes32 root;
        bytes signature;
        bytes32[] consistencyProof;
    }

    function _steps(uint64 size, bytes32 root, bytes memory signature) private pure returns (Step[] memory steps) {
        steps = new Step[](1);
        steps[0] = Step(size, root, signature, new bytes32[](0));
    }

    // A claims tree, from its definition

    function _use(uint8 slot, bytes memory value) private {
        _leaves[slot] = sha256(abi.encodePacked(uint8(0), slot, CLAIM_SALT, sha256(value)));
    }

    function _node(uint256 from, uint256 to) private view returns (bytes32) {
        if (to - from == 1) return _leaves[from];
        uint256 middle = (from + to) / 2;
        return sha256(abi.encodePacked(uint8(1), _node(from, middle), _node(middle, to)));
    }

    function _path(uint256 slot) private view returns (bytes32[4] memory path) {
        for (uint256 height = 0; height < 4; ++height) {
            uint256 width = 1 << height;
            uint256 sibling = (slot / width ^ 1) * width;
            path[height] = _node(sibling, sibling + width);
        }
    }

    function _opening(uint8 slot, bytes memory value) private view returns (IFaultCases.SlotOpening memory) {
        return IFaultCases.SlotOpening(CLAIM_SALT, value, _path(slot));
    }

    // An order, from its definition

    function _clientOfKey() private pure returns (bytes32) {
        return Signing.keyId(CLIENT_KEY);
    }

    function _words(bytes32 client) private view returns (bytes memory) {
        bytes memory front =
            abi.encode(_nodeId, client, bytes32(0), keccak256("request"), keccak256("policy"), uint8(0));
        bytes memory back = abi.encode(address(0), uint256(0), bytes16(keccak256("nonce")), uint64(1), bytes32(0));
        return bytes.concat(front, back, abi.encode(bytes32(0), bytes32(0)));
    }

    function _orderHash(bytes memory words) private view returns (bytes32) {
        bytes32 domainType =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 orderType = keccak256(
            "Order(bytes32 nodeId,bytes32 client,bytes32 model,bytes32 requestHash,bytes32 policyCommitment,uint8 modes,address asset,uint256 maxPrice,bytes16 nonce,uint64 notAfter,bytes32 exposureTermsHash,bytes32 parentsHash,bytes32 replyKeyHash)"
        );
        bytes memory domain = abi.encode(domainType, keccak256("Assay"), keccak256("1"), block.chainid, _registry);
        return keccak256(abi.encodePacked(hex"1901", keccak256(domain), keccak256(abi.encodePacked(orderType, words))));
    }
}
