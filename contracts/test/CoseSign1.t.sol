// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { CoseSign1 } from "../src/libraries/CoseSign1.sol";
import { LibraryHarness } from "./support/LibraryHarness.sol";
import { Signing } from "./support/Signing.sol";
import { VM } from "./support/Vm.sol";

/// @notice The signed bytes, and every way in which a signature can be wrong, with and without the precompile.
contract CoseSign1Test {
    uint256 private constant SIGNER = 0xa55a1;
    bytes private constant TAG = "assay/key/v1";
    bytes32 private constant PAYLOAD = keccak256("payload");
    LibraryHarness private _library;
    bytes32 private _x;
    bytes32 private _y;

    function setUp() public {
        _library = new LibraryHarness();
        (_x, _y) = Signing.publicKey(SIGNER);
    }

    function test_toBeSigned_isTheSigStructure() public view {
        bytes memory expected = abi.encodePacked(
            hex"84", // array of four
            hex"6a5369676e617475726531", // "Signature1"
            hex"43a10126", // protected header {1: -7}
            hex"4c61737361792f6b65792f7631", // "assay/key/v1"
            hex"5820",
            PAYLOAD
        );
        VM.assertEq(_library.toBeSigned(TAG, PAYLOAD), expected, "Sig_structure");
    }

    function test_toBeSigned_tagLengths() public {
        bytes memory prefix = hex"846a5369676e61747572653143a10126";
        _checkTag(prefix, 0, hex"40");
        _checkTag(prefix, 23, hex"57");
        _checkTag(prefix, 24, hex"5818");
        _checkTag(prefix, 255, hex"58ff");
        VM.expectRevert(abi.encodeWithSelector(CoseSign1.TagTooLong.selector, 256));
        _library.toBeSigned(new bytes(256), PAYLOAD);
    }

    function _checkTag(bytes memory prefix, uint256 length, bytes memory head) private view {
        bytes memory tag = new bytes(length);
        bytes memory expected = bytes.concat(prefix, head, tag, hex"5820", PAYLOAD);
        VM.assertEq(_library.toBeSigned(tag, PAYLOAD), expected, "tag length");
    }

    function test_keyIdOf() public view {
        VM.assertEq(_library.keyIdOf(_x, _y), sha256(abi.encodePacked(_x, _y)), "keyId");
    }

    function testFuzz_oneFlip(bytes32 payload, uint256 bit) public view {
        bytes memory signature = _sign(payload);
        VM.assertTrue(_library.isSigned(TAG, payload, signature, _x, _y), "signed");
        bytes memory flipped = Signing.flip(signature, bit % 512);
        VM.assertFalse(_library.isSigned(TAG, payload, flipped, _x, _y), "signature");
        bytes32 mask = bytes32(1 << (bit % 256));
        VM.assertFalse(_library.isSigned(TAG, payload ^ mask, signature, _x, _y), "payload");
        VM.assertFalse(_library.isSigned(Signing.flip(TAG, bit), payload, signature, _x, _y), "tag");
        VM.assertFalse(_library.isSigned(TAG, payload, signature, _x ^ mask, _y), "x");
        VM.assertFalse(_library.isSigned(TAG, payload, signature, _x, _y ^ mask), "y");
    }

    function testFuzz_highS(bytes32 payload) public view {
        bytes memory signature = Signing.malleate(_sign(payload));
        VM.assertFalse(_library.isSigned(TAG, payload, signature, _x, _y), "high S");
        bytes32 digest = sha256(_library.toBeSigned(TAG, payload));
        VM.assertFalse(_library.isDigestSignedInSolidity(digest, signature, _x, _y), "high S in Solidity");
    }

    function testFuzz_bothWaysAgree(bytes32 payload, uint256 bit, bool broken) public view {
        bytes memory signature = _sign(payload);
        if (broken) signature = Signing.flip(signature, bit);
        bytes32 digest = sha256(_library.toBeSigned(TAG, payload));
        bool native = _library.isDigestSigned(digest, signature, _x, _y);
        VM.assertTrue(native == _library.isDigestSignedInSolidity(digest, signature, _x, _y), "both ways");
        VM.assertTrue(native == !broken, "and they are right");
    }

    function test_signatureOutOfRange() public view {
        bytes32 order = bytes32(Signing.ORDER);
        bytes32 halfPlusOne = bytes32(Signing.ORDER / 2 + 1);
        bytes32 one = bytes32(uint256(1));
        _refuse(abi.encodePacked(bytes32(0), one));
        _refuse(abi.encodePacked(one, bytes32(0)));
        _refuse(abi.encodePacked(bytes32(0), bytes32(0)));
        _refuse(abi.encodePacked(order, one));
        _refuse(abi.encodePacked(one, order));
        _refuse(abi.encodePacked(one, halfPlusOne));
        _refuse(abi.encodePacked(bytes32(type(uint256).max), one));
    }

    function test_signatureLength() public view {
        bytes memory signature = _sign(PAYLOAD);
        _refuse("");
        _refuse(bytes.concat(signature, hex"00"));
        _refuse(bytes.concat(hex"00", signature));
        bytes memory shorter = new bytes(63);
        for (uint256 i = 0; i < 63; ++i) {
            shorter[i] = signature[i];
        }
        _refuse(shorter);
    }

    function test_publicKeyOffTheCurve() public view {
        bytes32 prime = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffff;
        bytes memory signature = _sign(PAYLOAD);
        VM.assertTrue(_library.isPublicKey(_x, _y), "on the curve");
        VM.assertFalse(_library.isPublicKey(0, 0), "infinity");
        VM.assertFalse(_library.isPublicKey(_x, bytes32(uint256(_y) + 1)), "beside the curve");
        VM.assertFalse(_library.isPublicKey(prime, _y), "x not reduced");
        VM.assertFalse(_library.isPublicKey(_x, prime), "y not reduced");
        VM.assertFalse(_library.isSigned(TAG, PAYLOAD, signature, 0, 0), "infinity signs nothing");
        // The mirrored point is another key with the same x.
        bytes32 mirrored = bytes32(uint256(prime) - uint256(_y));
        VM.assertTrue(_library.isPublicKey(_x, mirrored), "mirrored is a key");
        VM.assertFalse(_library.isSigned(TAG, PAYLOAD, signature, _x, mirrored), "of somebody else");
    }

    function test_withoutPrecompile() public {
        bytes memory signature = _sign(PAYLOAD);
        VM.mockCall(address(0x100), "", "");
        VM.assertTrue(_library.isSigned(TAG, PAYLOAD, signature, _x, _y), "computed in Solidity");
        VM.assertFalse(_library.isSigned(TAG, PAYLOAD, Signing.flip(signature, 3), _x, _y), "and refused there");
        VM.assertFalse(_library.isSigned(TAG, PAYLOAD, Signing.malleate(signature), _x, _y), "high S too");
        VM.clearMockedCalls();
    }

    function _sign(bytes32 payload) private view returns (bytes memory) {
        (bytes32 r, bytes32 s) = VM.signP256(SIGNER, sha256(_library.toBeSigned(TAG, payload)));
        return abi.encodePacked(r, Signing.lowS(s));
    }

    function _refuse(bytes memory signature) private view {
        VM.assertFalse(_library.isSigned(TAG, PAYLOAD, signature, _x, _y), "refused");
        bytes32 digest = sha256(_library.toBeSigned(TAG, PAYLOAD));
        VM.assertFalse(_library.isDigestSignedInSolidity(digest, signature, _x, _y), "refused in Solidity");
    }
}
