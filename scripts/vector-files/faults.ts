/** faults.ts - vectors of fault files: each class with evidence that holds and with evidence that must not. */
import * as Bytes from '../../src/protocol/Bytes.ts'
import * as Checkpoint from '../../src/protocol/Checkpoint.ts'
import * as Cose from '../../src/protocol/Cose.ts'
import * as Fault from '../../src/protocol/Fault.ts'
import * as Head from '../../src/protocol/Head.ts'
import * as LogEntry from '../../src/protocol/LogEntry.ts'
import * as Merkle from '../../src/protocol/Merkle.ts'
import { type Case, changed, failures, hex, plain, type VectorFile } from './cases.ts'
import { edited } from './composed.ts'
import * as World from './world.ts'

const { crypto, headBytes, node, log, witness, logId, anchorLog, chainId, leafIndex, size, root } = World

/** What a reader of the vectors takes for the state of the contracts. */
type Known = { readonly anchored?: Anchor; readonly terms?: Terms }
type Anchor = { readonly logId: Uint8Array; readonly size: bigint; readonly root: Uint8Array }
type Terms = {
  readonly pledgeBlocks: bigint
  readonly graceBlocks: bigint
  readonly block: bigint
  readonly size: bigint
  /** Of the case about the entry, which has expired: last block of the time to answer. */
  readonly lastBlock?: bigint
}

const incidentBlocks = 600n
const zero = (length: number) => new Uint8Array(length)
const signHead = (head: Uint8Array) => Cose.sign(crypto, node, 'receipt', Head.payload(crypto, head))
const leavesWith = (leaf: Uint8Array) => World.logLeaves.map((own, i) => (BigInt(i) === leafIndex ? leaf : own))
const anchor = (anchoredRoot: Uint8Array): Known => ({ anchored: { logId, size, root: anchoredRoot } })

const otherLeaf = World.digest('other leaf')
const otherLeaves = leavesWith(otherLeaf)
const otherRoot = Merkle.root(crypto, otherLeaves)

export async function faultFile(): Promise<VectorFile> {
  const groups = [
    await twoHeads(),
    await twoHistories(),
    await wrongLeaf(),
    await unkeptPledge(),
    await falseEntry(),
    await twoCosignatures(),
    await wrongLink(),
    forms(await twoHeads(), await unkeptPledge(), await twoHistories()),
  ]
  return {
    description:
      'Faults: input is a .fault file, anchored is the one (logId, size, root) that the reader takes as anchored, terms are what it takes of the contracts for class 4 (pledgeBlocks, graceBlocks, and block and size that how and at name; with lastBlock it also knows that the case about the entry at the pledged index has expired as of block, and that lastBlock was the last one to answer it in time), accused is a keyId or, for class 5, a logId; faultId is for incidentBlocks 600.',
    spec: 'spec/bundle.md section 3; spec/faults.md section 7',
    cases: groups.flat(),
  }
}

function caseOf(name: string, fault: Fault.Fault, { anchored, terms }: Known): Case {
  const known = { anchored: plain(anchored ?? null), terms: plain(terms ?? null) }
  return { name, input: hex(Fault.serialize(fault)), class: fault.class, ...known }
}

function bad(name: string, fault: Fault.Fault, mustFail: string, known: Known = {}): Case {
  return { ...caseOf(name, fault, known), mustFail }
}

async function good(name: string, fault: Fault.Fault, accused: Uint8Array, known: Known = {}): Promise<Case> {
  const { anchored, terms } = known
  const finding = await Fault.judge(crypto, fault, () => anchored?.root, {
    pledgeBlocks: () => terms?.pledgeBlocks,
    graceBlocks: terms?.graceBlocks,
    seen: () => terms,
    withheld: () => withheldOf(terms),
  })
  const faultId = hex(Fault.faultId(crypto, Fault.incidentOf(finding, incidentBlocks)))
  return { ...caseOf(name, fault, known), accused: hex(accused), faultId }
}

