// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IAnchorLog } from "../src/interfaces/IAnchorLog.sol";
import { IFaultCases } from "../src/interfaces/IFaultCases.sol";
import { IFaultCourt } from "../src/interfaces/IFaultCourt.sol";
import { IFaultEvidence } from "../src/interfaces/IFaultEvidence.sol";
import { CourtFixture } from "./support/CourtFixture.sol";
import { CourtSigning } from "./support/CourtSigning.sol";
import { ReferenceTree } from "./support/ReferenceTree.sol";
import { Signing } from "./support/Signing.sol";
import { VM } from "./support/Vm.sol";

/// @notice Gas of whole transactions of a bonded and delegated subject, kept in snapshots/, against the goals.
contract CourtGasTest is CourtFixture {
    string private _fixture;

    function setUp() public {
        _deployAll();
        _fixture = VM.readFile("test/fixtures/anchor-100000.json");
        _bond(_nodeId, 1_000 ether, 2_000 ether);
        _bond(_logId, 1_000 ether, 2_000 ether);
        _court.observe(_logId);
    }

    function test_gas_commit() public {
        _commit(REPORTER, "data");
        VM.snapshotGasLastCall("FaultCourt", "commit");
    }

    function test_gas_F1() public {
        _measure(_twoHeads(7), "F1 two heads", 120_000);
    }

    function test_gas_F13() public {
        CourtSigning.HeadFields memory a = _fields(7, keccak256("previous"));
        CourtSigning.HeadFields memory b = _fields(8, keccak256("not the hash of a"));
        IFaultEvidence.HeadPair memory heads = _pair(NODE_KEY, CourtSigning.head(a), CourtSigning.head(b));
        _measure(abi.encodeCall(IFaultCourt.fileWrongLink, (heads, RANDOM)), "F13 wrong link", 120_000);
    }

    function test_gas_F2_sameSize() public {
        IFaultEvidence.State memory a = _state(SALT, 9, 0, _checkpointOf(SALT, 9));
        IFaultEvidence.State memory b = _state(FORKED, 9, 0, _checkpointOf(FORKED, 9));
        (a.proof, b.proof) = (new bytes32[](0), new bytes32[](0));
        _measure(_histories(a, b, 0), "F2 two histories, one size", 160_000);
    }

    /// @dev Proofs as long as those of a log of 100,000 leaves (17 hashes): index 0 in two trees of a power of two.
    function test_gas_F2_twoSizes() public {
        (IFaultEvidence.State memory a, bytes32 rootA) = _deep(100_000, "a");
        (IFaultEvidence.State memory b, bytes32 rootB) = _deep(99_000, "b");
        a.signature = Signing.checkpoint(KEY, address(_anchorLog), _logId, a.size, rootA);
        b.signature = Signing.checkpoint(KEY, address(_anchorLog), _logId, b.size, rootB);
        _measure(_histories(a, b, 0), "F2 two histories at 100000, two sizes", 160_000);
    }

    function test_gas_F2_againstAnchor() public {
        _anchor(_step(0, 9));
        IFaultEvidence.State memory a = _state(SALT, 9, 0, "");
        IFaultEvidence.State memory b = _state(FORKED, 9, 0, _checkpointOf(FORKED, 9));
        (a.proof, b.proof) = (new bytes32[](0), new bytes32[](0));
        _measure(_histories(a, b, 0), "F2 signed against anchored", 160_000);
    }

    function test_gas_F3() public {
        (IFaultEvidence.State memory a, bytes32 root) = _deep(100_000, "a");
        _anchor(_signed(100_000, root, new bytes32[](0)));
        IFaultEvidence.Pledge memory p = _pledge(keccak256("pledged"), 0, 90);
        bytes memory data = abi.encodeCall(IFaultCourt.fileWrongLeaf, (p, a.leaf, uint64(100_000), a.proof, RANDOM));
        _measure(data, "F3 wrong leaf at 100000", 120_000);
    }

    function test_gas_F4_late() public {
        _rollTo(800);
        _court.observe(_logId);
        VM.snapshotGasLastCall("FaultCourt", "observe, again");
        _measure(_unkept(_pledge(keccak256("pledged"), 3, 150), false, 2, 800), "F4 late", 100_000);
    }

    function test_gas_F4_missing() public {
        _rollTo(1_400);
        _court.observe(_logId);
        _measure(_unkept(_pledge(keccak256("pledged"), 3, 150), true, 2, 1_400), "F4 missing", 100_000);
    }

    function test_gas_F4_lateNow() public {
        _rollTo(800);
        _measure(_unkept(_pledge(keccak256("pledged"), 3, 150), false, 0, 0), "F4 late, by the head of now", 120_000);
    }

    function test_gas_F4_lateByStep() public {
        _rollTo(800);
        _anchor(_step(0, 3));
        _measure(_unkept(_pledge(keccak256("pledged"), 3, 150), false, 1, 3), "F4 late, by a step", 110_000);
    }

    function test_gas_F4_neverShown() public {
        _anchor(_step(0, 9));
        uint256 bond = _cases.minimumBond(_logId, 17, 0);
        _send(REPORTER, address(_cases), abi.encodeCall(IFaultCases.challengeEntry, (_logId, uint64(3))), bond);
        _roll(301);
        _cases.expireCase(17, _logId, 0, bytes32(uint256(3)));
        _roll(1_000);
        _measure(_unkept(_pledge(keccak256("pledged"), 3, 150), true, 3, 0), "F4 missing, never shown", 110_000);
    }

    function test_gas_F5() public {
        CourtSigning.HeadFields memory h = _fields(0, 0);
        bytes memory entry = CourtSigning.entry(h);
        entry[74] = 0x01;
        _anchor(_signed(1, CourtSigning.leafOf(entry), new bytes32[](0)));
        IFaultEvidence.Inclusion memory place = IFaultEvidence.Inclusion(_logId, 0, 1, new bytes32[](0));
        IFaultEvidence.SignedHead memory head = CourtSigning.signedHead(NODE_KEY, h);
        _measure(abi.encodeCall(IFaultCourt.fileFalseEntry, (place, entry, head, RANDOM)), "F5 false entry", 120_000);
    }

    function test_gas_F6() public {
        IFaultEvidence.State memory a = _state(SALT, 9, 0, _cosignatureOf(SALT, 9));
        IFaultEvidence.State memory b = _state(FORKED, 9, 0, _cosignatureOf(FORKED, 9));
        (a.proof, b.proof) = (new bytes32[](0), new bytes32[](0));
        bytes memory data =
            abi.encodeCall(IFaultCourt.fileTwoCosignatures, (_witness(), _logId, uint64(0), a, b, RANDOM));
        _measure(data, "F6 two cosignatures", 130_000);
    }

    function test_gas_stake() public {
        VM.prank(OPERATOR);
        _stake.bond(_nodeId, 1 ether);
        VM.snapshotGasLastCall("StakeManager", "bond, again");
        VM.prank(DELEGATOR);
        _stake.delegate(_nodeId, 1 ether);
        VM.snapshotGasLastCall("StakeManager", "delegate, again");
        VM.prank(DELEGATOR);
        _stake.unbond(_nodeId, 1 ether);
        VM.snapshotGasLastCall("StakeManager", "unbond");
        _roll(UNBOND);
        VM.prank(DELEGATOR);
        _stake.withdraw(_nodeId);
        VM.snapshotGasLastCall("StakeManager", "withdraw");
        _file(_twoHeads(1));
        _court.claimReward(1, _nodeId, 0, bytes32(uint256(1)));
        VM.snapshotGasLastCall("FaultCourt", "claimReward");
        _stake.burnSlashed(_nodeId);
        VM.snapshotGasLastCall("StakeManager", "burnSlashed");
    }

    function _measure(bytes memory data, string memory name, uint256 goal) private {
        _file(data);
        VM.assertTrue(VM.snapshotGasLastCall("FaultCourt", name) <= goal, string.concat(name, ": above the goal"));
    }

    function _histories(IFaultEvidence.State memory a, IFaultEvidence.State memory b, uint64 index)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeCall(IFaultCourt.fileTwoHistories, (_logId, index, a, b, RANDOM));
    }

    /// @dev The first leaf of a tree that is made of nothing but its path.
    function _deep(uint64 size, bytes32 leaf) private pure returns (IFaultEvidence.State memory, bytes32 root) {
        bytes32[] memory proof = new bytes32[](17);
        root = leaf;
        for (uint256 i = 0; i < 17; ++i) {
            proof[i] = keccak256(abi.encode(leaf, i));
            root = sha256(abi.encodePacked(uint8(1), root, proof[i]));
        }
        return (IFaultEvidence.State(size, root, "", leaf, proof), root);
    }
}
