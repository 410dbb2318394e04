// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { NodeRegistry } from "../src/NodeRegistry.sol";
import { INodeRegistry } from "../src/interfaces/INodeRegistry.sol";
import { Signing } from "./support/Signing.sol";
import { VM } from "./support/Vm.sol";

/// @notice Uses the registry as three operators would, right and wrong, and keeps its own books.
contract NodeRegistryHandler {
    struct Entry {
        bytes32 nodeId;
        uint32 keyEpoch;
        uint256 privateKey;
        bytes record;
    }

    NodeRegistry public immutable registry = new NodeRegistry(false);
    bytes32[] public nodes;
    Entry[] private _entries;
    mapping(bytes32 nodeId => uint32 count) public keyCount;
    uint256 private _nextKey = 0x1000;
    uint256 private _block = 100;

    function registerNode(uint256 who) external {
        if (nodes.length >= 6) return;
        VM.prank(_operator(who));
        nodes.push(registry.registerNode("", 0, 0));
    }

    function addKey(uint256 which, uint256 role) external {
        if (nodes.length == 0) return;
        bytes32 nodeId = nodes[which % nodes.length];
        uint256 privateKey = _nextKey++;
        (bool done, uint32 keyEpoch) = _tryAdd(nodeId, privateKey, uint8(1 + role % 4));
        VM.assertTrue(done, "a new key enters");
        VM.assertEq(keyEpoch, keyCount[nodeId], "epochs increase by one");
        keyCount[nodeId]++;
        bytes memory record = abi.encode(registry.getKey(nodeId, keyEpoch));
        _entries.push(Entry(nodeId, keyEpoch, privateKey, record));
    }

    function addKeyAgain(uint256 which, uint256 entry, uint256 role) external {
        if (_entries.length == 0) return;
        bytes32 nodeId = nodes[which % nodes.length];
        (bool done,) = _tryAdd(nodeId, _entries[entry % _entries.length].privateKey, uint8(1 + role % 4));
        VM.assertFalse(done, "a key enters once");
    }

    function endKey(uint256 entry) external {
        if (_entries.length == 0) return;
        Entry storage chosen = _entries[entry % _entries.length];
        bool open = registry.getKey(chosen.nodeId, chosen.keyEpoch).validUntilBlock == 0;
        address operator = registry.getNode(chosen.nodeId).operator;
        VM.prank(operator);
        try registry.endKey(chosen.nodeId, chosen.keyEpoch) {
            VM.assertTrue(open, "an ended key ends no second time");
            INodeRegistry.KeyRecord memory record = abi.decode(chosen.record, (INodeRegistry.KeyRecord));
            record.validUntilBlock = uint40(block.number);
            chosen.record = abi.encode(record);
        } catch {
            VM.assertFalse(open, "an open key can be ended");
        }
    }

    function meddle(uint256 entry, uint256 who) external {
        if (_entries.length == 0) return;
        Entry storage chosen = _entries[entry % _entries.length];
        address sender = address(uint160(0xBAD00 + who % 5));
        VM.prank(sender);
        try registry.endKey(chosen.nodeId, chosen.keyEpoch) {
            VM.assertTrue(false, "a stranger ended a key");
        } catch { }
    }

    function wait_(uint256 blocks) external {
        _block += 1 + blocks % 50;
        VM.roll(_block);
    }

    function check() external view {
        for (uint256 i = 0; i < _entries.length; ++i) {
            Entry storage entry = _entries[i];
            bytes memory now_ = abi.encode(registry.getKey(entry.nodeId, entry.keyEpoch));
            VM.assertEq(now_, entry.record, "history never changes");
            VM.assertEq(registry.nodeOfKey(Signing.keyId(entry.privateKey)), entry.nodeId, "one node for ever");
        }
        for (uint256 i = 0; i < nodes.length; ++i) {
            VM.assertEq(registry.getNode(nodes[i]).nextKeyEpoch, keyCount[nodes[i]], "nextKeyEpoch counts the keys");
            for (uint256 j = 0; j < i; ++j) {
                VM.assertTrue(nodes[i] != nodes[j], "ids differ");
            }
        }
    }

    function _tryAdd(bytes32 nodeId, uint256 privateKey, uint8 role) private returns (bool, uint32) {
        (bytes32 x, bytes32 y) = Signing.publicKey(privateKey);
        bytes memory proof = Signing.key(privateKey, address(registry), nodeId, role);
        address operator = registry.getNode(nodeId).operator;
        VM.prank(operator);
        try registry.addKey(nodeId, role, x, y, proof) returns (uint32 keyEpoch) {
            return (true, keyEpoch);
        } catch {
            return (false, 0);
        }
    }

    function _operator(uint256 who) private pure returns (address) {
        return address(uint160(0xA0000 + who % 3));
    }
}

contract NodeRegistryInvariantTest {
    NodeRegistryHandler private _handler;

    function setUp() public {
        VM.roll(100);
        _handler = new NodeRegistryHandler();
    }

    function targetContracts() public view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(_handler);
    }

    function invariant_historyOnlyGrows() public view {
        _handler.check();
    }
}