function withheldOf(terms: Terms | undefined) {
  const { block, lastBlock } = terms ?? {}
  return block === undefined || lastBlock === undefined ? undefined : { block, lastBlock }
}

const nodeKey = Cose.keyId(crypto, node.publicKey)
const logKey = Cose.keyId(crypto, log.publicKey)

async function twoHeads(): Promise<Case[]> {
  const headB = Head.serialize({ ...World.head, claimsRoot: World.digest('other claims') })
  const f1: Fault.F1 = {
    ...{ headA: headBytes, signatureA: World.signatures.receipt },
    ...{ headB, signatureB: await signHead(headB), publicKey: node.publicKey },
  }
  const moved = Head.serialize({ ...World.head, sequence: 8n })
  const movedSignature = await signHead(moved)
  const one = (name: string, evidence: Fault.F1, code: string) => bad(`F1: ${name}`, { class: 1, evidence }, code)
  return [
    await good('F1: two heads with one number', { class: 1, evidence: f1 }, nodeKey),
    one('the same head twice', { ...f1, headB: headBytes, signatureB: World.signatures.receipt }, 'same-head'),
    one('other sequence', { ...f1, headB: moved, signatureB: movedSignature }, 'fields-differ'),
    one('first signature flipped', { ...f1, signatureA: changed(f1.signatureA, 0) }, 'bad-signature'),
    one('second signature flipped', { ...f1, signatureB: changed(f1.signatureB, 63) }, 'bad-signature'),
    one('key of somebody else', { ...f1, publicKey: log.publicKey }, 'bad-signature'),
    one('version 2', { ...f1, headB: changed(headB, 0, 2) }, 'malformed'),
  ]
}

async function wrongLink(): Promise<Case[]> {
  const next = Head.serialize({ ...World.head, sequence: 8n, previous: World.digest('not the head before') })
  const right = Head.serialize({ ...World.head, sequence: 8n, previous: Head.hash(crypto, headBytes) })
  const late = Head.serialize({ ...World.head, sequence: 9n })
  const epoch = Head.serialize({ ...World.head, sequence: 8n, keyEpoch: 1 })
  const f13: Fault.F13 = {
    ...{ headA: headBytes, signatureA: World.signatures.receipt },
    ...{ headB: next, signatureB: await signHead(next), publicKey: node.publicKey },
  }
  const second = async (headB: Uint8Array): Promise<Fault.F13> => ({ ...f13, headB, signatureB: await signHead(headB) })
  const swapped: Fault.F13 = {
    ...{ headA: f13.headB, signatureA: f13.signatureB, headB: f13.headA, signatureB: f13.signatureA },
    publicKey: f13.publicKey,
  }
  const one = (name: string, evidence: Fault.F13, code: string) => bad(`F13: ${name}`, { class: 13, evidence }, code)
  return [
    await good('F13: a link to another head', { class: 13, evidence: f13 }, nodeKey),
    one('the right link', await second(right), 'link-correct'),
    one('a gap', await second(late), 'fields-differ'),
    one('the same number', await second(headBytes), 'fields-differ'),
    one('another key epoch', await second(epoch), 'fields-differ'),
    one('heads in the other order', swapped, 'fields-differ'),
    one('first signature flipped', { ...f13, signatureA: changed(f13.signatureA, 0) }, 'bad-signature'),
    one('second signature flipped', { ...f13, signatureB: changed(f13.signatureB, 63) }, 'bad-signature'),
    one('key of somebody else', { ...f13, publicKey: log.publicKey }, 'bad-signature'),
    one('version 2', { ...f13, headA: changed(headBytes, 0, 2) }, 'malformed'),
  ]
}

