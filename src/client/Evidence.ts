/**
 * Evidence.ts - what the chain must say before a client believes its own evidence: that the accused is who signed, and what the fault
 * is judged by. Source: spec/client.md, spec/faults.md section 2.
 */
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import * as Fault from '../protocol/Fault.ts'
import { roles } from '../protocol/Identity.ts'
import * as Pledge from '../protocol/Pledge.ts'
import type { ChainAccess } from './ChainAccess.ts'
import * as WatchOfNode from './WatchOfNode.ts'

/** What only contracts know, as state proofs showed it: the arguments of `Fault.judge`. */
export type Known = { readonly anchored: Fault.Anchored; readonly terms: Fault.PledgeTerms }

/** Nothing known: what a fault shows then it shows by itself. */
export const nothing: Known = Object.freeze({
  anchored: () => undefined,
  terms: Object.freeze({
    ...{ pledgeBlocks: () => undefined, graceBlocks: undefined },
    ...{ seen: () => undefined, withheld: () => undefined },
  }),
})

/** What a fault says of the chain, taken as said: what it does not show even so, its own bytes refute. */
export function asSaid({ evidence }: Fault.Fault): Known {
  // Of two states of one size only the one without a signature is meant as anchored.
  const states: readonly Pick<Fault.State, 'size' | 'root'>[] =
    'stateA' in evidence
      ? [evidence.stateA, evidence.stateB].filter(({ signature }) => signature === undefined)
      : 'root' in evidence
        ? [evidence]
        : []
  return {
    anchored: (_, size) => states.find((state) => state.size === size)?.root,
    terms: {
      ...{ pledgeBlocks: () => 0n, graceBlocks: 0n, seen: () => ({ block: 2n ** 64n, size: 0n }) },
      withheld: () => ({ block: 2n ** 64n, lastBlock: 0n }),
    },
  }
}

/** What is known from several looks together. */
export function all(known: readonly Known[]): Known {
  const first = <T>(ask: (one: Known) => T | undefined): T | undefined => {
    for (const one of known) {
      const answer = ask(one)
      if (answer !== undefined) return answer
    }
    return undefined
  }
  return {
    anchored: (logId, size) => first(({ anchored }) => anchored(logId, size)),
    terms: {
      pledgeBlocks: (logId) => first(({ terms }) => terms.pledgeBlocks(logId)),
      graceBlocks: first(({ terms }) => terms.graceBlocks),
      seen: (logId, how, at) => first(({ terms }) => terms.seen(logId, how, at)),
      withheld: (logId, index) => first(({ terms }) => terms.withheld(logId, index)),
    },
  }
}

/**
 * Judges a fault by the chain as it is now.
 *
 * - returns: the finding; undefined where it accuses nobody here: statements for other contracts, a key that is not registered as
 *   the statement says
 *
 * Throws: `Fault.FaultRefusedError` when it shows nothing, `UnavailableError`s of the chain.
 */
export async function judge(
  crypto: Crypto,
  chain: ChainAccess,
  fault: Fault.Fault,
): Promise<{ readonly finding: Fault.Finding; readonly known: Known } | undefined> {
  const known = await knownTo(crypto, chain, fault)
  if (known === undefined) return undefined
  return { finding: await Fault.judge(crypto, fault, known.anchored, known.terms), known }
}

/** The facts for one fault; undefined where it accuses nobody here. */
export async function knownTo(crypto: Crypto, chain: ChainAccess, fault: Fault.Fault): Promise<Known | undefined> {
  switch (fault.class) {
    case 1:
    case 13: {
      const { headA, headB, publicKey } = fault.evidence
      for (const head of [headA, headB]) {
        if (!(await isRegistered(crypto, chain, WatchOfNode.signerOf(head), publicKey, roles.node))) return undefined
      }
      return nothing
    }
    case 2: {
      const { logId, stateA, stateB } = fault.evidence
      if ((await logOf(crypto, chain, fault.evidence)) === undefined) return undefined
      const unsigned = [stateA, stateB].filter((state) => state.signature === undefined)
      return {
        ...nothing,
        anchored: await anchoredAt(
          chain,
          logId,
          unsigned.map(({ size }) => size),
        ),
      }
    }
    case 3: {
      const pledge = Pledge.parse(fault.evidence.pledge)
      if ((await logOf(crypto, chain, { ...pledge, publicKey: fault.evidence.publicKey })) === undefined)
        return undefined
      return { ...nothing, anchored: await anchoredAt(chain, pledge.logId, [fault.evidence.size]) }
    }
    case 4:
      return termsOf(crypto, chain, fault.evidence)
    case 5: {
      const { anchorLog, logId, size } = fault.evidence
      if (!Bytes.equal(anchorLog, chain.contracts.anchorLog)) return undefined
      if ((await chain.logRecord(logId)) === undefined) return undefined
      return { ...nothing, anchored: await anchoredAt(chain, logId, [size]) }
    }
    case 6: {
      const { chainId, anchorLog, nodeId, keyEpoch, publicKey } = fault.evidence
      if (!Bytes.equal(anchorLog, chain.contracts.anchorLog)) return undefined
      const signer = { chainId, registry: chain.contracts.nodeRegistry, nodeId, keyEpoch }
      return (await isRegistered(crypto, chain, signer, publicKey, roles.witness)) ? nothing : undefined
    }
  }
}

