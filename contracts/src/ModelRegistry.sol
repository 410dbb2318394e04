// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IModelRegistry } from "./interfaces/IModelRegistry.sol";

/// @title ModelRegistry
/// @notice See IModelRegistry.
/// @dev The order of the state variables is part of spec/stake.md section 6: readers prove these slots.
contract ModelRegistry is IModelRegistry {
    /// @notice Largest royalty, basis points.
    uint16 public constant MAX_ROYALTY = 5_000;

    struct Model {
        address publisher;
        uint32 versions;
    }

    mapping(address publisher => uint64 count) private _modelCount; // slot 0
    mapping(bytes32 modelId => Model model) private _models; // slot 1
    mapping(bytes32 modelId => mapping(uint32 version => Version record)) private _versions; // slot 2

    /// @inheritdoc IModelRegistry
    function publish(bytes32 manifestHash, Terms calldata terms) external returns (bytes32 modelId) {
        uint64 publisherIndex = _modelCount[msg.sender]++;
        modelId = modelIdOf(msg.sender, publisherIndex);
        _models[modelId].publisher = msg.sender;
        emit ModelPublished(modelId, msg.sender, publisherIndex);
        _add(modelId, manifestHash, terms);
    }

    /// @inheritdoc IModelRegistry
    function addVersion(bytes32 modelId, bytes32 manifestHash, Terms calldata terms) external returns (uint32) {
        _requirePublisher(modelId);
        return _add(modelId, manifestHash, terms);
    }

    /// @inheritdoc IModelRegistry
    function retireVersion(bytes32 modelId, uint32 version) external {
        _requirePublisher(modelId);
        Version storage record = _versions[modelId][version];
        if (record.manifestHash == 0) revert UnknownVersion(modelId, version);
        if (record.retiredAtBlock != 0) revert AlreadyRetired(modelId, version);
        record.retiredAtBlock = uint40(block.number);
        emit VersionRetired(modelId, version);
    }

    /// @inheritdoc IModelRegistry
    function getModel(bytes32 modelId) external view returns (address publisher, uint32 versions) {
        Model storage model = _models[modelId];
        return (model.publisher, model.versions);
    }

    /// @inheritdoc IModelRegistry
    function getVersion(bytes32 modelId, uint32 version) external view returns (Version memory) {
        return _versions[modelId][version];
    }

    /// @inheritdoc IModelRegistry
    function modelIdOf(address publisher, uint64 publisherIndex) public view returns (bytes32) {
        return sha256(abi.encode(block.chainid, address(this), publisher, publisherIndex));
    }

    function _add(bytes32 modelId, bytes32 manifestHash, Terms calldata terms) private returns (uint32 version) {
        if (manifestHash == 0) revert ZeroManifest();
        if (terms.asset == address(0) && terms.price != 0) revert InvalidPrice();
        if (terms.royaltyBasisPoints > MAX_ROYALTY) revert RoyaltyTooHigh(terms.royaltyBasisPoints, MAX_ROYALTY);
        bytes32 verifierCodeHash = _requireVerifier(terms);
        version = _models[modelId].versions++;
        _versions[modelId][version] = Version(
            manifestHash,
            terms.licenceHash,
            terms.asset,
            terms.royaltyBasisPoints,
            terms.proofSystem,
            0,
            terms.price,
            terms.verificationKeyHash,
            terms.verifier,
            verifierCodeHash
        );
        emit VersionAdded(modelId, version, manifestHash, terms, verifierCodeHash);
    }

    /// @dev The code hash is pinned: a contract that is replaced later at the same address is no verifier.
    function _requireVerifier(Terms calldata terms) private view returns (bytes32) {
        address verifier = terms.verifier;
        bool hasProofs = terms.proofSystem != 0;
        if ((terms.verificationKeyHash != 0) != hasProofs || (verifier != address(0)) != hasProofs) {
            revert InvalidVerifier(verifier);
        }
        if (!hasProofs) return 0;
        if (verifier.code.length == 0) revert InvalidVerifier(verifier);
        return verifier.codehash;
    }

    function _requirePublisher(bytes32 modelId) private view {
        address publisher = _models[modelId].publisher;
        if (publisher == address(0)) revert UnknownModel(modelId);
        if (publisher != msg.sender) revert NotPublisher(modelId, msg.sender);
    }
}