async function signed(
  tag: 'checkpoint' | 'cosign',
  leaves: readonly Uint8Array[],
  withLeaf: boolean,
): Promise<Fault.State & { signature: Uint8Array }> {
  const statement = { chainId, anchorLog, logId, size: BigInt(leaves.length), root: Merkle.root(crypto, leaves) }
  const payload = Checkpoint.payload(crypto, Checkpoint.words(statement))
  const signature = await Cose.sign(crypto, tag === 'cosign' ? witness : log, tag, payload)
  const state = { size: statement.size, root: statement.root, signature }
  return withLeaf ? { ...state, ...placeIn(leaves) } : state
}

function placeIn(leaves: readonly Uint8Array[]) {
  return { leaf: leaves[Number(leafIndex)] as Uint8Array, proof: Merkle.inclusionProof(crypto, leaves, leafIndex) }
}

const shorter = otherLeaves.slice(0, 8)

async function twoHistories(): Promise<Case[]> {
  const names = { chainId, anchorLog, logId, publicKey: log.publicKey }
  const own = await signed('checkpoint', World.logLeaves, false)
  const other = await signed('checkpoint', otherLeaves, false)
  const { signature: _, ...anchored } = other
  const equal: Fault.F2 = { ...names, stateA: own, stateB: other }
  const against: Fault.F2 = { ...equal, stateB: anchored }
  const ownPlace = await signed('checkpoint', World.logLeaves, true)
  const shortPlace = await signed('checkpoint', shorter, true)
  const grown: Fault.F2 = { ...names, stateA: ownPlace, stateB: shortPlace, index: leafIndex }
  const { signature: __, ...anchoredPlace } = ownPlace
  const grownAgainst: Fault.F2 = { ...grown, stateA: anchoredPlace }
  const honest = await signed('checkpoint', World.logLeaves.slice(0, 8), true)
  // No tree has this size; who signs two roots for it is no less to blame.
  const huge = async (name: string): Promise<Fault.State> => {
    const [hugeSize, hugeRoot] = [2n ** 64n - 1n, World.digest(name)]
    const words = Bytes.concat(
      Checkpoint.words({ ...World.statement, size: 0n }).slice(0, 96),
      Bytes.u256(hugeSize),
      hugeRoot,
    )
    return {
      size: hugeSize,
      root: hugeRoot,
      signature: await Cose.sign(crypto, log, 'checkpoint', crypto.sha256(words)),
    }
  }
  const cosigned = await signed('cosign', otherLeaves, false)
  const one = (name: string, evidence: Fault.F2, code: string, known?: Known) =>
    bad(`F2: ${name}`, { class: 2, evidence }, code, known)
  const flipped = (state: Fault.State) => ({ ...state, signature: changed(state.signature as Uint8Array, 40) })
  return [
    await good('F2: two roots of one size, both signed', { class: 2, evidence: equal }, logKey),
    await good(
      'F2: a signed root against the anchored one',
      { class: 2, evidence: against },
      logKey,
      anchor(otherRoot),
    ),
    await good('F2: two leaves at one index, both signed', { class: 2, evidence: grown }, logKey),
    await good(
      'F2: two leaves, one under the anchored root',
      { class: 2, evidence: grownAgainst },
      logKey,
      anchor(root),
    ),
    await good(
      'F2: two roots of a size that no tree has',
      { class: 2, evidence: { ...names, stateA: await huge('huge'), stateB: await huge('other huge') } },
      logKey,
    ),
    one('the same state twice', { ...equal, stateB: own }, 'not-contradictory'),
    one('a state that grew', { ...grown, stateB: honest }, 'not-contradictory'),
    one('first signature flipped', { ...equal, stateA: flipped(own) }, 'bad-signature'),
    one('second signature flipped', { ...grown, stateB: flipped(shortPlace) }, 'bad-signature'),
    one('a cosignature in place of the signature', { ...equal, stateB: cosigned }, 'bad-signature'),
    one('key of somebody else', { ...equal, publicKey: node.publicKey }, 'bad-signature'),
    one('another chain', { ...equal, chainId: 1n }, 'bad-signature'),
    one('another AnchorLog', { ...equal, anchorLog: changed(anchorLog, 0) }, 'bad-signature'),
    one('another log', { ...equal, logId: changed(logId, 0) }, 'bad-signature'),
    one('not anchored', against, 'not-anchored'),
    one('another root anchored', against, 'not-anchored', anchor(root)),
    one(
      'a leaf that is not there',
      { ...grown, stateA: { ...ownPlace, leaf: World.digest('no leaf') } },
      'not-included',
    ),
    one('another index', { ...grown, index: 4n }, 'not-included'),
    one('an index outside the smaller state', { ...grown, index: 8n }, 'not-included'),
    one(
      'a proof cut short',
      { ...grown, stateB: { ...shortPlace, proof: shortPlace.proof?.slice(1) ?? [] } },
      'not-included',
    ),
  ]
}

