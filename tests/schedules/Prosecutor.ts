/**
 * Prosecutor.ts - knows everything that honest keys ever signed, released or not, and everything that was ever anchored in any
 * history of the chain, and tries to convict them of every fault that a contract decides. Each charge goes through
 * `Fault.judge`, the same function that a court's contract mirrors.
 */
import { crypto as plain } from 'assay/crypto/node'
import { Bytes, Checkpoint, Cose, type Crypto, Fault, Head, LogEntry, Merkle, Pledge } from 'assay/protocol'
import * as Rules from './ContractRules.ts'
import type { Block, ModelChain } from './ModelChain.ts'

/** A fault that was shown, or would be if a certain head had left its maker. */
export type Conviction = {
  readonly class: 1 | 2 | 3 | 4 | 5 | 6 | 13 | 17 | 18
  readonly missing?: boolean
  /** keyId or logId in hex. */
  readonly subject: string
  readonly detail: string
  /** Rests on a signature that nobody outside its maker's process ever had. */
  readonly isUnreleased: boolean
  /** F4: share of the pledge window in which the log could reach the chain was at least a half. Cases: see CaseJudge.ts. */
  readonly withinBounds: boolean
}

type SignedState = { readonly size: bigint; readonly root: Uint8Array; readonly signature: Uint8Array | undefined }
type SignedPledge = {
  readonly words: Uint8Array
  readonly pledge: Pledge.Pledge
  readonly signature: Uint8Array
  readonly publicKey: Uint8Array
  /** Signed by a process that had never seen the true chain. */
  readonly isBlind: boolean
  isLate: boolean
  isMissing: boolean
}
type SignedHead = { readonly head: Uint8Array; readonly signature: Uint8Array; hasLeft: boolean }
type Source = (size: bigint) => readonly Uint8Array[] | undefined

export type Prosecutor = {
  /** The driver to give to signers: it remembers what their hashes are of. */
  readonly crypto: Crypto
  /** The same signer, overheard. */
  readonly overhear: (signer: Cose.Signer, isBlind?: () => boolean) => Cose.Signer
  /** A head was handed to a log. */
  readonly offered: (request: { head: Uint8Array; signature: Uint8Array; publicKey: Uint8Array }) => void
  /** Whoever asked got this head's receipt, or a log's folder holds it. */
  readonly left: (head: Uint8Array) => void
  /** Where the leaves of a log's trees can be looked up, by number of leaves; several may disagree. */
  readonly addSource: (logId: Uint8Array, source: Source) => void
  /** Signs what it likes: not judged. */
  readonly exempt: (publicKey: Uint8Array) => void
  /** Its folders were given up; what it pledged is F4 without further question. */
  readonly abandon: (logId: Uint8Array) => void
  readonly isAbandoned: (logId: Uint8Array) => boolean
  readonly convict: () => Promise<readonly Conviction[]>
  /** How much there is to judge. */
  readonly counts: () => Readonly<Record<string, number>>
}

const hex = Bytes.toHex
const ofNothing = (): undefined => undefined

