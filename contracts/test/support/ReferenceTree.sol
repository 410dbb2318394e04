// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice RFC 9162 trees written straight from the recursive definitions (sections 2.1.1, 2.1.3.1, 2.1.4.1): slow, and
/// of another shape than the code under test. Leaf i of tree `salt` is SHA-256(0x00 || salt || i).
library ReferenceTree {
    function leaf(uint256 salt, uint64 index) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(uint8(0), salt, index));
    }

    function root(uint256 salt, uint64 size) internal pure returns (bytes32) {
        return size == 0 ? sha256("") : _root(salt, 0, size);
    }

    function inclusion(uint256 salt, uint64 index, uint64 size) internal pure returns (bytes32[] memory) {
        return _path(salt, index, 0, size);
    }

    function consistency(uint256 salt, uint64 first, uint64 second) internal pure returns (bytes32[] memory) {
        return first == second ? new bytes32[](0) : _subproof(salt, first, 0, second, true);
    }

    function with(bytes32[] memory list, bytes32 item) internal pure returns (bytes32[] memory longer) {
        longer = new bytes32[](list.length + 1);
        for (uint256 i = 0; i < list.length; ++i) {
            longer[i] = list[i];
        }
        longer[list.length] = item;
    }

    function withoutLast(bytes32[] memory list) internal pure returns (bytes32[] memory shorter) {
        shorter = new bytes32[](list.length - 1);
        for (uint256 i = 0; i < shorter.length; ++i) {
            shorter[i] = list[i];
        }
    }

    function _root(uint256 salt, uint64 from, uint64 to) private pure returns (bytes32) {
        if (to - from == 1) return leaf(salt, from);
        uint64 middle = from + _split(to - from);
        return sha256(abi.encodePacked(uint8(1), _root(salt, from, middle), _root(salt, middle, to)));
    }

    function _path(uint256 salt, uint64 index, uint64 from, uint64 to) private pure returns (bytes32[] memory) {
        if (to - from == 1) return new bytes32[](0);
        uint64 middle = from + _split(to - from);
        if (index < middle) return with(_path(salt, index, from, middle), _root(salt, middle, to));
        return with(_path(salt, index, middle, to), _root(salt, from, middle));
    }

    function _subproof(uint256 salt, uint64 first, uint64 from, uint64 to, bool complete)
        private
        pure
        returns (bytes32[] memory)
    {
        if (first == to) return complete ? new bytes32[](0) : with(new bytes32[](0), _root(salt, from, to));
        uint64 middle = from + _split(to - from);
        if (first <= middle) return with(_subproof(salt, first, from, middle, complete), _root(salt, middle, to));
        return with(_subproof(salt, first, middle, to, false), _root(salt, from, middle));
    }

    /// @dev Largest power of two below `size`, for size > 1.
    function _split(uint64 size) private pure returns (uint64 half) {
        half = 1;
        while (half * 2 < size) half *= 2;
    }
}
