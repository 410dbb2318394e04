// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IFaultEvidence } from "../../src/interfaces/IFaultEvidence.sol";
import { Signing } from "./Signing.sol";

/// @notice Signs what the court reads, with its own construction of every byte.
library CourtSigning {
    struct HeadFields {
        uint256 chainId;
        address registry;
        bytes32 nodeId;
        uint32 keyEpoch;
        uint64 sequence;
        bytes32 previous;
        uint8 modeBits;
        uint8 flags;
        bytes32 claimsRoot;
    }

    function head(HeadFields memory h) internal pure returns (bytes memory) {
        bytes memory front = abi.encodePacked(uint8(1), uint64(h.chainId), h.registry, h.nodeId, h.keyEpoch, h.sequence);
        return abi.encodePacked(front, h.previous, h.modeBits, h.flags, h.claimsRoot);
    }

    function receiptHash(bytes memory headBytes) internal pure returns (bytes32) {
        return sha256(bytes.concat(hex"03", headBytes));
    }

    function entry(HeadFields memory h) internal pure returns (bytes memory) {
        return abi.encodePacked(uint8(1), receiptHash(head(h)), h.nodeId, h.sequence, h.modeBits, h.flags);
    }

    function leafOf(bytes memory entryBytes) internal pure returns (bytes32) {
        return sha256(bytes.concat(hex"00", entryBytes));
    }

    function signHead(uint256 privateKey, bytes memory headBytes) internal pure returns (bytes memory) {
        return Signing.sign(privateKey, hex"5061737361792f726563656970742f7631", headBytes);
    }

    function signedHead(uint256 privateKey, HeadFields memory h)
        internal
        pure
        returns (IFaultEvidence.SignedHead memory)
    {
        (bytes32 x, bytes32 y) = Signing.publicKey(privateKey);
        bytes memory bytes_ = head(h);
        return IFaultEvidence.SignedHead(bytes_, signHead(privateKey, bytes_), x, y);
    }

    function cosign(uint256 privateKey, address anchorLog, bytes32 logId, uint64 size, bytes32 root)
        internal
        view
        returns (bytes memory)
    {
        bytes memory tuple = abi.encode(block.chainid, anchorLog, logId, uint256(size), root);
        return Signing.sign(privateKey, hex"4f61737361792f636f7369676e2f7631", tuple);
    }

    function pledge(uint256 privateKey, address anchorLog, IFaultEvidence.Pledge memory p)
        internal
        view
        returns (bytes memory)
    {
        bytes memory tuple = abi.encode(
            block.chainid, anchorLog, p.logId, p.leafHash, p.leafIndex, p.issuedAtBlock, p.issuedAtBlockHash
        );
        return Signing.sign(privateKey, hex"4f61737361792f706c656467652f7631", tuple);
    }

    function report(uint256 privateKey, address faultCases, bytes32 caseId, address sender)
        internal
        view
        returns (bytes memory)
    {
        bytes memory tuple = abi.encode(block.chainid, faultCases, caseId, sender);
        return Signing.sign(privateKey, hex"4f61737361792f7265706f72742f7631", tuple);
    }
}
