// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { VM } from "./Vm.sol";

/// @notice Signs statements with known P-256 test keys, with its own construction of what is signed.
library Signing {
    uint256 internal constant ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551;

    function publicKey(uint256 privateKey) internal pure returns (bytes32 x, bytes32 y) {
        (uint256 xNumber, uint256 yNumber) = VM.publicKeyP256(privateKey);
        return (bytes32(xNumber), bytes32(yNumber));
    }

    function keyId(uint256 privateKey) internal pure returns (bytes32) {
        (bytes32 x, bytes32 y) = publicKey(privateKey);
        return sha256(abi.encodePacked(x, y));
    }

    function key(uint256 privateKey, address registry, bytes32 subject, uint8 role)
        internal
        view
        returns (bytes memory)
    {
        (bytes32 x, bytes32 y) = publicKey(privateKey);
        return
            sign(privateKey, hex"4c61737361792f6b65792f7631", abi.encode(block.chainid, registry, subject, role, x, y));
    }

    function checkpoint(uint256 privateKey, address anchorLog, bytes32 logId, uint64 size, bytes32 root)
        internal
        view
        returns (bytes memory)
    {
        bytes memory tuple = abi.encode(block.chainid, anchorLog, logId, uint256(size), root);
        return sign(privateKey, hex"5361737361792f636865636b706f696e742f7631", tuple);
    }

    /// @param tagItem the tag as a CBOR byte string, head included
    function sign(uint256 privateKey, bytes memory tagItem, bytes memory tuple) internal pure returns (bytes memory) {
        bytes32 digest = sha256(bytes.concat(hex"846a5369676e61747572653143a10126", tagItem, hex"5820", sha256(tuple)));
        (bytes32 r, bytes32 s) = VM.signP256(privateKey, digest);
        return abi.encodePacked(r, lowS(s));
    }

    function lowS(bytes32 s) internal pure returns (bytes32) {
        return uint256(s) > ORDER / 2 ? bytes32(ORDER - uint256(s)) : s;
    }

    /// @notice The other signature that plain ECDSA accepts for the same message and key.
    function malleate(bytes memory signature) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s) = abi.decode(signature, (bytes32, bytes32));
        return abi.encodePacked(r, bytes32(ORDER - uint256(s)));
    }

    /// @notice A copy with one bit changed.
    function flip(bytes memory data, uint256 bit) internal pure returns (bytes memory copy) {
        copy = bytes.concat(data);
        uint256 position = (bit / 8) % copy.length;
        copy[position] = bytes1(uint8(copy[position]) ^ uint8(1 << (bit % 8)));
    }
}
