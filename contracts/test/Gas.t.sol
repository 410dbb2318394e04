// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { NodeRegistry } from "../src/NodeRegistry.sol";
import { IAnchorLog } from "../src/interfaces/IAnchorLog.sol";
import { LogFixture } from "./support/LogFixture.sol";
import { Signing } from "./support/Signing.sol";
import { VM } from "./support/Vm.sol";

/// @notice Gas of whole transactions (21,000 and calldata included), kept in snapshots/. The anchors are those of a log
/// of 100,000 leaves with its true proofs; the goal is 120,000 gas for one step.
contract GasTest is LogFixture {
    uint256 private constant GOAL = 120_000;
    string private _fixture;

    function setUp() public {
        _deploy();
        _fixture = VM.readFile("test/fixtures/anchor-100000.json");
    }

    function test_gas_register() public {
        _register(0x202);
        VM.snapshotGasLastCall("AnchorLog", "register");
    }

    function test_gas_anchorFirst() public {
        _anchor(_step(0, 5));
        VM.snapshotGasLastCall("AnchorLog", "anchor: first step from size 0");
    }

    function test_gas_anchorOneLeaf() public {
        _measure("one", "anchor at 100000: by 1 leaf");
    }

    function test_gas_anchorThousandLeaves() public {
        _measure("thousand", "anchor at 100000: by 1000 leaves");
    }

    function test_gas_anchorTenThousandLeaves() public {
        _measure("tenThousand", "anchor at 100000: by 10000 leaves");
    }

    function test_gas_anchorLongestProof() public {
        _measure("longest", "anchor at 100000: longest proof");
    }

    function test_gas_anchorWithoutPrecompile() public {
        VM.mockCall(address(0x100), "", "");
        _prepare("thousand");
        VM.snapshotGasLastCall("AnchorLog", "anchor at 100000: by 1000 leaves, no P-256 precompile");
        VM.clearMockedCalls();
    }

    function test_gas_anchorSameAgain() public {
        IAnchorLog.SignedStep memory step = _prepare("thousand");
        _anchor(step);
        VM.snapshotGasLastCall("AnchorLog", "anchor at 100000: same again");
    }

    function test_gas_conflict() public {
        _prepare("thousand");
        _anchor(_signed(100_000, keccak256("other"), new bytes32[](0)));
        VM.snapshotGasLastCall("AnchorLog", "conflict recorded");
    }

    function test_gas_eightSteps() public {
        _anchor(_step(0, 20));
        IAnchorLog.SignedStep[] memory steps = new IAnchorLog.SignedStep[](8);
        for (uint64 i = 0; i < 8; ++i) {
            steps[i] = _step(20 + i, 21 + i);
        }
        _anchor(steps);
        VM.snapshotGasLastCall("AnchorLog", "anchor: eight steps at 20");
    }

    function test_gas_nodeRegistry() public {
        NodeRegistry registry = new NodeRegistry(true);
        bytes32 nodeId = registry.registerNode("http://127.0.0.1:8787", keccak256("evidence"), 255);
        VM.snapshotGasLastCall("NodeRegistry", "registerNode");
        (bytes32 x, bytes32 y) = Signing.publicKey(KEY);
        bytes memory proof = Signing.key(KEY, address(registry), nodeId, 1);
        registry.addKey(nodeId, 1, x, y, proof);
        VM.snapshotGasLastCall("NodeRegistry", "addKey");
        registry.endKey(nodeId, 0);
        VM.snapshotGasLastCall("NodeRegistry", "endKey");
        registry.updateNode(nodeId, "http://127.0.0.1:8788", keccak256("evidence"), 255);
        VM.snapshotGasLastCall("NodeRegistry", "updateNode");
    }

    function _measure(string memory from, string memory name) private {
        _prepare(from);
        VM.assertTrue(VM.snapshotGasLastCall("AnchorLog", name) <= GOAL, "within the goal");
    }

    /// @dev Brings the log to the size of that name in the fixture, then from there to 100,000 leaves.
    function _prepare(string memory from) private returns (IAnchorLog.SignedStep memory step) {
        string memory path = string.concat(".from.", from);
        uint64 first = uint64(VM.parseJsonUint(_fixture, string.concat(path, ".size")));
        bytes32 firstRoot = VM.parseJsonBytes32(_fixture, string.concat(path, ".root"));
        bytes32[] memory proof = VM.parseJsonBytes32Array(_fixture, string.concat(path, ".proof"));
        uint64 size = uint64(VM.parseJsonUint(_fixture, ".size"));
        _anchor(_signed(first, firstRoot, new bytes32[](0)));
        step = _signed(size, VM.parseJsonBytes32(_fixture, ".root"), proof);
        _anchor(step);
    }
}
