// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { INodeRegistry } from "./interfaces/INodeRegistry.sol";
import { CoseSign1 } from "./libraries/CoseSign1.sol";
import { Statements } from "./libraries/Statements.sol";

/// @title NodeRegistry
/// @notice See INodeRegistry.
/// @dev The order of the state variables is part of spec/contracts.md section 5: readers prove these slots.
/// The development mark is in storage, not in the code, so that one code hash serves every chain.
contract NodeRegistry is INodeRegistry {
    /// @notice Longest endpoint, bytes.
    uint256 public constant MAX_ENDPOINT_BYTES = 256;
    /// @notice Platform of evidence that a simulator made.
    uint8 public constant PLATFORM_SIMULATED = 255;

    bool private _development; // slot 0
    mapping(address operator => uint64 count) private _nodeCount; // slot 1
    mapping(bytes32 nodeId => Node node) private _nodes; // slot 2
    mapping(bytes32 nodeId => mapping(uint32 keyEpoch => KeyRecord key)) private _keys; // slot 3
    mapping(bytes32 keyId => bytes32 nodeId) private _nodeOfKey; // slot 4
    mapping(bytes32 nodeId => Profile profile) private _profiles; // slot 5

    /// @param development_ whether this is a development chain, where simulated evidence is admitted
    constructor(bool development_) {
        _development = development_;
    }

    /// @inheritdoc INodeRegistry
    function registerNode(string calldata endpoint, bytes32 evidenceHash, uint8 platform)
        external
        returns (bytes32 nodeId)
    {
        _requireProfile(endpoint, platform);
        uint64 operatorIndex = _nodeCount[msg.sender]++;
        nodeId = nodeIdOf(msg.sender, operatorIndex);
        _nodes[nodeId] = Node(msg.sender, uint64(block.number), 0);
        _profiles[nodeId] = Profile(endpoint, evidenceHash, platform);
        emit NodeRegistered(nodeId, msg.sender, operatorIndex, endpoint, evidenceHash, platform);
    }

    /// @inheritdoc INodeRegistry
    function updateNode(bytes32 nodeId, string calldata endpoint, bytes32 evidenceHash, uint8 platform) external {
        _requireOperator(nodeId);
        _requireProfile(endpoint, platform);
        _profiles[nodeId] = Profile(endpoint, evidenceHash, platform);
        emit NodeUpdated(nodeId, endpoint, evidenceHash, platform);
    }

    /// @inheritdoc INodeRegistry
    function addKey(bytes32 nodeId, uint8 role, bytes32 x, bytes32 y, bytes calldata signature)
        external
        returns (uint32 keyEpoch)
    {
        _requireOperator(nodeId);
        if (role < Statements.ROLE_NODE || role > Statements.ROLE_VERIFIER) revert InvalidRole(role);
        bytes32 keyId = _requirePossession(nodeId, role, x, y, signature);

        keyEpoch = _nodes[nodeId].nextKeyEpoch++;
        _nodeOfKey[keyId] = nodeId;
        _keys[nodeId][keyEpoch] = KeyRecord(keyId, msg.sender, role, uint40(block.number), 0);
        emit KeyAdded(nodeId, keyEpoch, keyId, role, x, y);
    }

    /// @inheritdoc INodeRegistry
    function endKey(bytes32 nodeId, uint32 keyEpoch) external {
        _requireOperator(nodeId);
        KeyRecord storage key = _keys[nodeId][keyEpoch];
        if (key.keyId == 0) revert UnknownKey(nodeId, keyEpoch);
        if (key.validUntilBlock != 0) revert KeyAlreadyEnded(nodeId, keyEpoch);
        key.validUntilBlock = uint40(block.number);
        emit KeyEnded(nodeId, keyEpoch, key.keyId);
    }

    /// @inheritdoc INodeRegistry
    function development() external view returns (bool) {
        return _development;
    }

    /// @inheritdoc INodeRegistry
    function nodeCount(address operator) external view returns (uint64) {
        return _nodeCount[operator];
    }

    /// @inheritdoc INodeRegistry
    function getNode(bytes32 nodeId) external view returns (Node memory) {
        return _nodes[nodeId];
    }

    /// @inheritdoc INodeRegistry
    function getProfile(bytes32 nodeId) external view returns (Profile memory) {
        return _profiles[nodeId];
    }

    /// @inheritdoc INodeRegistry
    function getKey(bytes32 nodeId, uint32 keyEpoch) external view returns (KeyRecord memory) {
        return _keys[nodeId][keyEpoch];
    }

    /// @inheritdoc INodeRegistry
    function nodeOfKey(bytes32 keyId) external view returns (bytes32) {
        return _nodeOfKey[keyId];
    }

    /// @inheritdoc INodeRegistry
    function isKeyValidAt(bytes32 nodeId, uint32 keyEpoch, uint256 blockNumber) external view returns (bool) {
        KeyRecord storage key = _keys[nodeId][keyEpoch];
        if (key.keyId == 0 || blockNumber < key.validFromBlock) return false;
        return key.validUntilBlock == 0 || blockNumber < key.validUntilBlock;
    }

    /// @inheritdoc INodeRegistry
    function nodeIdOf(address operator, uint64 operatorIndex) public view returns (bytes32) {
        return sha256(abi.encode(block.chainid, address(this), operator, operatorIndex));
    }

    function _requireOperator(bytes32 nodeId) private view {
        address operator = _nodes[nodeId].operator;
        if (operator == address(0)) revert UnknownNode(nodeId);
        if (operator != msg.sender) revert NotOperator(nodeId, msg.sender);
    }

    function _requireProfile(string calldata endpoint, uint8 platform) private view {
        uint256 length = bytes(endpoint).length;
        if (length > MAX_ENDPOINT_BYTES) revert EndpointTooLong(length, MAX_ENDPOINT_BYTES);
        if (platform == PLATFORM_SIMULATED && !_development) revert SimulatedPlatformRefused();
    }

    /// @dev The key must be new and must have signed this very entry: one ECDSA signature verifies under two public
    /// keys, so an entry without (x, y) inside what is signed would prove nothing.
    function _requirePossession(bytes32 nodeId, uint8 role, bytes32 x, bytes32 y, bytes calldata signature)
        private
        view
        returns (bytes32 keyId)
    {
        if (!CoseSign1.isPublicKey(x, y)) revert InvalidPublicKey(x, y);
        keyId = CoseSign1.keyIdOf(x, y);
        bytes32 owner = _nodeOfKey[keyId];
        if (owner != 0) revert KeyAlreadyRegistered(keyId, owner);
        bytes32 payload = Statements.keyPayload(address(this), nodeId, role, x, y);
        if (!CoseSign1.isSigned(Statements.KEY_TAG, payload, signature, x, y)) revert InvalidProofOfPossession(keyId);
    }
}
