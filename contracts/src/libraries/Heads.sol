// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Heads of receipts
/// @notice 139 bytes: version u8, chainId u64, registry 20, nodeId 32, keyEpoch u32, sequence u64, previous 32,
/// modeBits u8, flags u8, claimsRoot 32; and what follows from them.
/// @dev Source: spec/receipt.md sections 1 and 2, spec/log.md section 2. Who calls has checked the length first.
library Heads {
    bytes internal constant TAG = "assay/receipt/v1";
    uint256 internal constant LENGTH = 139;
    uint256 internal constant ENTRY_LENGTH = 75;

    /// @notice Whether bytes have the length and version of a head.
    function isHead(bytes calldata head) internal pure returns (bool) {
        return head.length == LENGTH && head[0] == 0x01;
    }

    function chainId(bytes calldata head) internal pure returns (uint256) {
        return uint64(bytes8(head[1:9]));
    }

    function registry(bytes calldata head) internal pure returns (address) {
        return address(bytes20(head[9:29]));
    }

    function nodeId(bytes calldata head) internal pure returns (bytes32) {
        return bytes32(head[29:61]);
    }

    function keyEpoch(bytes calldata head) internal pure returns (uint32) {
        return uint32(bytes4(head[61:65]));
    }

    function sequence(bytes calldata head) internal pure returns (uint64) {
        return uint64(bytes8(head[65:73]));
    }

    function previous(bytes calldata head) internal pure returns (bytes32) {
        return bytes32(head[73:105]);
    }

    function claimsRoot(bytes calldata head) internal pure returns (bytes32) {
        return bytes32(head[107:139]);
    }

    /// @notice What is signed under TAG.
    function payload(bytes calldata head) internal pure returns (bytes32) {
        return sha256(head);
    }

    /// @notice receiptHash.
    function hash(bytes calldata head) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x03), head));
    }

    /// @notice The log entry made from the head, 75 bytes.
    function entry(bytes calldata head, bytes32 receiptHash) internal pure returns (bytes memory) {
        return abi.encodePacked(bytes1(0x01), receiptHash, head[29:61], head[65:73], head[105:107]);
    }

    /// @notice Leaf hash of an entry.
    function leafHash(bytes memory logEntry) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x00), logEntry));
    }

    /// @notice Claims leaf of a used slot.
    function slotLeaf(uint8 slot, bytes16 salt, bytes calldata value) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x00), slot, salt, sha256(value)));
    }

    /// @notice Claims leaf of an unused slot.
    function unusedLeaf(uint8 slot) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x00), slot));
    }

    /// @notice Root over a claims leaf at `slot` and its siblings from the leaf up.
    function rootOf(uint8 slot, bytes32 leaf, bytes32[4] calldata path) internal pure returns (bytes32 root) {
        root = leaf;
        for (uint256 height = 0; height < 4; ++height) {
            bytes32 sibling = path[height];
            root = (slot >> height) & 1 == 1
                ? sha256(abi.encodePacked(bytes1(0x01), sibling, root))
                : sha256(abi.encodePacked(bytes1(0x01), root, sibling));
        }
    }
}
