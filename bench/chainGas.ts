/**
 * chainGas.ts - gas of whole transactions on a development chain with all contracts: anchors of 1,000 receipts, and faults that are
 * really committed to, filed and recorded against bonded parties.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Account, Stage } from '@assay/node/demo/Stage'
import { bondAmount, bondAtStart } from '@assay/node/settle/bond'
import { encode } from '@assay/node/settle/contract-call'
import { registerKey, registerLog, registerNode, roles } from '@assay/node/settle/register'
import { AnchorLogContract, FaultCalls, FaultCourtContract } from 'assay/chain'
import { createEd25519Signer, createP256Signer, crypto } from 'assay/crypto/node'
import { Bytes, Checkpoint, Cose, type Fault, Head, Merkle, Pledge } from 'assay/protocol'

/** Leaves of the large log. */
export const leaves = 100_000
/** Receipts of one anchor. */
export const perAnchor = 1_000

const pledgeBlocks = 600n
const newSigner = () => createP256Signer(Uint8Array.from([1, ...randomBytes(31)]))

/** A node and a log with one operator, registered and bonded. */
export type Subject = {
  readonly stage: Stage
  readonly account: Account
  readonly nodeId: Uint8Array
  readonly logId: Uint8Array
  readonly node: Cose.Signer
  readonly log: Cose.Signer
}

/** Gas of single transactions. */
export type Gas = {
  /** Anchors of 1,000 receipts each, one after the other, in a log of 100,000 and more. */
  readonly anchors: readonly bigint[]
  /** Anchors of 1,000 receipts each, from an empty log on. */
  readonly firstAnchors: readonly bigint[]
  /** Filing transactions by name. */
  readonly faults: ReadonlyMap<string, bigint>
  /** Around a filing. */
  readonly commit: bigint
  /** The first observation of a log, and a later one. */
  readonly observeFirst: bigint
  readonly observe: bigint
  readonly claimReward: bigint
}

/** Measures all of it; about half a minute. */
export async function measure(stage: Stage): Promise<Gas> {
  const reporter = await stage.account(join(stage.home, 'reporter'), 0n)
  const tree = leavesOf(leaves + 3 * perAnchor)
  const firstAnchors = await anchorFromEmpty(await openSubject(stage, 'young'), tree)
  const big = await openSubject(stage, 'anchors')
  await anchor(big, tree, 0, leaves)
  const anchors: bigint[] = []
  for (let size = leaves; size < tree.length; size += perAnchor)
    anchors.push(await anchor(big, tree, size, size + perAnchor))

  const faults = new Map<string, bigint>()
  const around = { commit: 0n, observeFirst: 0n, observe: 0n, claimReward: 0n }
  const file = async (name: string, fault: Fault.Fault) => {
    const gas = await fileFault(stage, reporter, fault)
    faults.set(name, gas.file)
    around.commit = gas.commit
    around.claimReward = await claim(stage, reporter, fault)
  }
  const observed = async (name: string) => {
    const subject = await openSubject(stage, name)
    const { gasUsed } = await observe(reporter, subject)
    around.observeFirst = gasUsed
    return subject
  }
  const f1 = await openSubject(stage, 'F1')
  await file('F1', { class: 1, evidence: await twoHeads(f1) })
  const large = tree.slice(0, leaves)
  for (const [name, index] of [
    ['F3', 12_345n],
    ['F3 index 0', 0n],
  ] as const) {
    const f3 = await observed(name)
    await anchor(f3, large, 0, leaves)
    await file(name, { class: 3, evidence: await wrongLeaf(f3, large, index) })
  }
  for (const [name, kind] of twoHistoriesKinds) {
    const f2 = await observed(name)
    await anchor(f2, large, 0, leaves)
    await file(name, { class: 2, evidence: await twoHistories(f2, large, kind) })
  }
  const f4 = await observed('F4')
  const pledge = await signedPledge(f4, digest('a late leaf'), 0n)
  await stage.mine(pledgeBlocks + 1n)
  const { blockNumber, gasUsed } = await observe(reporter, f4)
  around.observe = gasUsed
  await file('F4 late', { class: 4, evidence: { ...pledge, missing: false, how: 2, at: blockNumber } })
  return { anchors, firstAnchors, faults, ...around }
}