/** Says whether a key is the registered one of a node, under a role; ended or not, because a signature has no time. */
export async function isRegistered(
  crypto: Crypto,
  chain: ChainAccess,
  signer: ReturnType<typeof WatchOfNode.signerOf>,
  publicKey: Uint8Array,
  role: number,
): Promise<boolean> {
  if (signer.chainId !== chain.chainId || !Bytes.equal(signer.registry, chain.contracts.nodeRegistry)) return false
  const record = await chain.keyRecord(signer)
  return record !== undefined && record.role === role && Bytes.equal(record.keyId, Cose.keyId(crypto, publicKey))
}

/** The record of the log that made a statement under a key, if the statement is for these contracts and the key is the log's. */
export async function logOf(
  crypto: Crypto,
  chain: ChainAccess,
  said: {
    readonly chainId: bigint
    readonly anchorLog: Uint8Array
    readonly logId: Uint8Array
    readonly publicKey: Uint8Array
  },
): Promise<Awaited<ReturnType<ChainAccess['logRecord']>>> {
  if (said.chainId !== chain.chainId || !Bytes.equal(said.anchorLog, chain.contracts.anchorLog)) return undefined
  const record = await chain.logRecord(said.logId)
  return record !== undefined && Bytes.equal(record.keyId, Cose.keyId(crypto, said.publicKey)) ? record : undefined
}

async function termsOf(crypto: Crypto, chain: ChainAccess, evidence: Fault.F4): Promise<Known | undefined> {
  const pledge = Pledge.parse(evidence.pledge)
  const { logId } = pledge
  const record = await logOf(crypto, chain, { ...pledge, publicKey: evidence.publicKey })
  if (record === undefined) return undefined
  const { leafIndex } = pledge
  const seen = evidence.how === 3 ? undefined : await seenAt(chain, logId, evidence.how, evidence.at)
  const withheld = evidence.how === 3 ? await chain.withheld(logId, leafIndex) : undefined
  const graceBlocks = evidence.missing ? (await chain.courtTerms())?.graceBlocks : undefined
  return {
    ...nothing,
    terms: {
      pledgeBlocks: (id) => (Bytes.equal(id, logId) ? record.pledgeBlocks : undefined),
      graceBlocks,
      seen: (id, how, at) => (Bytes.equal(id, logId) && how === evidence.how && at === evidence.at ? seen : undefined),
      withheld: (id, index) => (Bytes.equal(id, logId) && index === leafIndex ? withheld : undefined),
    },
  }
}

/** Where and at which size a log's head was seen, as `how` and `at` of an F4 name it. */
export async function seenAt(
  chain: ChainAccess,
  logId: Uint8Array,
  how: 0 | 1 | 2,
  at: bigint,
): Promise<{ readonly block: bigint; readonly size: bigint } | undefined> {
  if (how === 0) return chain.logHead(logId)
  if (how === 1) {
    const step = await chain.step(logId, at)
    return step && { block: step.blockNumber, size: at }
  }
  const size = await chain.observed(logId, at)
  return size === undefined ? undefined : { block: at, size }
}

async function anchoredAt(chain: ChainAccess, logId: Uint8Array, sizes: readonly bigint[]): Promise<Fault.Anchored> {
  const roots = new Map<bigint, Uint8Array>()
  for (const size of sizes) {
    const step = await chain.step(logId, size)
    if (step !== undefined) roots.set(size, step.root)
  }
  return (id, size) => (Bytes.equal(id, logId) ? roots.get(size) : undefined)
}
