// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The cheatcodes that the tests of stake and faults use beyond those of Vm.
interface CourtVm {
    function computeCreateAddress(address deployer, uint256 nonce) external pure returns (address);
    function getNonce(address account) external view returns (uint64);
    function deal(address account, uint256 balance) external;
    function fee(uint256 baseFee) external;
    function warp(uint256 timestamp) external;
    function sign(uint256 privateKey, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function addr(uint256 privateKey) external pure returns (address);
    function snapshotState() external returns (uint256);
    function revertToState(uint256 id) external returns (bool);
}

CourtVm constant COURT_VM = CourtVm(address(uint160(uint256(keccak256("hevm cheat code")))));
