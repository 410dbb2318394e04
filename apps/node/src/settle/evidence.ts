/** evidence.ts - for tests: subjects with stake on a scene's chain, and the evidence of each fault against them. */

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  AnchorLogContract,
  AssayTokenContract,
  ContractCall,
  NodeRegistryContract,
  Rpc,
  StakeManagerContract,
} from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes, Cose, Fault, Head, Identity, LogEntry, Merkle, Pledge } from 'assay/protocol'
import { encode } from './contract-call.ts'
import { registerKey, registerLog, roles } from './register.ts'
import { newSigner, type openScene, pledgeBlocks } from './scene.ts'

export type Scene = Awaited<ReturnType<typeof openScene>>

/** What every subject here has at stake. */
export const staked: bigint = 1_000n * 10n ** 18n

const random = (length = 32) => new Uint8Array(randomBytes(length))
const hex = Bytes.to0x

/** Puts stake on a subject of the scene's operator. */
async function bond({ book, sender }: Scene, subject: Uint8Array): Promise<void> {
  const { token, stakeManager } = book.stake
  const approval = [hex(stakeManager.address), 2n ** 256n - 1n] as const
  await sender.send({
    to: token.address,
    data: encode({ abi: AssayTokenContract.abi, functionName: 'approve', args: approval }),
  })
  const data = encode({ abi: StakeManagerContract.abi, functionName: 'bond', args: [hex(subject), staked] })
  await sender.send({ to: stakeManager.address, data })
}

/** A node of its own with stake, and one key in a role. */
export async function newNode(scene: Scene, role: number) {
  const { book, rpc, sender } = scene
  const registry = book.nodeRegistry.address
  const abi = NodeRegistryContract.abi
  const operator = hex(sender.address)
  const n = await ContractCall.read(rpc, registry, { abi, functionName: 'nodeCount', args: [operator] })
  const args = ['http://127.0.0.1:1', hex(new Uint8Array(32)), 0] as const
  await sender.send({ to: registry, data: encode({ abi, functionName: 'registerNode', args }) })
  const nodeId = Identity.nodeId(crypto, { chainId: book.chainId, registry, operator: sender.address, n })
  const signer = newSigner()
  const { keyEpoch } = await registerKey(scene, { nodeId, role, signer })
  await bond(scene, nodeId)
  return { nodeId, keyEpoch, signer }
}

/** A log of its own with stake. */
export async function newLog(scene: Scene) {
  const signer = newSigner()
  const logId = await registerLog(scene, { signer, ed25519Key: random(), pledgeBlocks })
  await bond(scene, logId)
  return { logId, signer }
}

export type Node = Awaited<ReturnType<typeof newNode>>
export type Log = Awaited<ReturnType<typeof newLog>>

async function signedHead({ book }: Scene, { nodeId, keyEpoch, signer }: Node, sequence: bigint) {
  const head = Head.serialize({
    ...{ chainId: book.chainId, registry: book.nodeRegistry.address, nodeId, keyEpoch, sequence },
    ...{ previous: sequence === 0n ? new Uint8Array(32) : random(), modeBits: 4, flags: 0, claimsRoot: random() },
  })
  const signature = await Cose.sign(crypto, signer, 'receipt', Head.payload(crypto, head))
  return { head, signature }
}

/** Two heads in one place (class 1), or two neighbours that do not fit (class 13). */
export async function ofHeads(scene: Scene, node: Node, faultClass: 1 | 13, sequence: bigint): Promise<Uint8Array> {
  const a = await signedHead(scene, node, sequence)
  const b = await signedHead(scene, node, faultClass === 1 ? sequence : sequence + 1n)
  const signed = { headA: a.head, signatureA: a.signature, headB: b.head, signatureB: b.signature }
  return Fault.serialize({ class: faultClass, evidence: { ...signed, publicKey: node.signer.publicKey } })
}

async function state({ book }: Scene, logId: Uint8Array, signer: Cose.Signer, tag: 'checkpoint' | 'cosign', size = 3n) {
  const root = random()
  const words = [Bytes.u256(book.chainId), Bytes.concat(new Uint8Array(12), book.anchorLog.address), logId]
  const statement = Bytes.concat(...words, Bytes.u256(size), root)
  return { size, root, signature: await Cose.sign(crypto, signer, tag, crypto.sha256(statement)) }
}

/** Two states of one log, signed by it (class 2). */
export async function ofHistories(scene: Scene, { logId, signer }: Log): Promise<Uint8Array> {
  const [stateA, stateB] = [
    await state(scene, logId, signer, 'checkpoint'),
    await state(scene, logId, signer, 'checkpoint'),
  ]
  const of = {
    chainId: scene.book.chainId,
    anchorLog: scene.book.anchorLog.address,
    logId,
    publicKey: signer.publicKey,
  }
  return Fault.serialize({ class: 2, evidence: { ...of, stateA, stateB } })
}

/** Two cosignatures of one witness over one log (class 6). */
export async function ofCosignatures(scene: Scene, { nodeId, keyEpoch, signer }: Node, logId: Uint8Array) {
  const [stateA, stateB] = [await state(scene, logId, signer, 'cosign'), await state(scene, logId, signer, 'cosign')]
  const of = {
    chainId: scene.book.chainId,
    anchorLog: scene.book.anchorLog.address,
    logId,
    publicKey: signer.publicKey,
  }
  return Fault.serialize({ class: 6, evidence: { ...of, nodeId, keyEpoch, stateA, stateB } })
}

