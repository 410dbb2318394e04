// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { LibraryHarness } from "./support/LibraryHarness.sol";
import { ReferenceTree } from "./support/ReferenceTree.sol";
import { VM } from "./support/Vm.sol";

/// @notice Proofs made by the recursive definitions must pass, and any one thing changed must not.
contract Rfc9162Test {
    using ReferenceTree for bytes32[];

    uint64 private constant LARGEST = 200;
    uint256 private constant SALT = 7;
    LibraryHarness private _library;

    function setUp() public {
        _library = new LibraryHarness();
    }

    function test_everyLeafOfEveryTreeUpTo16() public view {
        for (uint64 size = 1; size <= 16; ++size) {
            bytes32 root = ReferenceTree.root(SALT, size);
            for (uint64 index = 0; index < size; ++index) {
                bytes32[] memory proof = ReferenceTree.inclusion(SALT, index, size);
                bytes32 leaf = ReferenceTree.leaf(SALT, index);
                VM.assertTrue(_library.isIncluded(leaf, index, size, root, proof), "included");
            }
        }
    }

    function test_everyPairOfTreesUpTo16() public view {
        for (uint64 second = 1; second <= 16; ++second) {
            bytes32 secondRoot = ReferenceTree.root(SALT, second);
            for (uint64 first = 1; first <= second; ++first) {
                bytes32[] memory proof = ReferenceTree.consistency(SALT, first, second);
                bytes32 firstRoot = ReferenceTree.root(SALT, first);
                VM.assertTrue(_library.isConsistent(first, firstRoot, second, secondRoot, proof), "consistent");
                bytes32[] memory longer = proof.with(secondRoot);
                VM.assertFalse(_library.isConsistent(first, firstRoot, second, secondRoot, longer), "surplus hash");
                if (proof.length == 0) continue;
                bytes32[] memory shorter = proof.withoutLast();
                VM.assertFalse(_library.isConsistent(first, firstRoot, second, secondRoot, shorter), "missing hash");
            }
        }
    }

    function testFuzz_inclusion(uint64 size, uint64 index, uint256 flip) public view {
        size = 1 + size % LARGEST;
        index = index % size;
        bytes32 root = ReferenceTree.root(SALT, size);
        bytes32 leaf = ReferenceTree.leaf(SALT, index);
        bytes32[] memory proof = ReferenceTree.inclusion(SALT, index, size);
        bytes32 bit = bytes32(1 << (flip % 256));

        VM.assertTrue(_library.isIncluded(leaf, index, size, root, proof), "included");
        VM.assertFalse(_library.isIncluded(leaf ^ bit, index, size, root, proof), "other leaf");
        VM.assertFalse(_library.isIncluded(leaf, index, size, root ^ bit, proof), "other root");
        VM.assertFalse(_library.isIncluded(leaf, size, size, root, proof), "index = size");
        VM.assertFalse(_library.isIncluded(leaf, index, size, root, proof.with(root)), "surplus hash");
        if (proof.length == 0) return;
        VM.assertFalse(_library.isIncluded(leaf, (index + 1) % size, size, root, proof), "other index");
        VM.assertFalse(_library.isIncluded(leaf, index, size, root, proof.withoutLast()), "missing hash");
        proof[flip % proof.length] ^= bit;
        VM.assertFalse(_library.isIncluded(leaf, index, size, root, proof), "other hash");
    }

    function testFuzz_consistency(uint64 second, uint64 first, uint256 flip) public view {
        second = 1 + second % LARGEST;
        first = 1 + first % second;
        bytes32 firstRoot = ReferenceTree.root(SALT, first);
        bytes32 secondRoot = ReferenceTree.root(SALT, second);
        bytes32[] memory proof = ReferenceTree.consistency(SALT, first, second);
        bytes32 bit = bytes32(1 << (flip % 256));

        VM.assertTrue(_library.isConsistent(first, firstRoot, second, secondRoot, proof), "consistent");
        VM.assertFalse(_library.isConsistent(first, firstRoot ^ bit, second, secondRoot, proof), "other first root");
        VM.assertFalse(_library.isConsistent(first, firstRoot, second, secondRoot ^ bit, proof), "other second root");
        VM.assertFalse(_library.isConsistent(first, firstRoot, second, secondRoot, proof.with(firstRoot)), "surplus");
        VM.assertFalse(_library.isConsistent(0, firstRoot, second, secondRoot, proof), "from nothing");
        if (first == second) return;
        VM.assertFalse(_library.isConsistent(second, secondRoot, first, firstRoot, proof), "swapped");
        VM.assertFalse(_library.isConsistent(first, firstRoot, second, secondRoot, proof.withoutLast()), "missing");
        proof[flip % proof.length] ^= bit;
        VM.assertFalse(_library.isConsistent(first, firstRoot, second, secondRoot, proof), "other hash");
    }

    /// @dev Two trees that share nothing: no proof of either connects them.
    function testFuzz_consistency_otherHistory(uint64 second, uint64 first) public view {
        second = 2 + second % (LARGEST - 1);
        first = 1 + first % (second - 1);
        bytes32 firstRoot = ReferenceTree.root(SALT, first);
        bytes32 otherRoot = ReferenceTree.root(SALT + 1, second);
        bytes32[] memory ours = ReferenceTree.consistency(SALT, first, second);
        bytes32[] memory theirs = ReferenceTree.consistency(SALT + 1, first, second);
        VM.assertFalse(_library.isConsistent(first, firstRoot, second, otherRoot, ours), "our proof");
        VM.assertFalse(_library.isConsistent(first, firstRoot, second, otherRoot, theirs), "their proof");
    }

    function test_sizesAtTheEdges() public view {
        bytes32[] memory none = new bytes32[](0);
        bytes32 leaf = ReferenceTree.leaf(SALT, 0);
        bytes32 empty = sha256("");
        uint64 largest = (1 << 63) - 1;
        uint64 top = type(uint64).max;
        VM.assertTrue(_library.isIncluded(leaf, 0, 1, leaf, none), "one leaf is its own root");
        VM.assertFalse(_library.isIncluded(leaf, 0, 0, empty, none), "nothing is in the empty tree");
        VM.assertFalse(_library.isIncluded(leaf, top, 0, leaf, none), "no wrap below size 0");
        VM.assertFalse(_library.isIncluded(leaf, top - 1, top, leaf, none), "no such size");
        VM.assertFalse(_library.isConsistent(top, leaf, top, leaf, none), "no such sizes");
        VM.assertFalse(_library.isConsistent(1, leaf, largest + 1, leaf, none), "one too large");
        VM.assertFalse(_library.isIncluded(leaf, largest, largest, leaf, none), "index = size at the top");
        VM.assertFalse(_library.isIncluded(leaf, largest - 1, largest, leaf, none), "missing hashes at the top");
        VM.assertFalse(_library.isConsistent(0, empty, 0, empty, none), "empty to empty");
        VM.assertFalse(_library.isConsistent(0, empty, 1, leaf, none), "empty to one");
        VM.assertTrue(_library.isConsistent(1, leaf, 1, leaf, none), "one to itself");
        VM.assertFalse(_library.isConsistent(1, leaf, 1, empty, none), "one to another");
        VM.assertFalse(_library.isConsistent(1, leaf, largest, leaf, none), "missing hashes to the top");
        VM.assertFalse(_library.isConsistent(largest, leaf, 1, leaf, none), "backwards from the top");
        VM.assertTrue(_library.isConsistent(largest, leaf, largest, leaf, none), "the top to itself");
    }

    /// @dev True roots and a true proof, but a size with more levels or fewer than the proof has.
    function test_sizeLies() public view {
        for (uint64 second = 5; second <= 8; ++second) {
            bytes32 secondRoot = ReferenceTree.root(SALT, second);
            for (uint64 first = 1; first < second; ++first) {
                bytes32 firstRoot = ReferenceTree.root(SALT, first);
                bytes32[] memory proof = ReferenceTree.consistency(SALT, first, second);
                VM.assertFalse(_library.isConsistent(first, firstRoot, 1 << 20, secondRoot, proof), "more levels");
                if (first < 4) VM.assertFalse(_library.isConsistent(first, firstRoot, 4, secondRoot, proof), "fewer");
            }
            bytes32[] memory path = ReferenceTree.inclusion(SALT, 2, second);
            bytes32 leaf = ReferenceTree.leaf(SALT, 2);
            VM.assertFalse(_library.isIncluded(leaf, 2, 1 << 20, secondRoot, path), "more levels");
            VM.assertFalse(_library.isIncluded(leaf, 2, 4, secondRoot, path), "fewer levels");
        }
    }

    /// @dev One hash too many, and roots made to fit it, as a dishonest log could: only the length gives it away.
    function test_surplusHashWithRootsToMatch() public view {
        bytes32 extra = keccak256("extra");
        for (uint64 second = 2; second <= 9; ++second) {
            bytes32 secondRoot = _parent(extra, ReferenceTree.root(SALT, second));
            bytes32[] memory path = ReferenceTree.inclusion(SALT, 1, second).with(extra);
            VM.assertFalse(_library.isIncluded(ReferenceTree.leaf(SALT, 1), 1, second, secondRoot, path), "inclusion");
            for (uint64 first = 1; first < second; ++first) {
                bytes32 firstRoot = _parent(extra, ReferenceTree.root(SALT, first));
                bytes32[] memory proof = ReferenceTree.consistency(SALT, first, second).with(extra);
                VM.assertFalse(_library.isConsistent(first, firstRoot, second, secondRoot, proof), "consistency");
            }
        }
    }

    function test_consistencyWithoutHashes() public view {
        bytes32[] memory none = new bytes32[](0);
        for (uint64 first = 1; first <= 8; ++first) {
            bytes32 root = ReferenceTree.root(SALT, first);
            VM.assertFalse(_library.isConsistent(first, root, first + 1, root, none), "empty proof");
        }
    }

    function _parent(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return sha256(abi.encodePacked(uint8(1), left, right));
    }

    /// @dev A chain of left children: index 0 of a tree of 2^62 + 1 leaves takes 63 hashes, the most there can be.
    function test_deepestPaths() public view {
        bytes32[] memory proof = new bytes32[](63);
        bytes32 leaf = ReferenceTree.leaf(SALT, 0);
        bytes32 hash = leaf;
        for (uint256 i = 0; i < 63; ++i) {
            proof[i] = bytes32(i + 1);
            hash = sha256(abi.encodePacked(uint8(1), hash, proof[i]));
        }
        uint64 size = (1 << 62) + 1;
        VM.assertTrue(_library.isIncluded(leaf, 0, size, hash, proof), "63 hashes");
        VM.assertTrue(_library.isConsistent(1, leaf, size, hash, proof), "63 hashes of consistency");
        VM.assertFalse(_library.isIncluded(leaf, 0, size, hash, proof.with(hash)), "64 hashes");
        VM.assertFalse(_library.isIncluded(leaf, 0, 1 << 61, hash, proof), "tree too small for them");
    }
}