/** Starts listening. */
export function create(
  chain: Pick<ModelChain, 'onBlock' | 'block' | 'anchored'>,
  graceBlocks: bigint,
  place: { readonly chainId: bigint; readonly anchorLog: Uint8Array } = Rules,
): Prosecutor {
  const preimages = new Map<string, Uint8Array>()
  const heads = new Map<string, Map<string, SignedHead>>()
  const pledges: SignedPledge[] = []
  const checkpoints = new Map<string, { publicKey: Uint8Array; logId: Uint8Array; states: Map<string, SignedState> }>()
  const cosigned = new Map<string, { publicKey: Uint8Array; logId: Uint8Array; states: Map<string, SignedState> }>()
  const sources = new Map<string, Source[]>()
  const trees = new Map<string, readonly Uint8Array[]>()
  const exempt = new Set<string>()
  const abandoned = new Set<string>()
  // In whichever history came first: a reorganisation may enter it again later.
  const registeredAt = new Map<string, bigint>()
  const late: Promise<Conviction>[] = []

  const crypto: Crypto = {
    ...plain,
    sha256: (bytes) => {
      const hash = plain.sha256(bytes)
      const { length } = bytes
      const isStatement = length === Pledge.byteLength || length === Checkpoint.byteLength
      if (isStatement || length === LogEntry.byteLength + 1) preimages.set(hex(hash), Uint8Array.from(bytes))
      return hash
    },
  }

  const prefixes = (['pledge', 'checkpoint', 'cosign'] as const).map((tag) => {
    const whole = Cose.sigStructure(tag, new Uint8Array(32))
    return { tag, start: hex(whole.subarray(0, whole.length - 32)), length: whole.length }
  })

  function heard(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array, isBlind: () => boolean): void {
    const found = prefixes.find(({ start, length }) => message.length === length && hex(message).startsWith(start))
    if (found === undefined) return
    const words = preimages.get(hex(message.subarray(-32)))
    if (words === undefined) throw new Error(`a ${found.tag} was signed whose words nobody hashed`)
    if (found.tag === 'pledge') {
      const pledge = Pledge.parse(words)
      pledges.push({ words, pledge, signature, publicKey, isBlind: isBlind(), isLate: false, isMissing: false })
      return
    }
    const { logId, size, root } = Checkpoint.parse(words)
    const kept = found.tag === 'checkpoint' ? checkpoints : cosigned
    const name = `${hex(publicKey)}/${hex(logId)}`
    const one = kept.get(name) ?? { publicKey, logId, states: new Map() }
    kept.set(name, one)
    one.states.set(`${size}/${hex(root)}`, { size, root, signature })
    leavesOf(logId, size, root)
  }

  /** The leaves under a root, looked up as long as somebody still has them. */
  function leavesOf(logId: Uint8Array, size: bigint, root: Uint8Array): readonly Uint8Array[] | undefined {
    const name = hex(root)
    const known = trees.get(name)
    if (known !== undefined) return known
    for (const source of sources.get(hex(logId)) ?? []) {
      const leaves = source(size)
      if (leaves === undefined || BigInt(leaves.length) !== size) continue
      if (!Bytes.equal(Merkle.root(plain, leaves), root)) continue
      trees.set(name, leaves)
      return leaves
    }
    return undefined
  }

  chain.onBlock((block) => {
    for (const [name, { steps }] of block.state.logs) {
      if (!registeredAt.has(name)) registeredAt.set(name, steps.get(0n)?.blockNumber ?? 0n)
    }
    for (const one of pledges) {
      const { logId, issuedAtBlock, leafIndex } = one.pledge
      const log = block.state.logs.get(hex(logId))
      if (log === undefined || log.size > leafIndex || exempt.has(hex(one.publicKey))) continue
      if (!Bytes.equal(log.publicKey, one.publicKey)) continue
      const deadline = issuedAtBlock + log.pledgeBlocks
      if (block.number > deadline && !one.isLate) {
        one.isLate = true
        late.push(charge4(one, block, log, false))
      }
      if (block.number > deadline + graceBlocks && !one.isMissing) {
        one.isMissing = true
        late.push(charge4(one, block, log, true))
      }
    }
  })

  /** Whether the log had half of the window; a block before it was registered is no excuse for a pledge that names it. */
  function hadHalf({ pledge }: SignedPledge, log: Rules.LogState): boolean {
    const start = registeredAt.get(hex(log.logId)) ?? 0n
    let reachable = 0n
    for (let number = pledge.issuedAtBlock + 1n; number <= pledge.issuedAtBlock + log.pledgeBlocks; number++) {
      if (number <= start || chain.block(number)?.reachable === true) reachable++
    }
    return reachable * 2n >= log.pledgeBlocks
  }

  async function charge4(one: SignedPledge, block: Block, log: Rules.LogState, missing: boolean): Promise<Conviction> {
    const withinBounds = !one.isBlind && !abandoned.has(hex(log.logId)) && hadHalf(one, log)
    const { words, signature, publicKey } = one
    const evidence = { pledge: words, signature, publicKey, missing, how: 0 as const, at: 0n }
    const seen = () => ({ block: block.number, size: log.size })
    await Fault.judge(plain, { class: 4, evidence }, ofNothing, {
      ...{ pledgeBlocks: () => log.pledgeBlocks, graceBlocks, seen, withheld: () => undefined },
    })
    const { leafIndex, issuedAtBlock } = one.pledge
    const detail = `index ${leafIndex}, issued at ${issuedAtBlock}; block ${block.number}, size ${log.size}`
    return { class: 4, missing, subject: hex(log.logId), detail, isUnreleased: false, withinBounds }
  }

  /** A charge that the judge accepts, or undefined: a prosecutor may be wrong. */
  async function tryCharge(
    fault: Fault.Fault,
    subject: string,
    detail: string,
    anchored: (logId: Uint8Array, size: bigint) => Uint8Array | undefined,
    isUnreleased = false,
  ): Promise<Conviction | undefined> {
    try {
      const again = Fault.parse(Fault.serialize(fault))
      await Fault.judge(plain, again, anchored)
    } catch (error) {
      if (error instanceof Fault.FaultRefusedError) return undefined
      throw error
    }
    return { class: fault.class, subject, detail, isUnreleased, withinBounds: true }
  }

  async function ofHeads(): Promise<(Conviction | undefined)[]> {
    const found: (Conviction | undefined)[] = []
    for (const [publicKeyHex, ofKey] of heads) {
      if (exempt.has(publicKeyHex)) continue
      const publicKey = Bytes.fromHex(publicKeyHex)
      const places = new Map<string, SignedHead[]>()
      for (const one of ofKey.values()) {
        const place = hex(one.head.subarray(1, 73))
        places.set(place, [...(places.get(place) ?? []), one])
      }
      const pair = (a: SignedHead, b: SignedHead) => ({
        ...{ headA: a.head, signatureA: a.signature, headB: b.head, signatureB: b.signature, publicKey },
      })
      for (const [place, at] of places) {
        const { sequence } = Head.parse((at[0] as SignedHead).head)
        const next = places.get(place.slice(0, 128) + hex(Bytes.u64(sequence + 1n))) ?? []
        for (const [i, a] of at.entries()) {
          for (const b of at.slice(i + 1)) {
            const isUnreleased = !a.hasLeft || !b.hasLeft
            const detail = `sequence ${sequence}`
            found.push(
              await tryCharge({ class: 1, evidence: pair(a, b) }, publicKeyHex, detail, ofNothing, isUnreleased),
            )
          }
          for (const b of next) {
            if (Bytes.equal(b.head.subarray(73, 105), Head.hash(plain, a.head))) continue
            const isUnreleased = !a.hasLeft || !b.hasLeft
            const detail = `sequence ${sequence + 1n}`
            found.push(
              await tryCharge({ class: 13, evidence: pair(a, b) }, publicKeyHex, detail, ofNothing, isUnreleased),
            )
          }
        }
      }
    }
    return found
  }

  /** Pairs of states that no append explains, among what a key signed and (for a log) what was anchored of it. */
  async function ofStates(
    kind: 2 | 6,
    {
      publicKey,
      logId,
      states,
    }: { publicKey: Uint8Array; logId: Uint8Array; states: ReadonlyMap<string, SignedState> },
  ): Promise<(Conviction | undefined)[]> {
    if (exempt.has(hex(publicKey))) return []
    const found: (Conviction | undefined)[] = []
    const list = [...states.values()]
    const about = { chainId: place.chainId, anchorLog: place.anchorLog, logId, publicKey }
    const subject = kind === 2 ? hex(logId) : hex(publicKey)
    const charge = (evidence: Pick<Fault.F6, 'stateA' | 'stateB'> & { readonly index?: bigint }) => {
      const detail = `sizes ${evidence.stateA.size}, ${evidence.stateB.size}`
      const roots = new Map([evidence.stateA, evidence.stateB].map((one) => [one.size, one.root]))
      const anchored = (_: Uint8Array, size: bigint) => roots.get(size)
      const fault =
        kind === 2
          ? ({ class: 2, evidence: { ...about, ...evidence } } as const)
          : ({ class: 6, evidence: { ...about, ...evidence, nodeId: new Uint8Array(32), keyEpoch: 0 } } as const)
      return tryCharge(fault as Fault.Fault, subject, detail, anchored)
    }
    for (const [i, a] of list.entries()) {
      for (const b of list.slice(i + 1)) {
        if (Bytes.equal(a.root, b.root)) continue
        const state = ({ size, root, signature }: SignedState, more = {}) =>
          ({ size, root, ...(signature === undefined ? {} : { signature }), ...more }) as Fault.F6['stateA']
        if (a.size === b.size) {
          found.push(await charge({ stateA: state(a), stateB: state(b) }))
          continue
        }
        const [ofA, ofB] = [leavesOf(logId, a.size, a.root), leavesOf(logId, b.size, b.root)]
        if (ofA === undefined || ofB === undefined) throw new Error('a tree was signed whose leaves nobody has')
        const index = ofA.findIndex((leaf, at) => at < ofB.length && !Bytes.equal(leaf, ofB[at] as Uint8Array))
        if (index < 0) continue
        const shown = (leaves: readonly Uint8Array[]) => ({
          leaf: leaves[index],
          proof: Merkle.inclusionProof(plain, leaves, BigInt(index)),
        })
        found.push(await charge({ stateA: state(a, shown(ofA)), stateB: state(b, shown(ofB)), index: BigInt(index) }))
      }
    }
    return found
  }

  async function ofTrees(): Promise<(Conviction | undefined)[]> {
    const found: (Conviction | undefined)[] = []
    const byHash = new Map<string, SignedHead & { publicKey: Uint8Array }>()
    for (const [publicKeyHex, ofKey] of heads) {
      const publicKey = Bytes.fromHex(publicKeyHex)
      for (const one of ofKey.values()) byHash.set(hex(Head.hash(plain, one.head)), { ...one, publicKey })
    }
    for (const { logId, publicKey: logKey, size, root } of chain.anchored()) {
      const leaves = leavesOf(logId, size, root)
      if (exempt.has(hex(logKey))) continue
      if (leaves === undefined) throw new Error(`a tree of ${size} was anchored whose leaves nobody has`)
      const anchored = () => root
      for (const { words, pledge, signature, publicKey } of pledges) {
        if (!Bytes.equal(pledge.logId, logId) || pledge.leafIndex >= size || !Bytes.equal(publicKey, logKey)) continue
        const otherLeafHash = leaves[Number(pledge.leafIndex)] as Uint8Array
        if (Bytes.equal(otherLeafHash, pledge.leafHash)) continue
        const proof = Merkle.inclusionProof(plain, leaves, pledge.leafIndex)
        const evidence = { pledge: words, signature, publicKey, otherLeafHash, size, root, proof }
        found.push(await tryCharge({ class: 3, evidence }, hex(logId), `index ${pledge.leafIndex}`, anchored))
      }
      for (const [index, leaf] of leaves.entries()) {
        const entry = preimages.get(hex(leaf))?.subarray(1)
        if (entry === undefined) throw new Error('a leaf was anchored whose entry nobody made')
        const head = byHash.get(hex(entry.subarray(1, 33)))
        if (head === undefined) throw new Error('an entry was anchored whose head nobody handed in')
        if (Bytes.equal(entry, LogEntry.fromHead(plain, head.head))) continue
        const proof = Merkle.inclusionProof(plain, leaves, BigInt(index))
        const at = { logId, anchorLog: place.anchorLog, index: BigInt(index), size, root, proof }
        const evidence = { ...at, entry, head: head.head, signature: head.signature, publicKey: head.publicKey }
        found.push(await tryCharge({ class: 5, evidence }, hex(logId), `index ${index}`, anchored))
      }
    }
    return found
  }

  return {
    crypto,
    overhear: (signer, isBlind = () => false) => ({
      publicKey: signer.publicKey,
      sign: async (message) => {
        const signature = await signer.sign(message)
        heard(signer.publicKey, message, Cose.normalizeLowS(signature), isBlind)
        return signature
      },
    }),
    offered: ({ head, signature, publicKey }) => {
      const ofKey = heads.get(hex(publicKey)) ?? new Map<string, SignedHead>()
      heads.set(hex(publicKey), ofKey)
      if (!ofKey.has(hex(head)))
        ofKey.set(hex(head), { head, signature: Cose.normalizeLowS(signature), hasLeft: false })
    },
    left: (head) => {
      for (const ofKey of heads.values()) {
        const one = ofKey.get(hex(head))
        if (one !== undefined) one.hasLeft = true
      }
    },
    addSource: (logId, source) => void sources.set(hex(logId), [...(sources.get(hex(logId)) ?? []), source]),
    exempt: (publicKey) => void exempt.add(hex(publicKey)),
    abandon: (logId) => void abandoned.add(hex(logId)),
    isAbandoned: (logId) => abandoned.has(hex(logId)),
    convict: async () => {
      const found = [...(await ofHeads()), ...(await ofTrees())]
      for (const one of checkpoints.values()) {
        const states = new Map(one.states)
        for (const { logId, publicKey, size, root } of chain.anchored()) {
          if (Bytes.equal(logId, one.logId) && Bytes.equal(publicKey, one.publicKey))
            states.set(`anchored/${size}/${hex(root)}`, { size, root, signature: undefined })
        }
        found.push(...(await ofStates(2, { ...one, states })))
      }
      for (const one of cosigned.values()) found.push(...(await ofStates(6, one)))
      found.push(...(await Promise.all(late)))
      return found.filter((one) => one !== undefined)
    },
    counts: () => ({
      heads: [...heads.values()].reduce((sum, ofKey) => sum + ofKey.size, 0),
      pledges: pledges.length,
      checkpoints: [...checkpoints.values()].reduce((sum, one) => sum + one.states.size, 0),
      cosignatures: [...cosigned.values()].reduce((sum, one) => sum + one.states.size, 0),
      anchored: chain.anchored().length,
    }),
  }
}