/** A pledge of a log; its deadline is `issuedAtBlock` + 600. */
async function pledgeOf({ book }: Scene, { logId, signer }: Log, leafIndex: bigint, issuedAtBlock: bigint) {
  const pledge = Pledge.words({
    ...{ chainId: book.chainId, anchorLog: book.anchorLog.address, logId, leafHash: random() },
    ...{ leafIndex, issuedAtBlock, issuedAtBlockHash: random() },
  })
  const signature = await Cose.sign(crypto, signer, 'pledge', Pledge.payload(crypto, pledge))
  return { pledge, signature, publicKey: signer.publicKey }
}

/** A pledge that was not kept (class 4). */
export async function ofPledge(
  scene: Scene,
  log: Log,
  of: { readonly issuedAtBlock: bigint; readonly missing: boolean; readonly how: 0 | 1 | 2; readonly at: bigint },
): Promise<Uint8Array> {
  const { issuedAtBlock, ...seen } = of
  return Fault.serialize({ class: 4, evidence: { ...(await pledgeOf(scene, log, 1_000n, issuedAtBlock)), ...seen } })
}

/** Has a log anchor a tree of leaves; `from`: the size that it has anchored before. */
export async function anchor(
  { book, sender }: Scene,
  { logId, signer }: Log,
  leaves: readonly Uint8Array[],
  from = 0n,
) {
  const size = BigInt(leaves.length)
  const root = Merkle.root(crypto, leaves)
  const words = [Bytes.u256(book.chainId), Bytes.concat(new Uint8Array(12), book.anchorLog.address), logId]
  const statement = Bytes.concat(...words, Bytes.u256(size), root)
  const signature = await Cose.sign(crypto, signer, 'checkpoint', crypto.sha256(statement))
  const proof = from === 0n ? [] : Merkle.consistencyProof(crypto, leaves, from, size)
  const steps = [{ size, root: hex(root), signature: hex(signature), consistencyProof: proof.map(hex) }]
  const data = encode({ abi: AnchorLogContract.abi, functionName: 'anchor', args: [hex(logId), steps] })
  await sender.send({ to: book.anchorLog.address, data })
  return { size, root }
}

/** Another leaf at a pledged index (class 3); anchors the log. */
export async function ofLeaf(scene: Scene, log: Log): Promise<Uint8Array> {
  const leaves = [random(), random(), random()]
  const { size, root } = await anchor(scene, log, leaves)
  const pledge = await pledgeOf(scene, log, 1n, 1n)
  const proof = Merkle.inclusionProof(crypto, leaves, 1n, size)
  const evidence = { ...pledge, otherLeafHash: leaves[1] as Uint8Array, size, root, proof }
  return Fault.serialize({ class: 3, evidence })
}

/** An entry that differs from its head (class 5); anchors the log. */
export async function ofEntry(scene: Scene, log: Log, node: Node): Promise<Uint8Array> {
  const { head, signature } = await signedHead(scene, node, 9n)
  const entry = LogEntry.fromHead(crypto, head)
  entry[74] = 1
  const leaves = [random(), LogEntry.leafHash(crypto, entry)]
  const { size, root } = await anchor(scene, log, leaves)
  const { anchorLog } = scene.book
  const evidence = {
    ...{ entry, head, signature, publicKey: node.signer.publicKey, logId: log.logId, anchorLog: anchorLog.address },
    ...{ index: 1n, size, root, proof: Merkle.inclusionProof(crypto, leaves, 1n, size) },
  }
  return Fault.serialize({ class: 5, evidence })
}

/** A receipt, and the leaves of a tree whose third it is. */
export async function receiptOf(scene: Scene, node: Node, claimsRoot: Uint8Array) {
  const { book } = scene
  const head = Head.serialize({
    ...{ chainId: book.chainId, registry: book.nodeRegistry.address, nodeId: node.nodeId, keyEpoch: node.keyEpoch },
    ...{ sequence: 0n, previous: new Uint8Array(32), modeBits: 4, flags: 0, claimsRoot },
  })
  const signature = await Cose.sign(crypto, node.signer, 'receipt', Head.payload(crypto, head))
  const entry = LogEntry.fromHead(crypto, head)
  const leaves = [random(), random(), LogEntry.leafHash(crypto, entry)]
  return { head, signature, publicKey: node.signer.publicKey, entry, leaves }
}

/** Of requests for blocks, a fifth of a second apart: longer than the supervisor takes to start a chain. */
const maxFailures = 150

/**
 * Makes blocks, in pieces: a chain that works for seconds on one request looks dead to its supervisor. One that has become too large is
 * started anew on the way, and goes on where it was a moment before.
 */
export async function mine({ chain, book }: Scene, blocks: number): Promise<void> {
  const rpc = Rpc.create({ url: chain.url, chainId: book.chainId, timeoutMs: 60_000, retries: 0 })
  const target = (await Rpc.askNumber(rpc, 'eth_blockNumber')) + BigInt(blocks)
  for (let failures = 0; ; ) {
    try {
      const left = target - (await Rpc.askNumber(rpc, 'eth_blockNumber'))
      if (left <= 0n) return
      await rpc.request('anvil_mine', [`0x${(left < 50n ? left : 50n).toString(16)}`])
    } catch (error) {
      if (!(error instanceof Rpc.RequestError) || ++failures > maxFailures) throw error
      await sleep(200)
    }
  }
}
export const roleOf = roles
