// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Orders
/// @notice The EIP-712 digest of an order and its client.
/// @dev Source: spec/order.md section 1.
library Orders {
    uint256 internal constant WORDS_LENGTH = 416;
    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant ORDER_TYPE = keccak256(
        "Order(bytes32 nodeId,bytes32 client,bytes32 model,bytes32 requestHash,bytes32 policyCommitment,uint8 modes,address asset,uint256 maxPrice,bytes16 nonce,uint64 notAfter,bytes32 exposureTermsHash,bytes32 parentsHash,bytes32 replyKeyHash)"
    );

    /// @notice orderHash of 13 ABI words under this chain and a NodeRegistry.
    function hash(bytes calldata words, address registry) internal view returns (bytes32) {
        bytes32 domain = keccak256(abi.encode(DOMAIN_TYPE, keccak256("Assay"), keccak256("1"), block.chainid, registry));
        return keccak256(abi.encodePacked(hex"1901", domain, keccak256(abi.encodePacked(ORDER_TYPE, words))));
    }

    /// @notice The order's client: SHA-256(x || y) of a key, or a wallet's address.
    function client(bytes calldata words) internal pure returns (bytes32) {
        return bytes32(words[32:64]);
    }
}
