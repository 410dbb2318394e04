// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ERC3009 } from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import { AssayToken } from "../src/AssayToken.sol";
import { COURT_VM } from "./support/CourtVm.sol";
import { VM } from "./support/Vm.sol";

/// @notice What is ours of the token: supply, clock, and authorizations under random nonces in any order.
contract AssayTokenTest {
    uint256 private constant PAYER_KEY = 0xA11CE;
    address private constant PAYEE = address(0xB0B);
    AssayToken private _token;
    address private _payer;

    function setUp() public {
        COURT_VM.warp(1_000_000);
        _payer = COURT_VM.addr(PAYER_KEY);
        _token = new AssayToken(_payer);
    }

    function test_supplyAndClock() public {
        VM.assertEq(_token.totalSupply(), 1e27, "supply");
        VM.assertEq(_token.balanceOf(_payer), 1e27, "holder");
        VM.assertEq(_token.clock(), 1_000_000, "timestamp");
        VM.assertEq(keccak256(bytes(_token.CLOCK_MODE())), keccak256("mode=timestamp"), "mode");
        VM.prank(_payer);
        _token.delegate(PAYEE);
        VM.assertEq(_token.getVotes(PAYEE), 1e27, "votes");
        VM.prank(_payer);
        _token.burn(1);
        VM.assertEq(_token.totalSupply(), 1e27 - 1, "burnt");
    }

    function testFuzz_randomNonces(bytes32 first, bytes32 second) public {
        if (first == second) return;
        _transfer(second, 5);
        _transfer(first, 7);
        VM.assertEq(_token.balanceOf(PAYEE), 12, "both, in any order");
        (uint8 v, bytes32 r, bytes32 s) = _sign(first, 7);
        VM.expectRevert(abi.encodeWithSelector(ERC3009.ERC3009UsedAuthorization.selector, _payer, first));
        _token.transferWithAuthorization(_payer, PAYEE, 7, 0, type(uint256).max, first, v, r, s);
    }

    function test_authorizationOfAnotherChain() public {
        (uint8 v, bytes32 r, bytes32 s) = _sign(keccak256("nonce"), 7);
        VM.chainId(1);
        VM.expectRevert(abi.encodeWithSelector(ERC3009.ERC3009InvalidSignature.selector));
        _token.transferWithAuthorization(_payer, PAYEE, 7, 0, type(uint256).max, keccak256("nonce"), v, r, s);
    }

    function test_permit() public {
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash = keccak256(abi.encode(typeHash, _payer, PAYEE, uint256(9), uint256(0), uint256(2_000_000)));
        (uint8 v, bytes32 r, bytes32 s) = COURT_VM.sign(PAYER_KEY, _digest(structHash));
        _token.permit(_payer, PAYEE, 9, 2_000_000, v, r, s);
        VM.assertEq(_token.allowance(_payer, PAYEE), 9, "allowance");
        VM.assertEq(_token.nonces(_payer), 1, "nonce");
    }

    function _transfer(bytes32 nonce, uint256 value) private {
        (uint8 v, bytes32 r, bytes32 s) = _sign(nonce, value);
        _token.transferWithAuthorization(_payer, PAYEE, value, 0, type(uint256).max, nonce, v, r, s);
    }

    function _sign(bytes32 nonce, uint256 value) private view returns (uint8, bytes32, bytes32) {
        bytes32 typeHash = keccak256(
            "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
        bytes32 structHash = keccak256(abi.encode(typeHash, _payer, PAYEE, value, uint256(0), type(uint256).max, nonce));
        return COURT_VM.sign(PAYER_KEY, _digest(structHash));
    }

    function _digest(bytes32 structHash) private view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", _token.DOMAIN_SEPARATOR(), structHash));
    }
}
