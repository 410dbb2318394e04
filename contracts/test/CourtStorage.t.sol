// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ModelRegistry } from "../src/ModelRegistry.sol";
import { IFaultCases } from "../src/interfaces/IFaultCases.sol";
import { IModelRegistry } from "../src/interfaces/IModelRegistry.sol";
import { CourtFixture } from "./support/CourtFixture.sol";
import { VM } from "./support/Vm.sol";

/// @notice Readers prove raw slots (spec/stake.md sections 5.1 and 6, spec/faults.md section 6.5): each is read here where
/// the spec says it lies.
contract CourtStorageTest is CourtFixture {
    function setUp() public {
        _deployAll();
        _bond(_logId, 1_000 ether, 3_000 ether);
    }

    function test_stakeManager() public {
        VM.prank(DELEGATOR);
        _stake.unbond(_logId, 7 ether);
        VM.prank(DELEGATOR);
        _stake.reward(_logId, 9 ether);
        VM.prank(address(_court));
        _stake.slash(_logId, 10, 20, 25, 3, false);
        VM.prank(OPERATOR);
        _stake.retire(_logId);
        address stake = address(_stake);
        _expect(stake, 0, uint256(uint160(address(_timelock))), "slot 0: timelock");
        _expect(stake, bytes32(uint256(1)), uint256(uint160(address(_token))), "slot 1: token");
        uint256 word = uint256(uint160(address(_court))) | (uint256(UNBOND) << 160) | (20 << 224);
        _expect(stake, bytes32(uint256(2)), word, "slot 2: court, unbondBlocks, minSelfPercent");
        word = uint256(uint160(address(_registry))) | (4 * uint256(UNBOND) << 160);
        _expect(stake, bytes32(uint256(3)), word, "slot 3: registry, maxUnbondBlocks");
        _expect(stake, bytes32(uint256(7)), 1, "slot 7: length of the history");
        _expect(stake, keccak256(abi.encode(uint256(7))), uint256(UNBOND) << 48, "slot 7: block, unbondBlocks");
        _expect(stake, bytes32(uint256(4)), uint256(uint160(address(_anchorLog))), "slot 4: anchorLog");
        bytes32 books = _at(_logId, 5);
        word = 1_000 ether | (uint256(3_000 ether) << 96) | (100 << 192);
        _expect(stake, books, word, "word 0: selfShares, delegatedShares, retiredAtBlock");
        word = 0.9e18 | (uint256(25 ether) << 64) | (3 << 160) | (10 << (192 + 16));
        _expect(stake, _add(books, 1), word, "word 1: index, reservedRewards, capWindow, capUsed");
        _expect(stake, _add(books, 2), uint256(7 ether) << 96, "word 2: selfUnbonding, delegatedUnbonding");
        _expect(stake, _add(books, 3), 4_000 ether | (uint256(9 ether) << 128), "word 3: heldTokens, heldRewards");
        _expect(stake, _add(books, 4), (uint256(9 ether) << 64) / 3_993 ether, "word 4: rewardPerShare");
        _expect(stake, _add(books, 5), uint256(uint160(OPERATOR)), "word 5: operator, extraPledgeBlocks");
        bytes32 position = keccak256(abi.encode(DELEGATOR, _at(_logId, 6)));
        word = 2_993 ether | (uint256(7 ether) << 96) | (uint256(100 + UNBOND) << 192);
        _expect(stake, position, word, "slot 6: shares, unbondingShares, unlockBlock");
        VM.prank(address(_court));
        _stake.slash(_logId, 0, 0, 25, 0, true);
        word = 0.9e18 | (uint256(25 ether) << 64) | (3 << 160) | (10 << (192 + 16)) | (100 << 216);
        _expect(stake, _add(books, 1), word, "word 1: endedAtBlock");
    }

    function test_faultCourt() public {
        address court = address(_court);
        _expect(court, 0, uint256(uint160(address(_timelock))), "slot 0: timelock");
        uint256 percents = 0;
        uint8[12] memory list = [100, 100, 100, 1, 100, 100, 100, 100, 20, 5, 25, 20];
        for (uint256 i = 0; i < 12; ++i) {
            percents |= uint256(list[i]) << (160 + 8 * i);
        }
        _expect(court, bytes32(uint256(1)), uint256(uint160(address(_stake))) | percents, "slot 1: stake, percents");
        uint256 word = uint256(uint160(address(_anchorLog))) | (600 << 160) | (600 << 192) | (14_400 << 224);
        _expect(court, bytes32(uint256(2)), word, "slot 2: anchorLog, grace, incident, capWindow");
        word = uint256(uint160(address(_registry))) | (1_300 << 160) | (300 << 192) | (uint256(REVEAL) << 224);
        _expect(court, bytes32(uint256(3)), word, "slot 3: registry, openWindow, answer, reveal");
        word = uint256(uint160(address(_cases))) | (600 << 160) | (1e6 << 192);
        _expect(court, bytes32(uint256(4)), word, "slot 4: cases, evidence, bondFloorGwei");

        _bond(_nodeId, 100 ether, 0);
        _commit(REPORTER, "unused");
        _file(_twoHeads(7));
        word = uint256(uint160(REPORTER)) | (uint256(25 ether) << 160) | (1 << 248);
        _expect(court, _at(_faultId(1, _nodeId, 0, 7), 5), word, "slot 5: reporter, reward, class");
        _expect(court, _at(_commitment(REPORTER, "unused"), 6), 102, "slot 6: fromBlock");
        _anchor(_step(0, 5));
        _court.observe(_logId);
        _expect(court, keccak256(abi.encode(_now, _at(_logId, 7))), 6, "slot 7: size plus one");
        _expect(court, _add(_at(_logId, 8), 2), MINIMUM, "slot 8: pledgeBlocks");
    }

    function test_faultCases() public {
        _anchor(_step(0, 5));
        uint256 bond = _cases.minimumBond(_logId, 17, 0);
        _send(REPORTER, address(_cases), abi.encodeCall(IFaultCases.challengeEntry, (_logId, uint64(3))), bond);
        address cases = address(_cases);
        _expect(cases, 0, uint256(uint160(address(_court))), "slot 0: court");
        _expect(cases, bytes32(uint256(1)), uint256(uint160(address(_anchorLog))), "slot 1: anchorLog");
        _expect(cases, bytes32(uint256(2)), uint256(uint160(address(_registry))), "slot 2: registry");
        uint256 word = uint256(uint160(REPORTER)) | (100 << 160) | (1 << 200) | ((bond / 1 gwei) << 208);
        _expect(cases, _at(_faultId(17, _logId, 0, 3), 3), word, "slot 3: challenger, openedAt, state, bondGwei");
        _expect(cases, _at(_logId, 4), 1, "slot 4: open cases");
        _roll(301);
        _cases.expireCase(17, _logId, 0, bytes32(uint256(3)));
        _expect(cases, keccak256(abi.encode(REPORTER, uint256(5))), bond, "slot 5: credit");
    }

    function test_modelRegistry() public {
        ModelRegistry models = new ModelRegistry();
        IModelRegistry.Terms memory terms = IModelRegistry.Terms(
            keccak256("licence"), address(_token), 5 ether, 250, 1, keccak256("key"), address(_token)
        );
        VM.prank(OPERATOR);
        bytes32 modelId = models.publish(keccak256("manifest"), terms);
        VM.prank(OPERATOR);
        models.retireVersion(modelId, 0);
        address registry = address(models);
        _expect(registry, keccak256(abi.encode(OPERATOR, uint256(0))), 1, "slot 0: count");
        _expect(registry, _at(modelId, 1), uint256(uint160(OPERATOR)) | (1 << 160), "slot 1: publisher, versions");
        bytes32 version = keccak256(abi.encode(uint256(0), _at(modelId, 2)));
        _expect(registry, version, uint256(keccak256("manifest")), "word 0: manifestHash");
        _expect(registry, _add(version, 1), uint256(keccak256("licence")), "word 1: licenceHash");
        uint256 word = uint256(uint160(address(_token))) | (250 << 160) | (1 << 176) | (100 << 184);
        _expect(registry, _add(version, 2), word, "word 2: asset, royalty, proofSystem, retiredAtBlock");
        _expect(registry, _add(version, 3), 5 ether, "word 3: price");
        _expect(registry, _add(version, 4), uint256(keccak256("key")), "word 4: verificationKeyHash");
        _expect(registry, _add(version, 5), uint256(uint160(address(_token))), "word 5: verifier");
        _expect(registry, _add(version, 6), uint256(address(_token).codehash), "word 6: verifierCodeHash");
    }

    function test_anchorLog_request() public {
        bytes32 leafHash = keccak256("refused entry");
        VM.recordLogs();
        _anchorLog.request(leafHash);
        VM.assertEq(VM.getRecordedLogs().length, 1, "one event");
        _roll(5);
        _anchorLog.request(leafHash);
        VM.assertEq(VM.getRecordedLogs().length, 0, "repeating changes nothing");
        VM.assertEq(_anchorLog.requestedAt(leafHash), 100, "first asked");
        _expect(address(_anchorLog), _at(leafHash, 7), 100, "slot 7: requestedAt");
    }

    function _at(bytes32 key, uint256 slot) private pure returns (bytes32) {
        return keccak256(abi.encode(key, slot));
    }

    function _add(bytes32 slot, uint256 words) private pure returns (bytes32) {
        return bytes32(uint256(slot) + words);
    }

    function _expect(address target, bytes32 slot, uint256 value, string memory what) private view {
        VM.assertEq(VM.load(target, slot), bytes32(value), what);
    }
}