async function twoCosignatures(): Promise<Case[]> {
  const names = {
    ...{ chainId, anchorLog, logId, publicKey: witness.publicKey },
    ...{ nodeId: World.digest('witness'), keyEpoch: 2 },
  }
  const own = await signed('cosign', World.logLeaves, false)
  const other = await signed('cosign', otherLeaves, false)
  const equal: Fault.F6 = { ...names, stateA: own, stateB: other }
  const ownPlace = await signed('cosign', World.logLeaves, true)
  const shortPlace = await signed('cosign', shorter, true)
  const grown: Fault.F6 = { ...names, stateA: ownPlace, stateB: shortPlace, index: leafIndex }
  const honest = await signed('cosign', World.logLeaves.slice(0, 8), true)
  const byLog = await signed('checkpoint', otherLeaves, false)
  const keyId = Cose.keyId(crypto, witness.publicKey)
  const file = Fault.serialize({ class: 6, evidence: equal })
  const one = (name: string, evidence: Fault.F6, code: string) => bad(`F6: ${name}`, { class: 6, evidence }, code)
  return [
    await good('F6: two roots of one size', { class: 6, evidence: equal }, keyId),
    await good('F6: two leaves at one index', { class: 6, evidence: grown }, keyId),
    one('the same state twice', { ...equal, stateB: own }, 'not-contradictory'),
    one('a state that grew', { ...grown, stateB: honest }, 'not-contradictory'),
    one(
      'a signature flipped',
      { ...equal, stateB: { ...other, signature: changed(other.signature, 0) } },
      'bad-signature',
    ),
    one("the log's signature", { ...equal, stateB: byLog }, 'bad-signature'),
    one('key of the log', { ...equal, publicKey: log.publicKey }, 'bad-signature'),
    one('another index', { ...grown, index: 4n }, 'not-included'),
    ...failures([
      ['F6: a state without cosignature', edited(file, [2, 8, 3], undefined), 'fault-shape'],
      ['F6: no nodeId', edited(file, [2, 5], undefined), 'fault-shape'],
      ['F6: key epoch of 33 bits', edited(file, [2, 6], 2 ** 32), 'fault-shape'],
    ]),
  ]
}

async function wrongLeaf(): Promise<Case[]> {
  const f3: Fault.F3 = {
    ...{ pledge: World.pledgeWords, signature: World.signatures.pledge, publicKey: log.publicKey },
    ...{
      otherLeafHash: otherLeaf,
      size,
      root: otherRoot,
      proof: Merkle.inclusionProof(crypto, otherLeaves, leafIndex),
    },
  }
  const known = anchor(otherRoot)
  const one = (name: string, evidence: Fault.F3, code: string, of: Known = known) =>
    bad(`F3: ${name}`, { class: 3, evidence }, code, of)
  return [
    await good('F3: another leaf at the pledged index', { class: 3, evidence: f3 }, logKey, known),
    one('not anchored', f3, 'not-anchored', {}),
    one('another root anchored', f3, 'not-anchored', anchor(root)),
    one('the pledged leaf', { ...f3, otherLeafHash: World.pledge.leafHash }, 'leaf-equal'),
    one('a leaf that is not there', { ...f3, otherLeafHash: World.digest('no leaf') }, 'not-included'),
    one('pledge flipped', { ...f3, pledge: changed(f3.pledge, 223) }, 'bad-signature'),
    one('pledge with dirty padding', { ...f3, pledge: changed(f3.pledge, 0) }, 'malformed'),
    one('size flipped', { ...f3, size: 4n }, 'not-included'),
  ]
}

