// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title NodeRegistry
/// @notice Operators, their nodes, and every signing key a node ever had. Nothing is ever deleted, nobody owns it.
/// @dev Source: spec/contracts.md section 3. Block numbers are `block.number` of this chain.
interface INodeRegistry {
    /// @notice A node.
    /// @param operator account that registered it and alone may change it; zero = not registered
    /// @param registeredAtBlock block number
    /// @param nextKeyEpoch epoch that the next key will get = number of keys so far
    struct Node {
        address operator;
        uint64 registeredAtBlock;
        uint32 nextKeyEpoch;
    }

    /// @notice What a node says about itself; the latest version, earlier ones are in the events.
    /// @param endpoint URL, at most 256 bytes, not checked
    /// @param evidenceHash SHA-256 of the evidence file that the node publishes, or zero
    /// @param platform 0 = none, 255 = simulated (development chains only), others as spec/ assigns them
    struct Profile {
        string endpoint;
        bytes32 evidenceHash;
        uint8 platform;
    }

    /// @notice A signing key in one place of a node's history.
    /// @param keyId SHA-256(x || y); zero = no such epoch
    /// @param operator operator of the node
    /// @param role 1 node, 2 log, 3 witness, 4 verifier
    /// @param validFromBlock first block in which the key is valid
    /// @param validUntilBlock first block in which it no longer is; 0 = still valid
    struct KeyRecord {
        bytes32 keyId;
        address operator;
        uint8 role;
        uint40 validFromBlock;
        uint40 validUntilBlock;
    }

    /// @notice Thrown when no node has this id.
    error UnknownNode(bytes32 nodeId);
    /// @notice Thrown when the sender is not the node's operator.
    error NotOperator(bytes32 nodeId, address sender);
    /// @notice Thrown when the endpoint is too long (bytes).
    error EndpointTooLong(uint256 length, uint256 maximum);
    /// @notice Thrown when a node claims the simulated platform on a chain not marked as development.
    error SimulatedPlatformRefused();
    /// @notice Thrown when the role is not 1, 2, 3 or 4.
    error InvalidRole(uint8 role);
    /// @notice Thrown when (x, y) is not a point of P-256.
    error InvalidPublicKey(bytes32 x, bytes32 y);
    /// @notice Thrown when the key was entered before, by whichever node and in whichever role, ended or not.
    error KeyAlreadyRegistered(bytes32 keyId, bytes32 nodeId);
    /// @notice Thrown when the signature is not the key's own low-S signature over its entry.
    error InvalidProofOfPossession(bytes32 keyId);
    /// @notice Thrown when the node has no key of this epoch.
    error UnknownKey(bytes32 nodeId, uint32 keyEpoch);
    /// @notice Thrown when the key was ended before.
    error KeyAlreadyEnded(bytes32 nodeId, uint32 keyEpoch);

    /// @notice Emitted when a node is registered.
    /// @param operatorIndex the operator's running number, from 0, that went into nodeId
    event NodeRegistered(
        bytes32 indexed nodeId,
        address indexed operator,
        uint64 operatorIndex,
        string endpoint,
        bytes32 evidenceHash,
        uint8 platform
    );
    /// @notice Emitted when a node's profile is replaced.
    event NodeUpdated(bytes32 indexed nodeId, string endpoint, bytes32 evidenceHash, uint8 platform);
    /// @notice Emitted when a key is entered; it is valid from this block on.
    event KeyAdded(
        bytes32 indexed nodeId, uint32 indexed keyEpoch, bytes32 indexed keyId, uint8 role, bytes32 x, bytes32 y
    );
    /// @notice Emitted when a key is ended; it is not valid from this block on.
    event KeyEnded(bytes32 indexed nodeId, uint32 indexed keyEpoch, bytes32 indexed keyId);

    /// @notice Registers a node of the sender.
    /// @param endpoint URL, at most 256 bytes
    /// @param evidenceHash SHA-256 of published evidence, or zero
    /// @param platform 255 is refused unless the chain is marked as development
    /// @return nodeId SHA-256(abi.encode(chainId, this contract, operator, operatorIndex))
    function registerNode(string calldata endpoint, bytes32 evidenceHash, uint8 platform)
        external
        returns (bytes32 nodeId);

    /// @notice Replaces the profile of a node. Only its operator.
    function updateNode(bytes32 nodeId, string calldata endpoint, bytes32 evidenceHash, uint8 platform) external;

    /// @notice Enters a signing key of a node, valid from this block on. Only the node's operator.
    /// @param role 1 node, 2 log, 3 witness, 4 verifier
    /// @param x first coordinate of the P-256 public key
    /// @param y second coordinate
    /// @param signature r || s, 64 bytes, low-S, by that key under `assay/key/v1` over
    /// (chainId, this contract, nodeId, role, x, y)
    /// @return keyEpoch 0, 1, 2 ... per node
    function addKey(bytes32 nodeId, uint8 role, bytes32 x, bytes32 y, bytes calldata signature)
        external
        returns (uint32 keyEpoch);

    /// @notice Ends a key for ever, from this block on. Only the node's operator.
    function endKey(bytes32 nodeId, uint32 keyEpoch) external;

    /// @notice Whether this chain is marked as a development chain.
    function development() external view returns (bool);

    /// @notice How many nodes an operator has registered.
    function nodeCount(address operator) external view returns (uint64);

    /// @notice The id that the operator's node number `operatorIndex` has or will have.
    function nodeIdOf(address operator, uint64 operatorIndex) external view returns (bytes32);

    /// @notice A node; all zero if unknown.
    function getNode(bytes32 nodeId) external view returns (Node memory);

    /// @notice A node's profile; empty if unknown.
    function getProfile(bytes32 nodeId) external view returns (Profile memory);

    /// @notice A key of a node's history; all zero if there is none of this epoch.
    function getKey(bytes32 nodeId, uint32 keyEpoch) external view returns (KeyRecord memory);

    /// @notice The node to which a key belongs for ever; zero if the key was never entered.
    function nodeOfKey(bytes32 keyId) external view returns (bytes32);

    /// @notice Whether the node's key of this epoch is valid in block `blockNumber`, as far as is known now.
    function isKeyValidAt(bytes32 nodeId, uint32 keyEpoch, uint256 blockNumber) external view returns (bool);
}