const twoHistoriesKinds = [
  ['F2 two sizes, both signed', 'sizes'],
  ['F2 one size, both signed', 'size'],
  ['F2 signed against anchored', 'anchored'],
] as const

export async function openSubject(stage: Stage, name: string): Promise<Subject> {
  const account = await stage.account(join(stage.home, 'subjects', name.replaceAll(' ', '-')), 2n * bondAmount)
  const registrar = { crypto, rpc: stage.rpc, sender: account.sender, book: stage.book }
  const [node, log] = [newSigner(), newSigner()]
  const ed25519Key = createEd25519Signer(new Uint8Array(randomBytes(32))).publicKey
  const [nodeId, logId] = await Promise.all([
    registerNode(registrar, { endpoint: '' }),
    registerLog(registrar, { signer: log, ed25519Key, pledgeBlocks }),
  ])
  await Promise.all([
    registerKey(registrar, { nodeId, role: roles.node, signer: node }),
    bondAtStart(
      registrar,
      [nodeId, logId].map((subject) => ({ subject, amount: bondAmount })),
      { development: true },
    ),
  ])
  return { stage, account, nodeId, logId, node, log }
}

async function anchorFromEmpty(subject: Subject, tree: readonly Uint8Array[]): Promise<bigint[]> {
  const gas: bigint[] = []
  for (let size = 0; size < 3 * perAnchor; size += perAnchor)
    gas.push(await anchor(subject, tree, size, size + perAnchor))
  return gas
}

/** Anchors one step and gives the gas of its transaction. */
export async function anchor(
  { stage, account, logId, log }: Subject,
  tree: readonly Uint8Array[],
  from: number,
  to: number,
): Promise<bigint> {
  const part = tree.slice(0, to)
  const root = Merkle.root(crypto, part)
  const proof = from === 0 ? [] : Merkle.consistencyProof(crypto, part, BigInt(from), BigInt(to))
  const signature = await signState(stage, logId, log, BigInt(to), root)
  const step = { size: BigInt(to), root: Bytes.to0x(root), signature: Bytes.to0x(signature) }
  const args = [Bytes.to0x(logId), [{ ...step, consistencyProof: proof.map(Bytes.to0x) }]] as const
  const data = encode({ abi: AnchorLogContract.abi, functionName: 'anchor', args })
  return (await account.sender.send({ to: stage.book.anchorLog.address, data })).gasUsed
}

function observe(reporter: Account, { stage, logId }: Subject) {
  const args = [Bytes.to0x(logId)] as const
  const data = encode({ abi: FaultCourtContract.abi, functionName: 'observe', args })
  return reporter.sender.send({ to: stage.book.stake.faultCourt.address, data })
}

/** Commits, waits until the commitment is ripe, files. */
async function fileFault(
  stage: Stage,
  reporter: Account,
  fault: Fault.Fault,
): Promise<{ commit: bigint; file: bigint }> {
  const faultCourt = stage.book.stake.faultCourt.address
  // Judged first, as every reporter does; what the contract alone knows is not asked here.
  const callData = FaultCalls.callDataOf(fault, new Uint8Array(randomBytes(32)))
  const { chainId } = stage.book
  const commitment = FaultCalls.commitment(crypto, { chainId, faultCourt, reporter: reporter.address, callData })
  const args = [Bytes.to0x(commitment)] as const
  const data = encode({ abi: FaultCourtContract.abi, functionName: 'commit', args })
  const commit = (await reporter.sender.send({ to: faultCourt, data })).gasUsed
  await stage.mine(1n)
  return { commit, file: (await reporter.sender.send({ to: faultCourt, data: callData })).gasUsed }
}

async function claim(stage: Stage, reporter: Account, fault: Fault.Fault): Promise<bigint> {
  const of = incidentOf(fault)
  const args = [of.class, Bytes.to0x(of.subject), of.keyEpoch, Bytes.to0x(of.incident)] as const
  const data = encode({ abi: FaultCourtContract.abi, functionName: 'claimReward', args })
  return (await reporter.sender.send({ to: stage.book.stake.faultCourt.address, data })).gasUsed
}