async function unkeptPledge(): Promise<Case[]> {
  const shared = { pledge: World.pledgeWords, signature: World.signatures.pledge, publicKey: log.publicKey }
  const now: Fault.F4 = { ...shared, missing: false, how: 0, at: 0n }
  const step: Fault.F4 = { ...shared, missing: false, how: 1, at: leafIndex }
  const observed: Fault.F4 = { ...shared, missing: true, how: 2, at: 2201n }
  // Issued at block 1,000: the deadline is 1,600, and missing is what block 2,201 shows.
  const terms = (block: bigint, seenSize: bigint): Known => ({
    terms: { pledgeBlocks: 600n, graceBlocks: 600n, block, size: seenSize },
  })
  const never: Fault.F4 = { ...shared, missing: true, how: 3, at: 0n }
  const covered = leafIndex + 1n
  const expired = (block: bigint, lastBlock: bigint): Known => ({
    terms: { pledgeBlocks: 600n, graceBlocks: 600n, block, size: covered, lastBlock },
  })
  const one = (name: string, evidence: Fault.F4, code: string, known: Known) =>
    bad(`F4: ${name}`, { class: 4, evidence }, code, known)
  return [
    await good('F4: late, seen now', { class: 4, evidence: now }, logKey, terms(1601n, 0n)),
    await good('F4: late, seen in a step', { class: 4, evidence: step }, logKey, terms(1700n, leafIndex)),
    await good('F4: missing, written down', { class: 4, evidence: observed }, logKey, terms(2201n, leafIndex)),
    await good('F4: missing, covered and never shown', { class: 4, evidence: never }, logKey, expired(2201n, 1600n)),
    await good(
      'F4: missing, demanded after the deadline',
      { class: 4, evidence: never },
      logKey,
      expired(2301n, 1700n),
    ),
    one('never shown, in the last block of the grace', never, 'not-due', expired(2200n, 1300n)),
    one('never shown, in the last block of the grace after the demand', never, 'not-due', expired(2300n, 1700n)),
    one('covered, and no demand has expired', never, 'not-seen', terms(9000n, covered)),
    one('not covered, and no demand has expired', never, 'not-seen', terms(9000n, 0n)),
    one('seen now, of an entry that was never shown', { ...now, missing: true }, 'kept', expired(2201n, 1600n)),
    one('in the block of the deadline', now, 'not-due', terms(1600n, 0n)),
    one('missing in the last block of the grace', { ...observed, at: 2200n }, 'not-due', terms(2200n, 0n)),
    one('the size covers the index', now, 'kept', terms(1601n, leafIndex + 1n)),
    one('the size covers the index, too early', now, 'kept', terms(1600n, leafIndex + 1n)),
    one('nothing is known of the block', step, 'not-seen', {}),
    one('signature flipped', { ...now, signature: changed(now.signature, 0) }, 'bad-signature', terms(1601n, 0n)),
    one('key of somebody else', { ...now, publicKey: node.publicKey }, 'bad-signature', terms(1601n, 0n)),
    one('pledge flipped', { ...now, pledge: changed(now.pledge, 223) }, 'bad-signature', terms(1601n, 0n)),
    one('pledge with dirty padding', { ...now, pledge: changed(now.pledge, 0) }, 'malformed', terms(1601n, 0n)),
  ]
}

