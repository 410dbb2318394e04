// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { NodeRegistry } from "../src/NodeRegistry.sol";
import { INodeRegistry } from "../src/interfaces/INodeRegistry.sol";
import { Signing } from "./support/Signing.sol";
import { VM } from "./support/Vm.sol";

/// @notice Each function, each event, each refusal; for a refusal everything else is right.
contract NodeRegistryTest {
    address private constant OPERATOR = address(0xA11CE);
    address private constant STRANGER = address(0xB0B);
    uint256 private constant KEY = 0x101;
    uint256 private constant OTHER_KEY = 0x102;
    bytes32 private constant EVIDENCE = keccak256("evidence");
    string private constant ENDPOINT = "https://node.example";

    NodeRegistry private _registry;
    bytes32 private _nodeId;

    function setUp() public {
        VM.roll(100);
        _registry = new NodeRegistry(false);
        VM.prank(OPERATOR);
        _nodeId = _registry.registerNode(ENDPOINT, EVIDENCE, 1);
    }

    function test_registerNode() public {
        bytes32 expected = sha256(abi.encode(block.chainid, address(_registry), OPERATOR, uint64(1)));
        VM.expectEmit(address(_registry));
        emit INodeRegistry.NodeRegistered(expected, OPERATOR, 1, "", bytes32(0), 0);
        VM.prank(OPERATOR);
        VM.assertEq(_registry.registerNode("", 0, 0), expected, "nodeId");
        VM.assertEq(_registry.nodeIdOf(OPERATOR, 1), expected, "nodeIdOf");
        VM.assertEq(_registry.nodeCount(OPERATOR), 2, "nodeCount");

        INodeRegistry.Node memory node = _registry.getNode(_nodeId);
        VM.assertEq(node.operator, OPERATOR, "operator");
        VM.assertEq(node.registeredAtBlock, 100, "registeredAtBlock");
        VM.assertEq(node.nextKeyEpoch, 0, "nextKeyEpoch");
        INodeRegistry.Profile memory profile = _registry.getProfile(_nodeId);
        VM.assertEq(bytes(profile.endpoint), bytes(ENDPOINT), "endpoint");
        VM.assertEq(profile.evidenceHash, EVIDENCE, "evidenceHash");
        VM.assertEq(profile.platform, 1, "platform");
    }

    function test_registerNode_endpointLength() public {
        string memory longest = string(new bytes(256));
        _registry.registerNode(longest, 0, 0);
        VM.expectRevert(abi.encodeWithSelector(INodeRegistry.EndpointTooLong.selector, 257, 256));
        _registry.registerNode(string(new bytes(257)), 0, 0);
    }

    function test_registerNode_simulatedPlatform() public {
        VM.assertFalse(_registry.development(), "not marked");
        VM.expectRevert(abi.encodeWithSelector(INodeRegistry.SimulatedPlatformRefused.selector));
        _registry.registerNode("", 0, 255);
        NodeRegistry marked = new NodeRegistry(true);
        VM.assertTrue(marked.development(), "marked");
        VM.assertEq(marked.getProfile(marked.registerNode("", 0, 255)).platform, 255, "admitted");
    }

    function test_updateNode() public {
        VM.expectEmit(address(_registry));
        emit INodeRegistry.NodeUpdated(_nodeId, "elsewhere", keccak256("new"), 2);
        VM.prank(OPERATOR);
        _registry.updateNode(_nodeId, "elsewhere", keccak256("new"), 2);
        VM.assertEq(bytes(_registry.getProfile(_nodeId).endpoint), bytes("elsewhere"), "endpoint");
    }

    function test_updateNode_refusals() public {
        _expectNotOperator();
        VM.prank(STRANGER);
        _registry.updateNode(_nodeId, ENDPOINT, EVIDENCE, 1);
        VM.expectRevert(abi.encodeWithSelector(INodeRegistry.UnknownNode.selector, bytes32("none")));
        VM.prank(OPERATOR);
        _registry.updateNode("none", ENDPOINT, EVIDENCE, 1);
        VM.expectRevert(abi.encodeWithSelector(INodeRegistry.SimulatedPlatformRefused.selector));
        VM.prank(OPERATOR);
        _registry.updateNode(_nodeId, ENDPOINT, EVIDENCE, 255);
        VM.expectRevert(abi.encodeWithSelector(INodeRegistry.EndpointTooLong.selector, 257, 256));
        VM.prank(OPERATOR);
        _registry.updateNode(_nodeId, string(new bytes(257)), EVIDENCE, 1);
    }

    function test_addKey() public {
        (bytes32 x, bytes32 y) = Signing.publicKey(KEY);
        bytes32 keyId = Signing.keyId(KEY);
        bytes memory proof = Signing.key(KEY, address(_registry), _nodeId, 1);
        VM.roll(107);
        VM.expectEmit(address(_registry));
        emit INodeRegistry.KeyAdded(_nodeId, 0, keyId, 1, x, y);
        VM.prank(OPERATOR);
        VM.assertEq(_registry.addKey(_nodeId, 1, x, y, proof), 0, "keyEpoch");

        INodeRegistry.KeyRecord memory key = _registry.getKey(_nodeId, 0);
        VM.assertEq(key.keyId, keyId, "keyId");
        VM.assertEq(key.operator, OPERATOR, "operator");
        VM.assertEq(key.role, 1, "role");
        VM.assertEq(key.validFromBlock, 107, "validFromBlock");
        VM.assertEq(key.validUntilBlock, 0, "validUntilBlock");
        VM.assertEq(_registry.nodeOfKey(keyId), _nodeId, "nodeOfKey");
        VM.assertEq(_registry.getNode(_nodeId).nextKeyEpoch, 1, "nextKeyEpoch");
    }

    function test_addKey_severalAreValidAtOnce() public {
        _add(KEY, 1);
        VM.assertEq(_add(OTHER_KEY, 4), 1, "second epoch");
        VM.assertTrue(_registry.isKeyValidAt(_nodeId, 0, 100), "first");
        VM.assertTrue(_registry.isKeyValidAt(_nodeId, 1, 100), "second");
    }

    function test_addKey_byStranger() public {
        (bytes32 x, bytes32 y) = Signing.publicKey(KEY);
        bytes memory proof = Signing.key(KEY, address(_registry), _nodeId, 1);
        _expectNotOperator();
        VM.prank(STRANGER);
        _registry.addKey(_nodeId, 1, x, y, proof);
    }

    function test_addKey_unknownNode() public {
        (bytes32 x, bytes32 y) = Signing.publicKey(KEY);
        bytes memory proof = Signing.key(KEY, address(_registry), "none", 1);
        VM.expectRevert(abi.encodeWithSelector(INodeRegistry.UnknownNode.selector, bytes32("none")));
        VM.prank(OPERATOR);
        _registry.addKey("none", 1, x, y, proof);
    }

    function test_addKey_role() public {
        (bytes32 x, bytes32 y) = Signing.publicKey(KEY);
        for (uint256 role = 0; role < 256; role += role == 0 ? 5 : 250) {
            bytes memory proof = Signing.key(KEY, address(_registry), _nodeId, uint8(role));
            VM.expectRevert(abi.encodeWithSelector(INodeRegistry.InvalidRole.selector, role));
            VM.prank(OPERATOR);
            _registry.addKey(_nodeId, uint8(role), x, y, proof);
        }
    }

    function test_addKey_offTheCurve() public {
        bytes memory proof = Signing.key(KEY, address(_registry), _nodeId, 1);
        VM.expectRevert(abi.encodeWithSelector(INodeRegistry.InvalidPublicKey.selector, bytes32(0), bytes32(0)));
        VM.prank(OPERATOR);
        _registry.addKey(_nodeId, 1, 0, 0, proof);
    }

    /// @dev One node, one role, for ever: neither the same node, another node, another role nor an ended key helps.
    function test_addKey_twice() public {
        _add(KEY, 1);
        _refuseSecondEntry(OPERATOR, _nodeId, 1);
        _refuseSecondEntry(OPERATOR, _nodeId, 3);
        VM.prank(OPERATOR);
        _registry.endKey(_nodeId, 0);
        _refuseSecondEntry(OPERATOR, _nodeId, 1);
        VM.prank(STRANGER);
        bytes32 theirs = _registry.registerNode("", 0, 0);
        _refuseSecondEntry(STRANGER, theirs, 1);
    }

    /// @dev Each proof is right in all but one thing.
    function test_addKey_proofForSomethingElse() public {
        _refuse(Signing.key(KEY, address(this), _nodeId, 1)); // another contract
        _refuse(Signing.key(KEY, address(_registry), _registry.nodeIdOf(OPERATOR, 1), 1)); // another node
        _refuse(Signing.key(KEY, address(_registry), _nodeId, 2)); // another role
        _refuse(Signing.key(OTHER_KEY, address(_registry), _nodeId, 1)); // another key
        _refuse(Signing.malleate(Signing.key(KEY, address(_registry), _nodeId, 1))); // high S
        _refuse(Signing.checkpoint(KEY, address(_registry), _nodeId, 1, 0)); // another statement
        _refuse("");
        bytes memory proof = Signing.key(KEY, address(_registry), _nodeId, 1);
        VM.chainId(block.chainid + 1); // another chain
        _refuse(proof);
    }

    function testFuzz_addKey_oneFlip(uint256 bit) public {
        _refuse(Signing.flip(Signing.key(KEY, address(_registry), _nodeId, 1), bit % 512));
    }

    /// @dev Seen pending, copied, sent first: the copy names the victim's node, which the copier may not change.
    function test_addKey_copiedProof() public {
        (bytes32 x, bytes32 y) = Signing.publicKey(KEY);
        bytes memory seen = Signing.key(KEY, address(_registry), _nodeId, 1);
        VM.prank(STRANGER);
        bytes32 theirs = _registry.registerNode("", 0, 0);
        VM.expectRevert(abi.encodeWithSelector(INodeRegistry.InvalidProofOfPossession.selector, Signing.keyId(KEY)));
        VM.prank(STRANGER);
        _registry.addKey(theirs, 1, x, y, seen);
    }

    function test_endKey() public {
        _add(KEY, 1);
        VM.roll(150);
        VM.expectEmit(address(_registry));
        emit INodeRegistry.KeyEnded(_nodeId, 0, Signing.keyId(KEY));
        VM.prank(OPERATOR);
        _registry.endKey(_nodeId, 0);
        VM.assertEq(_registry.getKey(_nodeId, 0).validUntilBlock, 150, "validUntilBlock");
        VM.assertEq(_registry.getKey(_nodeId, 0).keyId, Signing.keyId(KEY), "stays readable");
        VM.assertFalse(_registry.isKeyValidAt(_nodeId, 0, 99), "before");
        VM.assertTrue(_registry.isKeyValidAt(_nodeId, 0, 100), "first block");
        VM.assertTrue(_registry.isKeyValidAt(_nodeId, 0, 149), "last block");
        VM.assertFalse(_registry.isKeyValidAt(_nodeId, 0, 150), "after");
        VM.assertFalse(_registry.isKeyValidAt(_nodeId, 1, 100), "no such epoch");
    }

    function test_endKey_inItsFirstBlock() public {
        _add(KEY, 1);
        VM.prank(OPERATOR);
        _registry.endKey(_nodeId, 0);
        VM.assertFalse(_registry.isKeyValidAt(_nodeId, 0, 100), "never valid");
    }

    function test_endKey_refusals() public {
        _add(KEY, 1);
        _expectNotOperator();
        VM.prank(STRANGER);
        _registry.endKey(_nodeId, 0);
        VM.expectRevert(abi.encodeWithSelector(INodeRegistry.UnknownKey.selector, _nodeId, 1));
        VM.prank(OPERATOR);
        _registry.endKey(_nodeId, 1);
        VM.prank(OPERATOR);
        _registry.endKey(_nodeId, 0);
        VM.roll(200);
        VM.expectRevert(abi.encodeWithSelector(INodeRegistry.KeyAlreadyEnded.selector, _nodeId, 0));
        VM.prank(OPERATOR);
        _registry.endKey(_nodeId, 0);
    }

    function _add(uint256 privateKey, uint8 role) private returns (uint32) {
        (bytes32 x, bytes32 y) = Signing.publicKey(privateKey);
        bytes memory proof = Signing.key(privateKey, address(_registry), _nodeId, role);
        VM.prank(OPERATOR);
        return _registry.addKey(_nodeId, role, x, y, proof);
    }

    function _refuse(bytes memory proof) private {
        (bytes32 x, bytes32 y) = Signing.publicKey(KEY);
        VM.expectRevert(abi.encodeWithSelector(INodeRegistry.InvalidProofOfPossession.selector, Signing.keyId(KEY)));
        VM.prank(OPERATOR);
        _registry.addKey(_nodeId, 1, x, y, proof);
    }

    function _expectNotOperator() private {
        VM.expectRevert(abi.encodeWithSelector(INodeRegistry.NotOperator.selector, _nodeId, STRANGER));
    }

    function _refuseSecondEntry(address operator, bytes32 nodeId, uint8 role) private {
        (bytes32 x, bytes32 y) = Signing.publicKey(KEY);
        bytes memory proof = Signing.key(KEY, address(_registry), nodeId, role);
        bytes32 keyId = Signing.keyId(KEY);
        VM.expectRevert(abi.encodeWithSelector(INodeRegistry.KeyAlreadyRegistered.selector, keyId, _nodeId));
        VM.prank(operator);
        _registry.addKey(nodeId, role, x, y, proof);
    }
}