/** As `Fault.incidentOf`, for evidence that this file made itself. */
function incidentOf(fault: Fault.Fault): Fault.Incident {
  switch (fault.class) {
    case 1: {
      const { nodeId, keyEpoch, sequence } = Head.parse(fault.evidence.headA)
      return { class: 1, subject: nodeId, keyEpoch, incident: Bytes.u256(sequence) }
    }
    case 2:
      return { class: 2, subject: fault.evidence.logId, keyEpoch: 0, incident: Bytes.u256(0n) }
    case 3:
    case 4: {
      const { logId, leafIndex, issuedAtBlock } = Pledge.parse(fault.evidence.pledge)
      const number = fault.class === 3 ? leafIndex : (issuedAtBlock + pledgeBlocks) / 600n
      return { class: fault.class, subject: logId, keyEpoch: 0, incident: Bytes.u256(number) }
    }
    default:
      throw new RangeError('no such fault here')
  }
}

async function twoHeads({ stage, nodeId, node }: Subject): Promise<Fault.F1> {
  const { chainId, nodeRegistry } = stage.book
  const common = { chainId, registry: nodeRegistry.address, nodeId, keyEpoch: 0, sequence: 0n, modeBits: 0, flags: 0 }
  const sign = async (name: string) => {
    const head = Head.serialize({ ...common, previous: new Uint8Array(32), claimsRoot: digest(name) })
    return { head, signature: await Cose.sign(crypto, node, 'receipt', Head.payload(crypto, head)) }
  }
  const [a, b] = [await sign('one answer'), await sign('another answer')]
  return { headA: a.head, signatureA: a.signature, headB: b.head, signatureB: b.signature, publicKey: node.publicKey }
}

async function wrongLeaf(subject: Subject, tree: readonly Uint8Array[], index: bigint): Promise<Fault.F3> {
  const size = BigInt(tree.length)
  return {
    ...(await signedPledge(subject, digest('the leaf that was pledged'), index)),
    ...{ otherLeafHash: tree[Number(index)] as Uint8Array, size, root: Merkle.root(crypto, tree) },
    proof: Merkle.inclusionProof(crypto, tree, index),
  }
}

async function twoHistories(
  { stage, logId, log }: Subject,
  tree: readonly Uint8Array[],
  kind: (typeof twoHistoriesKinds)[number][1],
): Promise<Fault.F2> {
  const index = 12_345n
  const other = kind === 'sizes' ? tree.slice(0, -1) : [...tree]
  other[Number(index)] = digest('another leaf')
  const state = async (of: readonly Uint8Array[], isSigned: boolean): Promise<Fault.State> => {
    const size = BigInt(of.length)
    const root = Merkle.root(crypto, of)
    return {
      ...{ size, root },
      ...(isSigned ? { signature: await signState(stage, logId, log, size, root) } : {}),
      ...(kind === 'sizes'
        ? { leaf: of[Number(index)] as Uint8Array, proof: Merkle.inclusionProof(crypto, of, index) }
        : {}),
    }
  }
  const { chainId, anchorLog } = stage.book
  return {
    ...{ chainId, anchorLog: anchorLog.address, logId, publicKey: log.publicKey },
    ...{ stateA: await state(tree, kind !== 'anchored'), stateB: await state(other, true) },
    ...(kind === 'sizes' ? { index } : {}),
  }
}

async function signedPledge({ stage, logId, log }: Subject, leafHash: Uint8Array, leafIndex: bigint) {
  const newest = stage.view.newest()
  if (newest === undefined) throw new Error('the chain has no block')
  const { chainId, anchorLog } = stage.book
  const issued = { issuedAtBlock: newest.number, issuedAtBlockHash: newest.hash }
  const pledge = Pledge.words({ chainId, anchorLog: anchorLog.address, logId, leafHash, leafIndex, ...issued })
  const signature = await Cose.sign(crypto, log, 'pledge', Pledge.payload(crypto, pledge))
  return { pledge, signature, publicKey: log.publicKey }
}

function signState(stage: Stage, logId: Uint8Array, log: Cose.Signer, size: bigint, root: Uint8Array) {
  const { chainId, anchorLog } = stage.book
  const words = Checkpoint.words({ chainId, anchorLog: anchorLog.address, logId, size, root })
  return Cose.sign(crypto, log, 'checkpoint', Checkpoint.payload(crypto, words))
}

const digest = (text: string): Uint8Array => crypto.sha256(Bytes.fromUtf8(text))

/** Leaf hashes of a log that nobody wrote to. */
export function leavesOf(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => Merkle.leafHash(crypto, Bytes.u64(BigInt(i))))
}
