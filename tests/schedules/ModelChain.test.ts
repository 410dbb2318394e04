/** ModelChain.test.ts - the model's contracts do what the real ones do, call for call: random calls, good and bad, on both. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AnchorLogContract, NodeRegistryContract } from 'assay/chain'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Bytes, Checkpoint, Cose, Identity, Merkle } from 'assay/protocol'
import { encode, read } from '../../apps/node/src/settle/contract-call.ts'
import * as Scene from '../../apps/node/src/settle/scene.ts'
import { CallRevertedError } from '../../apps/node/src/settle/sender.ts'
import * as Rules from './ContractRules.ts'
import * as Random from './Random.ts'

const seed = Number(process.env.ASSAY_SEED ?? 1)
const calls = Math.min(400, 24 + Math.floor(Number(process.env.ASSAY_SCHEDULES ?? 80) / 12))
const filled = (value: number) => new Uint8Array(32).fill(value)

test(`the model and the contracts agree on ${calls} calls (seed ${seed})`, async (t) => {
  const scene = await Scene.openScene({ blockTimeSeconds: 1 })
  t.after(scene.close)
  const { rpc, sender, book } = scene
  const random = Random.create(seed)
  // The same calls have other addresses in them; the model's own go with the model's names.
  const [realRegistry, realLog] = [book.nodeRegistry.address, book.anchorLog.address]
  let state = Rules.empty(book.anchorLog.instance, Scene.pledgeBlocks)
  const signers = [1, 2, 3, 4].map((value) => createP256Signer(filled(value)))
  const leaves = Array.from({ length: 40 }, () => random.bytes(32))
  const fork = leaves.map((leaf, i) => (i < 7 ? leaf : random.bytes(32)))
  let logSigner: Cose.Signer | undefined
  let agreed = 0

  /** Runs one call on both; `make` writes it for one side's contracts. */
  async function both(to: 'registry' | 'log', make: (side: Side) => Promise<Uint8Array>): Promise<void> {
    const real = { chainId: book.chainId, registry: realRegistry, anchorLog: realLog }
    const ofReal = await sender.send({ to: to === 'registry' ? realRegistry : realLog, data: await make(real) }).then(
      (mined) => mined.blockNumber,
      (error: unknown) => {
        if (error instanceof CallRevertedError) return undefined
        throw error
      },
    )
    const block = ofReal ?? BigInt((await rpc.request('eth_blockNumber')) as string)
    const call = {
      from: sender.address,
      to: to === 'registry' ? Rules.registry : Rules.anchorLog,
      data: await make(Rules),
    }
    let refusal = ''
    const ofModel = await Rules.apply(state, call, block).catch((error: unknown) => {
      refusal = String(error)
      if (error instanceof Rules.RevertError) return undefined
      throw error
    })
    assert.equal(ofModel === undefined, ofReal === undefined, `call ${agreed}, the model: ${refusal}`)
    state = ofModel ?? state
    agreed++
  }
  type Side = { readonly chainId: bigint; readonly registry: Uint8Array; readonly anchorLog: Uint8Array }

  const nodeIdOf = (side: Side) =>
    Identity.nodeId(crypto, { chainId: side.chainId, registry: side.registry, operator: sender.address, n: 0n })
  const logIdOf = (side: Side, n = 0n) => {
    const { instance } = book.anchorLog
    return Identity.logId(crypto, {
      chainId: side.chainId,
      anchorLog: side.anchorLog,
      instance,
      operator: sender.address,
      n,
    })
  }
  const halves = (signer: Cose.Signer) =>
    [Bytes.to0x(signer.publicKey.slice(0, 32)), Bytes.to0x(signer.publicKey.slice(32))] as const

  async function possession(
    chainId: bigint,
    contract: Uint8Array,
    subject: Uint8Array,
    role: Identity.Role,
    signer: Cose.Signer,
  ) {
    const { publicKey } = signer
    const statement = Identity.keyStatement(crypto, { chainId, contract, subject, role, publicKey })
    return Bytes.to0x(await Cose.sign(crypto, signer, 'key', statement))
  }

  const registryAbi = NodeRegistryContract.abi
  const anchorAbi = AnchorLogContract.abi
  await both('registry', async () =>
    encode({ abi: registryAbi, functionName: 'registerNode', args: ['', Bytes.to0x(filled(0)), 0] }),
  )
  for (let i = 1; i < calls; i++) {
    const kind = random.below(10)
    if (kind < 2) {
      const [signer, role, isFalse] = [random.pick(signers), 1 + random.below(4), random.chance(0.2)]
      await both('registry', async (side) => {
        const nodeId = nodeIdOf(side)
        const proof = await possession(
          side.chainId,
          side.registry,
          isFalse ? filled(5) : nodeId,
          role as Identity.Role,
          signer,
        )
        return encode({
          abi: registryAbi,
          functionName: 'addKey',
          args: [Bytes.to0x(nodeId), role, ...halves(signer), proof],
        })
      })
    } else if (kind < 3) {
      const epoch = random.below(4)
      await both('registry', async (side) =>
        encode({ abi: registryAbi, functionName: 'endKey', args: [Bytes.to0x(nodeIdOf(side)), epoch] }),
      )
    } else if (kind < 5) {
      const signer = random.pick(signers)
      const n = BigInt(state.logCounts.get(Bytes.toHex(sender.address)) ?? 0n)
      const blocks = random.chance(0.2) ? 1n : Scene.pledgeBlocks
      await both('log', async (side) => {
        const proof = await possession(side.chainId, side.anchorLog, logIdOf(side, n), 2, signer)
        const args = [...halves(signer), Bytes.to0x(filled(0)), blocks, proof] as const
        return encode({ abi: anchorAbi, functionName: 'register', args })
      })
      if (n === 0n && state.logs.size === 1) logSigner = signer
    } else {
      const known = logSigner ?? (signers[0] as Cose.Signer)
      const head = state.logs.get(Bytes.toHex(logIdOf(Rules)))?.size ?? 0n
      const steps = Array.from({ length: random.below(4) }, () => ({
        size: BigInt(random.below(30)),
        tree: random.chance(0.15) ? fork : leaves,
        signer: random.chance(0.1) ? (signers[3] as Cose.Signer) : known,
        isProofFalse: random.chance(0.1),
      })).sort((a, b) => (random.chance(0.1) ? 1 : Number(a.size - b.size)))
      await both('log', async (side) => {
        let from = head
        const written = []
        for (const { size, tree, signer, isProofFalse } of steps) {
          const root = Merkle.root(crypto, tree.slice(0, Number(size)))
          const statement = { chainId: side.chainId, anchorLog: side.anchorLog, logId: logIdOf(side), size, root }
          const payload = Checkpoint.payload(crypto, Checkpoint.words(statement))
          const signature = Bytes.to0x(await Cose.sign(crypto, signer, 'checkpoint', payload))
          const proof = from > 0n && from < size ? Merkle.consistencyProof(crypto, tree, from, size) : []
          const hashes = (isProofFalse ? [...proof, filled(1)] : proof).map(Bytes.to0x)
          written.push({ size, root: Bytes.to0x(root), signature, consistencyProof: hashes })
          if (size > from) from = size
        }
        return encode({ abi: anchorAbi, functionName: 'anchor', args: [Bytes.to0x(logIdOf(side)), written] })
      })
    }
  }

  const log = state.logs.get(Bytes.toHex(logIdOf(Rules)))
  const logId = Bytes.to0x(logIdOf({ chainId: book.chainId, registry: realRegistry, anchorLog: realLog }))
  const record = await read(rpc, realLog, { abi: anchorAbi, functionName: 'getLog', args: [logId] })
  assert.equal(record.headSize, log?.size ?? 0n)
  for (let size = 0n; size < 30n; size++) {
    const step = await read(rpc, realLog, { abi: anchorAbi, functionName: 'getStep', args: [logId, size] })
    assert.equal(BigInt(step.blockNumber), log?.steps.get(size)?.blockNumber ?? 0n, `step ${size}`)
    assert.equal(step.root, Bytes.to0x(log?.steps.get(size)?.root ?? filled(0)))
    const conflict = await read(rpc, realLog, { abi: anchorAbi, functionName: 'conflictingRoot', args: [logId, size] })
    assert.equal(conflict, Bytes.to0x(log?.conflicts.get(size) ?? filled(0)))
  }
  for (let epoch = 0; epoch < 4; epoch++) {
    const nodeId = Bytes.to0x(nodeIdOf({ chainId: book.chainId, registry: realRegistry, anchorLog: realLog }))
    const key = await read(rpc, realRegistry, { abi: registryAbi, functionName: 'getKey', args: [nodeId, epoch] })
    const model = state.keys.get(`${Bytes.toHex(nodeIdOf(Rules))}/${epoch}`)
    assert.equal(key.keyId, Bytes.to0x(model?.keyId ?? filled(0)))
    assert.equal(BigInt(key.validUntilBlock), model?.validUntilBlock ?? 0n)
    assert.equal(BigInt(key.validFromBlock), model?.validFromBlock ?? 0n)
  }
  t.diagnostic(`${agreed} calls, ${log?.steps.size ?? 0} steps, ${log?.conflicts.size ?? 0} conflicts`)
})
