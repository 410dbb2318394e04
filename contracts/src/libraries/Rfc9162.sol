// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title RFC 9162 Merkle proofs with SHA-256
/// @notice Leaf = SHA-256(0x00 || entry), node = SHA-256(0x01 || left || right), empty tree = SHA-256('').
/// A proof must have exactly the number of hashes that the two numbers demand: missing and surplus hashes both fail.
/// @dev Source: RFC 9162 sections 2.1.3.2 and 2.1.4.2; same conventions as src/protocol/Merkle.ts.
library Rfc9162 {
    /// @notice Root of the tree without leaves, SHA-256('').
    bytes32 internal constant EMPTY_ROOT = 0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855;
    /// @notice The largest tree, so that sizes fit signed 64-bit integers everywhere: the same bound as off chain.
    uint64 internal constant MAX_SIZE = (1 << 63) - 1;

    /// @notice Whether `leafHash` is the leaf at `index` (from 0) of the tree of `size` leaves with root `root`.
    function isIncluded(bytes32 leafHash, uint64 index, uint64 size, bytes32 root, bytes32[] calldata proof)
        internal
        view
        returns (bool)
    {
        if (index >= size || size > MAX_SIZE) return false;
        // Whole words: narrower ones are masked at every shift, in a loop of up to 63 rounds.
        uint256 node = index;
        uint256 last = size - 1;
        bytes32 hash = leafHash;
        for (uint256 i = 0; i < proof.length; ++i) {
            if (last == 0) return false;
            if (node & 1 == 1 || node == last) {
                hash = _node(proof[i], hash);
                while (node & 1 == 0 && node != 0) {
                    node >>= 1;
                    last >>= 1;
                }
            } else {
                hash = _node(hash, proof[i]);
            }
            node >>= 1;
            last >>= 1;
        }
        return last == 0 && hash == root;
    }

    /// @notice Whether the tree (secondSize, secondRoot) is the tree (firstSize, firstRoot) with leaves appended.
    /// Equal sizes need equal roots and no hashes. From size 0 there is nothing to prove, so it is refused here: who
    /// holds an empty tree compares its root with EMPTY_ROOT.
    function isConsistent(
        uint64 firstSize,
        bytes32 firstRoot,
        uint64 secondSize,
        bytes32 secondRoot,
        bytes32[] calldata proof
    ) internal view returns (bool) {
        if (firstSize == 0 || firstSize > secondSize || secondSize > MAX_SIZE) return false;
        if (firstSize == secondSize) return proof.length == 0 && firstRoot == secondRoot;
        if (proof.length == 0) return false;

        uint64 node = firstSize - 1;
        uint64 last = secondSize - 1;
        while (node & 1 == 1) {
            node >>= 1;
            last >>= 1;
        }
        // A first tree that is one complete subtree (a power of two) is its own start and is left out of the proof.
        uint256 next = node == 0 ? 0 : 1;
        bytes32 first = next == 0 ? firstRoot : proof[0];
        bytes32 second = first;
        for (; next < proof.length; ++next) {
            if (last == 0) return false;
            bytes32 sibling = proof[next];
            if (node & 1 == 1 || node == last) {
                first = _node(sibling, first);
                second = _node(sibling, second);
                while (node & 1 == 0 && node != 0) {
                    node >>= 1;
                    last >>= 1;
                }
            } else {
                second = _node(second, sibling);
            }
            node >>= 1;
            last >>= 1;
        }
        return last == 0 && first == firstRoot && second == secondRoot;
    }

    /// @dev SHA-256(0x01 || left || right) in scratch memory behind the free pointer: a proof of 17 hashes costs 34 of
    /// these, and allocating for each would cost more than hashing.
    function _node(bytes32 left, bytes32 right) private view returns (bytes32 hash) {
        assembly ("memory-safe") {
            let pointer := mload(0x40)
            mstore8(pointer, 1)
            mstore(add(pointer, 1), left)
            mstore(add(pointer, 33), right)
            // Precompile 2 fails only for lack of gas; then nothing may go on.
            if iszero(staticcall(gas(), 2, pointer, 65, 0x00, 0x20)) { invalid() }
            hash := mload(0x00)
        }
    }
}
