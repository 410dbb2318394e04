// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ModelRegistry } from "../src/ModelRegistry.sol";
import { IModelRegistry } from "../src/interfaces/IModelRegistry.sol";
import { VM } from "./support/Vm.sol";

/// @notice Each rule of spec/stake.md section 6, each refusal.
contract ModelRegistryTest {
    address private constant PUBLISHER = address(0xA11CE);
    bytes32 private constant MANIFEST = keccak256("manifest");
    ModelRegistry private _models;
    bytes32 private _modelId;

    function setUp() public {
        _models = new ModelRegistry();
        VM.prank(PUBLISHER);
        _modelId = _models.publish(MANIFEST, _terms());
    }

    function test_publish() public {
        bytes32 expected = sha256(abi.encode(block.chainid, address(_models), PUBLISHER, uint64(0)));
        VM.assertEq(_modelId, expected, "modelId");
        (address publisher, uint32 versions) = _models.getModel(_modelId);
        VM.assertEq(publisher, PUBLISHER, "publisher");
        VM.assertEq(versions, 1, "versions");
        IModelRegistry.Terms memory terms = _terms();
        (terms.proofSystem, terms.verificationKeyHash, terms.verifier) = (1, keccak256("key"), address(this));
        VM.expectEmit(address(_models));
        emit IModelRegistry.VersionAdded(_modelId, 1, keccak256("next"), terms, address(this).codehash);
        VM.prank(PUBLISHER);
        VM.assertEq(_models.addVersion(_modelId, keccak256("next"), terms), 1, "version");
        VM.assertEq(_models.getVersion(_modelId, 1).verifierCodeHash, address(this).codehash, "pinned");
        VM.assertEq(_models.getVersion(_modelId, 0).manifestHash, MANIFEST, "the first stays");
    }

    function test_publisherOnly() public {
        VM.expectRevert(abi.encodeWithSelector(IModelRegistry.NotPublisher.selector, _modelId, address(this)));
        _models.addVersion(_modelId, MANIFEST, _terms());
        VM.expectRevert(abi.encodeWithSelector(IModelRegistry.NotPublisher.selector, _modelId, address(this)));
        _models.retireVersion(_modelId, 0);
        VM.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownModel.selector, MANIFEST));
        _models.addVersion(MANIFEST, MANIFEST, _terms());
    }

    function test_retire() public {
        VM.prank(PUBLISHER);
        _models.retireVersion(_modelId, 0);
        VM.assertTrue(_models.getVersion(_modelId, 0).retiredAtBlock != 0, "retired");
        VM.expectRevert(abi.encodeWithSelector(IModelRegistry.AlreadyRetired.selector, _modelId, uint32(0)));
        VM.prank(PUBLISHER);
        _models.retireVersion(_modelId, 0);
        VM.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownVersion.selector, _modelId, uint32(1)));
        VM.prank(PUBLISHER);
        _models.retireVersion(_modelId, 1);
    }

    function test_terms() public {
        VM.expectRevert(abi.encodeWithSelector(IModelRegistry.ZeroManifest.selector));
        _models.publish(0, _terms());
        IModelRegistry.Terms memory terms = _terms();
        terms.price = 1;
        VM.expectRevert(abi.encodeWithSelector(IModelRegistry.InvalidPrice.selector));
        _models.publish(MANIFEST, terms);
        terms = _terms();
        terms.royaltyBasisPoints = 5_001;
        VM.expectRevert(abi.encodeWithSelector(IModelRegistry.RoyaltyTooHigh.selector, uint16(5_001), uint16(5_000)));
        _models.publish(MANIFEST, terms);
        terms = _terms();
        terms.verifier = address(this);
        _expectInvalidVerifier(terms);
        terms.proofSystem = 1;
        _expectInvalidVerifier(terms);
        (terms.verificationKeyHash, terms.verifier) = (keccak256("key"), address(0xC0DE1E55));
        _expectInvalidVerifier(terms);
    }

    function _expectInvalidVerifier(IModelRegistry.Terms memory terms) private {
        VM.expectRevert(abi.encodeWithSelector(IModelRegistry.InvalidVerifier.selector, terms.verifier));
        _models.publish(MANIFEST, terms);
    }

    function _terms() private pure returns (IModelRegistry.Terms memory) {
        return IModelRegistry.Terms(keccak256("licence"), address(0), 0, 100, 0, 0, address(0));
    }
}
