// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { NodeRegistry } from "../src/NodeRegistry.sol";
import { LogFixture } from "./support/LogFixture.sol";
import { ReferenceTree } from "./support/ReferenceTree.sol";
import { Signing } from "./support/Signing.sol";
import { VM } from "./support/Vm.sol";

/// @notice Readers prove raw slots (spec/contracts.md section 5): each one is read here where the spec says it lies.
contract StorageTest is LogFixture {
    NodeRegistry private _registry;
    bytes32 private _nodeId;

    function setUp() public {
        _deploy();
        _registry = new NodeRegistry(true);
        VM.prank(OPERATOR);
        _nodeId = _registry.registerNode("https://node.example", keccak256("evidence"), 255);
        _addKey(0x101, 1);
        _addKey(0x102, 3);
        VM.roll(111);
        VM.prank(OPERATOR);
        _registry.endKey(_nodeId, 1);
    }

    function test_nodeRegistry_scalars() public view {
        address registry = address(_registry);
        _expect(registry, bytes32(uint256(0)), 1, "slot 0: development");
        _expect(registry, _at(bytes32(uint256(uint160(OPERATOR))), 1), 1, "slot 1: nodeCount");
        uint256 node = uint256(uint160(OPERATOR)) | (100 << 160) | (2 << 224);
        _expect(registry, _at(_nodeId, 2), node, "slot 2: operator, registeredAtBlock, nextKeyEpoch");
        _expect(registry, _at(Signing.keyId(0x101), 4), uint256(_nodeId), "slot 4: nodeOfKey");
    }

    function test_nodeRegistry_keys() public view {
        address registry = address(_registry);
        bytes32 keys = _at(_nodeId, 3);
        bytes32 first = keccak256(abi.encode(uint256(0), keys));
        bytes32 second = keccak256(abi.encode(uint256(1), keys));
        uint256 operator = uint256(uint160(OPERATOR));
        _expect(registry, first, uint256(Signing.keyId(0x101)), "slot 3: keyId");
        _expect(registry, _add(first, 1), operator | (1 << 160) | (100 << 168), "slot 3: open key");
        _expect(registry, second, uint256(Signing.keyId(0x102)), "slot 3: second keyId");
        uint256 ended = operator | (3 << 160) | (100 << 168) | (111 << 208);
        _expect(registry, _add(second, 1), ended, "slot 3: ended key");
        _expect(registry, keccak256(abi.encode(uint256(2), keys)), 0, "slot 3: no third key");
    }

    function test_nodeRegistry_profile() public view {
        bytes32 profile = _at(_nodeId, 5);
        bytes32 text = "https://node.example";
        _expect(address(_registry), profile, uint256(text) | (20 * 2), "slot 5: endpoint, short string");
        _expect(address(_registry), _add(profile, 1), uint256(keccak256("evidence")), "slot 5: evidenceHash");
        _expect(address(_registry), _add(profile, 2), 255, "slot 5: platform");
    }

    function test_anchorLog_scalars() public view {
        address log = address(_anchorLog);
        _expect(log, bytes32(uint256(0)), uint256(PREVIOUS), "slot 0: instance");
        _expect(log, bytes32(uint256(1)), MINIMUM, "slot 1: minPledgeBlocks");
        _expect(log, _at(bytes32(uint256(uint160(OPERATOR))), 2), 1, "slot 2: logCount");
        _expect(log, _at(Signing.keyId(KEY), 5), uint256(_logId), "slot 5: logOfKey");
    }

    function test_anchorLog_record() public {
        _anchor(_step(0, 5));
        address log = address(_anchorLog);
        bytes32 record = _at(_logId, 3);
        (bytes32 x, bytes32 y) = Signing.publicKey(KEY);
        _expect(log, record, uint256(Signing.keyId(KEY)), "slot 3: keyId");
        uint256 operator = uint256(uint160(OPERATOR)) | (uint256(MINIMUM) << 160);
        _expect(log, _add(record, 1), operator, "slot 3: operator, pledgeBlocks");
        _expect(log, _add(record, 2), uint256(ED25519), "slot 3: ed25519Key");
        _expect(log, _add(record, 3), uint256(x), "slot 3: x");
        _expect(log, _add(record, 4), uint256(y), "slot 3: y");
        _expect(log, _add(record, 5), 5, "slot 3: headSize");
        _expect(log, _add(record, 6), uint256(ReferenceTree.root(SALT, 5)), "slot 3: headRoot");
    }

    function test_anchorLog_steps() public {
        _anchor(_step(0, 5));
        _anchor(_forkedStep(5));
        address log = address(_anchorLog);
        bytes32 steps = _at(_logId, 4);
        bytes32 empty = keccak256(abi.encode(uint256(0), steps));
        _expect(log, empty, uint256(sha256("")), "slot 4: root of size 0");
        _expect(log, _add(empty, 1), 100, "slot 4: block of size 0");
        bytes32 step = keccak256(abi.encode(uint256(5), steps));
        _expect(log, step, uint256(ReferenceTree.root(SALT, 5)), "slot 4: root");
        _expect(log, _add(step, 1), 111, "slot 4: blockNumber");
        bytes32 conflict = keccak256(abi.encode(uint256(5), _at(_logId, 6)));
        _expect(log, conflict, uint256(ReferenceTree.root(FORKED, 5)), "slot 6: conflictingRoot");
    }

    function _addKey(uint256 privateKey, uint8 role) private {
        (bytes32 x, bytes32 y) = Signing.publicKey(privateKey);
        bytes memory proof = Signing.key(privateKey, address(_registry), _nodeId, role);
        VM.prank(OPERATOR);
        _registry.addKey(_nodeId, role, x, y, proof);
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
