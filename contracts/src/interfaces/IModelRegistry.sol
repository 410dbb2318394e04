// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title ModelRegistry
/// @notice Publishers announce versions of models: manifest, licence, price, royalty, verifier of proofs. Nothing is
/// overwritten, nobody owns it. That a manifest is the publisher's own work is not shown here.
/// @dev Source: spec/stake.md section 6.
interface IModelRegistry {
    /// @notice What a publisher says about a version.
    /// @param licenceHash SHA-256 of the licence text, or zero
    /// @param asset token of the price; zero: no price
    /// @param price per call, units of the asset
    /// @param royaltyBasisPoints publisher's share, at most 5,000
    /// @param proofSystem 0 none; other numbers are not judged here
    /// @param verificationKeyHash of the proof system; zero if there is none
    /// @param verifier contract that checks proofs; zero if there is none
    struct Terms {
        bytes32 licenceHash;
        address asset;
        uint128 price;
        uint16 royaltyBasisPoints;
        uint8 proofSystem;
        bytes32 verificationKeyHash;
        address verifier;
    }

    /// @notice A version as kept.
    /// @param manifestHash SHA-256 of the model manifest; zero = no such version
    /// @param licenceHash see Terms
    /// @param asset see Terms
    /// @param royaltyBasisPoints see Terms
    /// @param proofSystem see Terms
    /// @param retiredAtBlock block of its retirement; 0 = offered
    /// @param price see Terms
    /// @param verificationKeyHash see Terms
    /// @param verifier see Terms
    /// @param verifierCodeHash Keccak-256 of the verifier's code when it was announced
    struct Version {
        bytes32 manifestHash;
        bytes32 licenceHash;
        address asset;
        uint16 royaltyBasisPoints;
        uint8 proofSystem;
        uint40 retiredAtBlock;
        uint128 price;
        bytes32 verificationKeyHash;
        address verifier;
        bytes32 verifierCodeHash;
    }

    /// @notice Thrown when no model has this id.
    error UnknownModel(bytes32 modelId);
    /// @notice Thrown when the sender is not the model's publisher.
    error NotPublisher(bytes32 modelId, address sender);
    /// @notice Thrown when the manifest's hash is zero.
    error ZeroManifest();
    /// @notice Thrown when there is a price without an asset.
    error InvalidPrice();
    /// @notice Thrown when the royalty (basis points) is above the maximum.
    error RoyaltyTooHigh(uint16 basisPoints, uint16 maximum);
    /// @notice Thrown when proof system, key hash and verifier do not fit together, or the verifier has no code.
    error InvalidVerifier(address verifier);
    /// @notice Thrown when the model has no version of this number.
    error UnknownVersion(bytes32 modelId, uint32 version);
    /// @notice Thrown when the version was retired before.
    error AlreadyRetired(bytes32 modelId, uint32 version);

    /// @notice Emitted with the first version of a model.
    event ModelPublished(bytes32 indexed modelId, address indexed publisher, uint64 publisherIndex);
    /// @notice Emitted for each version, from 0.
    event VersionAdded(
        bytes32 indexed modelId,
        uint32 indexed version,
        bytes32 indexed manifestHash,
        Terms terms,
        bytes32 verifierCodeHash
    );
    /// @notice Emitted when a version is no longer offered.
    event VersionRetired(bytes32 indexed modelId, uint32 indexed version);

    /// @notice Announces a model of the sender with version 0.
    function publish(bytes32 manifestHash, Terms calldata terms) external returns (bytes32 modelId);

    /// @notice Announces the next version. Only the publisher.
    function addVersion(bytes32 modelId, bytes32 manifestHash, Terms calldata terms) external returns (uint32 version);

    /// @notice Ends the offer of a version, for ever. Only the publisher.
    function retireVersion(bytes32 modelId, uint32 version) external;

    /// @notice The id that the publisher's model number `publisherIndex` has or will have.
    function modelIdOf(address publisher, uint64 publisherIndex) external view returns (bytes32);

    /// @notice Publisher and number of versions; zero if unknown.
    function getModel(bytes32 modelId) external view returns (address publisher, uint32 versions);

    /// @notice A version; all zero if unknown.
    function getVersion(bytes32 modelId, uint32 version) external view returns (Version memory);
}
