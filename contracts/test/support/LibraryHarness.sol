// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { P256 } from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import { CoseSign1 } from "../../src/libraries/CoseSign1.sol";
import { Rfc9162 } from "../../src/libraries/Rfc9162.sol";
import { Statements } from "../../src/libraries/Statements.sol";

/// @notice Opens the libraries to calls, for tests here and for the tests that compare them with TypeScript.
contract LibraryHarness {
    function toBeSigned(bytes memory tag, bytes32 payload) external pure returns (bytes memory) {
        return CoseSign1.toBeSigned(tag, payload);
    }

    function keyIdOf(bytes32 x, bytes32 y) external pure returns (bytes32) {
        return CoseSign1.keyIdOf(x, y);
    }

    function isPublicKey(bytes32 x, bytes32 y) external pure returns (bool) {
        return CoseSign1.isPublicKey(x, y);
    }

    function isSigned(bytes memory tag, bytes32 payload, bytes calldata signature, bytes32 x, bytes32 y)
        external
        view
        returns (bool)
    {
        return CoseSign1.isSigned(tag, payload, signature, x, y);
    }

    function isDigestSigned(bytes32 digest, bytes calldata signature, bytes32 x, bytes32 y)
        external
        view
        returns (bool)
    {
        return CoseSign1.isDigestSigned(digest, signature, x, y);
    }

    /// @notice What isDigestSigned answers where the precompile is missing.
    function isDigestSignedInSolidity(bytes32 digest, bytes calldata signature, bytes32 x, bytes32 y)
        external
        view
        returns (bool)
    {
        if (signature.length != 64) return false;
        return P256.verifySolidity(digest, bytes32(signature[0:32]), bytes32(signature[32:64]), x, y);
    }

    function isIncluded(bytes32 leafHash, uint64 index, uint64 size, bytes32 root, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        return Rfc9162.isIncluded(leafHash, index, size, root, proof);
    }

    function isConsistent(
        uint64 firstSize,
        bytes32 firstRoot,
        uint64 secondSize,
        bytes32 secondRoot,
        bytes32[] calldata proof
    ) external view returns (bool) {
        return Rfc9162.isConsistent(firstSize, firstRoot, secondSize, secondRoot, proof);
    }

    function keyPayload(address registry, bytes32 subject, uint8 role, bytes32 x, bytes32 y)
        external
        view
        returns (bytes32)
    {
        return Statements.keyPayload(registry, subject, role, x, y);
    }

    function checkpointPayload(address anchorLog, bytes32 logId, uint64 size, bytes32 root)
        external
        view
        returns (bytes32)
    {
        return Statements.checkpointPayload(anchorLog, logId, size, root);
    }

    function pledgePayload(
        address anchorLog,
        bytes32 logId,
        bytes32 leafHash,
        uint64 leafIndex,
        uint64 issuedAtBlock,
        bytes32 issuedAtBlockHash
    ) external view returns (bytes32) {
        return Statements.pledgePayload(anchorLog, logId, leafHash, leafIndex, issuedAtBlock, issuedAtBlockHash);
    }
}
