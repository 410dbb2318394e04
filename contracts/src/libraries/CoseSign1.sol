// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { P256 } from "@openzeppelin/contracts/utils/cryptography/P256.sol";

/// @title COSE_Sign1 with ES256 over a 32-byte payload
/// @notice Checks the signed statements of Assay: RFC 9052 Sig_structure of constant shape, SHA-256, P-256, low-S.
/// The protected header is exactly `A1 01 26` (algorithm ES256), the external data is the ASCII tag `assay/<name>/v1`.
/// @dev Source: RFC 9052 section 4.4, RFC 9053 section 2.1, spec/contracts.md section 2.
library CoseSign1 {
    /// @notice Thrown when a tag is longer than 255 bytes, which no tag of Assay is.
    /// @param length bytes in the tag
    error TagTooLong(uint256 length);

    /// @dev 84 = array of four; 6A "Signature1"; 43 A10126 = the protected header as a byte string of three bytes.
    bytes16 private constant PREFIX = hex"846a5369676e61747572653143a10126";
    /// @dev Bytes in a signature: r || s, 32 bytes each, big-endian.
    uint256 private constant SIGNATURE_BYTES = 64;

    /// @notice Builds the bytes that are hashed and signed.
    /// @param tag external data, ASCII, at most 255 bytes
    /// @param payload 32 bytes
    /// @return the RFC 9052 Sig_structure
    function toBeSigned(bytes memory tag, bytes32 payload) internal pure returns (bytes memory) {
        uint256 length = tag.length;
        if (length > 255) revert TagTooLong(length);
        // Shortest form, as deterministic CBOR demands: one byte of head up to 23, two up to 255.
        // casting to 'uint8' is safe because length is below 24 here and below 256 after it
        // forge-lint: disable-next-line(unsafe-typecast)
        if (length < 24) return abi.encodePacked(PREFIX, uint8(0x40 + length), tag, hex"5820", payload);
        // forge-lint: disable-next-line(unsafe-typecast)
        return abi.encodePacked(PREFIX, uint8(0x58), uint8(length), tag, hex"5820", payload);
    }

    /// @notice Identifier of a P-256 public key: SHA-256(x || y).
    function keyIdOf(bytes32 x, bytes32 y) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(x, y));
    }

    /// @notice Whether (x, y) is a point of P-256 with both coordinates below the field prime.
    function isPublicKey(bytes32 x, bytes32 y) internal pure returns (bool) {
        return P256.isValidPublicKey(x, y);
    }

    /// @notice Whether `signature` is a low-S ES256 signature by (x, y) over (tag, payload).
    /// @param signature r || s; any length but 64 bytes is no signature
    function isSigned(bytes memory tag, bytes32 payload, bytes calldata signature, bytes32 x, bytes32 y)
        internal
        view
        returns (bool)
    {
        return isDigestSigned(sha256(toBeSigned(tag, payload)), signature, x, y);
    }

    /// @notice Same over a digest that the caller has computed.
    /// @dev OpenZeppelin asks the precompile 0x100 (EIP-7951) and computes in Solidity where there is none. Both ways
    /// refuse r or s outside 1..n-1, s above n / 2 and keys off the curve.
    function isDigestSigned(bytes32 digest, bytes calldata signature, bytes32 x, bytes32 y)
        internal
        view
        returns (bool)
    {
        if (signature.length != SIGNATURE_BYTES) return false;
        return P256.verify(digest, bytes32(signature[0:32]), bytes32(signature[32:64]), x, y);
    }
}
