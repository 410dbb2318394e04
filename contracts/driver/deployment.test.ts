/**
 * The deployed contracts, driven with what the TypeScript library makes: identifiers, statements, signatures, proofs and
 * storage slots of both sides are the same. Whole transactions are measured where forge and a node could differ.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as AnchorLog from '../../src/chain/generated/AnchorLog.ts'
import * as NodeRegistry from '../../src/chain/generated/NodeRegistry.ts'
import * as Layout from '../../src/chain/Layout.ts'
import * as Records from '../../src/chain/Records.ts'
import { createP256Signer, crypto } from '../../src/crypto/node.ts'
import * as Bytes from '../../src/protocol/Bytes.ts'
import * as Checkpoint from '../../src/protocol/Checkpoint.ts'
import * as Cose from '../../src/protocol/Cose.ts'
import * as Identity from '../../src/protocol/Identity.ts'
import * as Merkle from '../../src/protocol/Merkle.ts'
import * as Anvil from './Anvil.ts'

const hex = Bytes.to0x
const chainId = 31337n
const skip = Anvil.isAvailable ? false : '!! no anvil among the installed packages: contracts are not run'
const signerOf = (seed: number) => createP256Signer(new Uint8Array(32).fill(seed))
const halves = (key: Uint8Array) => [hex(key.subarray(0, 32)), hex(key.subarray(32))] as const

describe('contracts on a chain', { skip }, () => {
  let chain: Anvil.Chain
  let registry: Anvil.Hex
  let anchorLog: Anvil.Hex
  let operator: Uint8Array
  before(async () => {
    chain = await Anvil.start('osaka')
    registry = await chain.deploy(NodeRegistry, [true])
    anchorLog = await chain.deploy(AnchorLog, [600n])
    operator = Bytes.from0x(chain.accounts[0]!)
  })
  after(() => chain.stop())
  const slot = async (contract: Anvil.Hex, position: Uint8Array) =>
    Bytes.from0x(await chain.request<Anvil.Hex>('eth_getStorageAt', [contract, hex(position), 'latest']))
  const keyProof = (contract: Anvil.Hex, subject: Uint8Array, role: Identity.Role, signer: Cose.Signer) => {
    const statement = { chainId, contract: Bytes.from0x(contract), subject, role, publicKey: signer.publicKey }
    return Cose.sign(crypto, signer, 'key', Identity.keyStatement(crypto, statement))
  }

  test('the code on the chain has the code hash that was generated, whatever the parameters', async () => {
    const otherLog = await chain.deploy(AnchorLog, [7200n])
    const otherRegistry = await chain.deploy(NodeRegistry, [false])
    for (const [address, { codeHash }] of [
      [registry, NodeRegistry],
      [otherRegistry, NodeRegistry],
      [anchorLog, AnchorLog],
      [otherLog, AnchorLog],
    ] as const) {
      const code = await chain.request<Anvil.Hex>('eth_getCode', [address, 'latest'])
      assert.equal(hex(crypto.keccak256(Bytes.from0x(code))), codeHash)
    }
  })

  test('a node and its keys', async () => {
    const signer = signerOf(11)
    const nodeId = Identity.nodeId(crypto, { chainId, registry: Bytes.from0x(registry), operator, n: 0n })
    const registered = await chain.send(registry, NodeRegistry.abi, 'registerNode', ['http://node', hex(nodeId), 255])
    const proof = await keyProof(registry, nodeId, Identity.roles.node, signer)
    const args = [hex(nodeId), Identity.roles.node, ...halves(signer.publicKey), hex(proof)]
    const added = await chain.send(registry, NodeRegistry.abi, 'addKey', args)
    const ended = await chain.send(registry, NodeRegistry.abi, 'endKey', [hex(nodeId), 0])
    assert.deepEqual([registered.succeeded, added.succeeded, ended.succeeded], [true, true, true])

    const [first, second] = Layout.keyRecordSlots(crypto, nodeId, 0)
    assert.deepEqual(Records.keyRecord(await slot(registry, first), await slot(registry, second)), {
      keyId: Cose.keyId(crypto, signer.publicKey),
      operator,
      role: Identity.roles.node,
      validFromBlock: added.blockNumber,
      validUntilBlock: ended.blockNumber,
    })
    const [node] = Layout.nodeSlots(crypto, nodeId)
    assert.deepEqual(Records.nodeRecord(await slot(registry, node)), {
      operator,
      registeredAtBlock: registered.blockNumber,
      nextKeyEpoch: 1,
    })
  })

  test('a log of 100,000 leaves: registered, anchored, caught lying, for at most 120,000 gas a step', async (t) => {
    const signer = signerOf(12)
    const address = Bytes.from0x(anchorLog)
    const instance = await slot(anchorLog, Layout.instanceSlot())
    const logId = Identity.logId(crypto, { chainId, anchorLog: address, instance, operator, n: 0n })
    const possession = hex(await keyProof(anchorLog, logId, Identity.roles.log, signer))
    const register = [...halves(signer.publicKey), hex(new Uint8Array(32)), 600n, possession]
    const copied = await chain.send(anchorLog, AnchorLog.abi, 'register', register, chain.accounts[1])
    assert.equal(copied.succeeded, false, 'a copied proof registers nothing')
    assert.equal((await chain.send(anchorLog, AnchorLog.abi, 'register', register)).succeeded, true)

    const leaves = Array.from({ length: 100_000 }, (_, index) => Merkle.leafHash(crypto, Bytes.u64(BigInt(index))))
    const step = async (from: bigint, size: bigint, root?: Uint8Array) => {
      const honest = Merkle.root(crypto, leaves.slice(0, Number(size)))
      const statement = { chainId, anchorLog: address, logId, size, root: root ?? honest }
      const signature = await Cose.sign(
        crypto,
        signer,
        'checkpoint',
        Checkpoint.payload(crypto, Checkpoint.words(statement)),
      )
      const proof = from === 0n || root !== undefined ? [] : Merkle.consistencyProof(crypto, leaves, from, size)
      return { size, root: hex(root ?? honest), signature: hex(signature), consistencyProof: proof.map(hex) }
    }
    const anchor = (...steps: object[]) =>
      chain.send(anchorLog, AnchorLog.abi, 'anchor', [hex(logId), steps], chain.accounts[2])

    const first = await anchor(await step(0n, 99_000n))
    const second = await anchor(await step(99_000n, 100_000n))
    t.diagnostic(`first step ${first.gasUsed} gas, at 100,000 leaves ${second.gasUsed} gas`)
    assert.ok(first.succeeded && second.succeeded)
    assert.ok(second.gasUsed <= 120_000n, `${second.gasUsed} gas`)

    const [rootSlot, blockSlot] = Layout.stepSlots(crypto, logId, 100_000n)
    const root = Merkle.root(crypto, leaves)
    assert.deepEqual(Records.step(await slot(anchorLog, rootSlot), await slot(anchorLog, blockSlot)), {
      root,
      blockNumber: second.blockNumber,
    })
    const [keySlot, operatorSlot] = Layout.logRecordSlots(crypto, logId)
    assert.deepEqual(Records.logRecord(await slot(anchorLog, keySlot), await slot(anchorLog, operatorSlot)), {
      keyId: Cose.keyId(crypto, signer.publicKey),
      operator,
      pledgeBlocks: 600n,
    })

    const other = crypto.sha256(root)
    const conflict = await anchor(await step(0n, 100_000n, other))
    assert.equal(conflict.succeeded, true)
    assert.deepEqual(await slot(anchorLog, Layout.conflictSlot(crypto, logId, 100_000n)), other)
    assert.equal((await anchor(await step(0n, 100_001n, other))).succeeded, false, 'no second history')
  })

  test('sixteen steps fit one transaction on a chain without the P-256 precompile', async () => {
    const bare = await Anvil.start('prague')
    try {
      const address = await bare.deploy(AnchorLog, [600n])
      const signer = signerOf(13)
      const [, , sender] = bare.accounts
      const from = Bytes.from0x(sender!)
      const instance = Bytes.from0x(await bare.request<Anvil.Hex>('eth_getStorageAt', [address, '0x0', 'latest']))
      const logId = Identity.logId(crypto, {
        chainId,
        anchorLog: Bytes.from0x(address),
        instance,
        operator: from,
        n: 0n,
      })
      const possession = hex(await keyProof(address, logId, Identity.roles.log, signer))
      const register = [...halves(signer.publicKey), hex(new Uint8Array(32)), 600n, possession]
      assert.equal((await bare.send(address, AnchorLog.abi, 'register', register, sender)).succeeded, true)
      const leaves = Array.from({ length: 40 }, (_, index) => Merkle.leafHash(crypto, Bytes.u32(index)))
      const steps = []
      for (let size = 1; size <= 16; size++) {
        const root = Merkle.root(crypto, leaves.slice(0, size))
        const statement = { chainId, anchorLog: Bytes.from0x(address), logId, size: BigInt(size), root }
        const signature = await Cose.sign(
          crypto,
          signer,
          'checkpoint',
          Checkpoint.payload(crypto, Checkpoint.words(statement)),
        )
        const proof = size === 1 ? [] : Merkle.consistencyProof(crypto, leaves, BigInt(size - 1), BigInt(size))
        steps.push({ size: BigInt(size), root: hex(root), signature: hex(signature), consistencyProof: proof.map(hex) })
      }
      const anchored = await bare.send(address, AnchorLog.abi, 'anchor', [hex(logId), steps])
      assert.equal(anchored.succeeded, true)
      assert.ok(anchored.gasUsed < 2n ** 23n, `${anchored.gasUsed} gas`)
    } finally {
      await bare.stop()
    }
  })
})