async function falseEntry(): Promise<Case[]> {
  const entry = LogEntry.serialize({ ...LogEntry.parse(World.entryBytes), modeBits: 5 })
  const leaves = leavesWith(LogEntry.leafHash(crypto, entry))
  const f5: Fault.F5 = {
    ...{ entry, head: headBytes, signature: World.signatures.receipt, publicKey: node.publicKey },
    ...{ logId, anchorLog, index: leafIndex, size, root: Merkle.root(crypto, leaves) },
    proof: Merkle.inclusionProof(crypto, leaves, leafIndex),
  }
  const known = anchor(f5.root)
  const one = (name: string, evidence: Fault.F5, code: string, of: Known = known) =>
    bad(`F5: ${name}`, { class: 5, evidence }, code, of)
  return [
    await good('F5: entry with other mode bits', { class: 5, evidence: f5 }, logId, known),
    one('not anchored', f5, 'not-anchored', {}),
    one("the head's own entry", { ...f5, entry: World.entryBytes }, 'entry-correct'),
    one('entry of another receipt', { ...f5, entry: changed(entry, 32) }, 'other-receipt'),
    one('head signed by somebody else', { ...f5, publicKey: log.publicKey }, 'bad-signature'),
    one('index flipped', { ...f5, index: 4n }, 'not-included'),
  ]
}

/** Files that are none; made from the first good file of the group, or from one that a name finds. */
function forms(heads: readonly Case[], pledges: readonly Case[], histories: readonly Case[]): Case[] {
  const bytesOf = (cases: readonly Case[], i: number) => Bytes.fromHex(cases[i]?.input as string)
  const [file, now, equal, grown] = [
    bytesOf(heads, 0),
    bytesOf(pledges, 0),
    bytesOf(histories, 0),
    bytesOf(histories, 2),
  ]
  const withLeaves = edited(edited(equal, [2, 5, 4], zero(32)), [2, 5, 5], [])
  return failures([
    ['version 2', edited(file, [0], 2), 'fault-shape'],
    ['class 7', edited(file, [1], 7), 'fault-shape'],
    ['class 104: a pledge is missing by its evidence', edited(now, [1], 104), 'fault-shape'],
    ['evidence of another class', edited(file, [1], 3), 'fault-shape'],
    ['unknown key', edited(file, [3], 1), 'fault-shape'],
    ['unknown key in the evidence', edited(file, [2, 6], zero(1)), 'fault-shape'],
    ['head of 140 bytes', edited(file, [2, 1], zero(140)), 'fault-shape'],
    ['trailing byte', Bytes.concat(file, zero(1)), 'fault-shape'],
    ['F2: equal sizes with an index', edited(equal, [2, 7], 5), 'fault-shape'],
    ['F2: equal sizes with a leaf', withLeaves, 'fault-shape'],
    ['F2: other sizes without an index', edited(grown, [2, 7], undefined), 'fault-shape'],
    ['F2: other sizes, a state without leaf', edited(grown, [2, 6, 4], undefined), 'fault-shape'],
    ['F2: other sizes, a state without proof', edited(grown, [2, 6, 5], undefined), 'fault-shape'],
    ['F2: an empty signature', edited(equal, [2, 6, 3], zero(0)), 'fault-shape'],
    ['F2: address of 19 bytes', edited(equal, [2, 2], zero(19)), 'fault-shape'],
    ['F4: how 4', edited(now, [2, 5], 4), 'fault-shape'],
    ['F4: late and never shown', edited(now, [2, 5], 3), 'fault-shape'],
    ['F4: never shown, at a block', edited(edited(edited(now, [2, 5], 3), [2, 4], true), [2, 6], 1), 'fault-shape'],
    ['F4: seen now, at a block', edited(now, [2, 6], 1), 'fault-shape'],
    ['F4: missing as a number', edited(now, [2, 4], 0), 'fault-shape'],
  ])
}
