/** Broken.ts - bundles that contradict themselves in exactly one step; used by tests and written to vectors/verdict.json. */
import type * as Bundle from '../../src/protocol/Bundle.ts'
import * as Bytes from '../../src/protocol/Bytes.ts'
import * as Claims from '../../src/protocol/Claims.ts'
import * as Order from '../../src/protocol/Order.ts'
import * as Slot from '../../src/protocol/Slot.ts'
import type * as Integrity from '../../src/verify/Integrity.ts'
import * as World from './World.ts'

/** A bundle whose pieces a test may replace. */
export type Mutable = { -readonly [K in keyof Bundle.Bundle]: Bundle.Bundle[K] | undefined }

const flipped = (bytes: Uint8Array, at = 0): Uint8Array => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte))

/** One way to break exactly one step. */
export type Case = {
  readonly step: Integrity.StepName
  readonly what: string
  readonly changes?: World.Changes
  readonly change?: (bundle: Mutable) => void
}

const highS = (signature: Uint8Array): Uint8Array => {
  const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
  return Bytes.concat(signature.slice(0, 32), Bytes.u256(n - Bytes.toBigInt(signature.slice(32))))
}

const stakeProofs = ['word0', 'word1', 'word2', 'word5', 'openCases'] as const

export const cases: readonly Case[] = [
  {
    step: 'head',
    what: 'an unknown mode bit',
    change: (bundle) => {
      bundle.receipt = {
        ...(bundle.receipt as Bundle.Bundle['receipt']),
        head: flipped((bundle.receipt as Bundle.Bundle['receipt']).head, 105).map((byte, i) =>
          i === 105 ? 0x80 : byte,
        ),
      }
    },
  },
  {
    step: 'head-signature',
    what: 'the key of somebody else',
    change: (bundle) => {
      bundle.keys = { ...(bundle.keys as Bundle.Bundle['keys']), node: World.signers.stranger.publicKey }
    },
  },
  { step: 'head-signature', what: 'a signature under another tag', changes: { headTag: 'checkpoint' } },
  {
    step: 'head-signature',
    what: 'the high-S twin of the signature',
    change: (bundle) => {
      bundle.receipt = {
        ...(bundle.receipt as Bundle.Bundle['receipt']),
        signature: highS((bundle.receipt as Bundle.Bundle['receipt']).signature),
      }
    },
  },
  {
    step: 'claims-root',
    what: 'a value that is not the committed one',
    change: (bundle) => {
      const disclosed = new Map(bundle.disclosed)
      const opening = disclosed.get(15)
      if (opening !== undefined)
        disclosed.set(15, {
          ...opening,
          value: Claims.encode('outcome', {
            finish: 'length',
            error: null,
            usage: { prompt: 5n, completion: 3n },
            receivedMs: 1n,
            completedMs: 2n,
            clock: 'system',
          }),
        })
      bundle.disclosed = disclosed
    },
  },
  {
    step: 'salts',
    what: 'a zero salt in plain mode',
    changes: { salts: (salts) => void (salts[2] as Uint8Array).fill(0) },
  },
  { step: 'salts', what: 'a salted node claim in tee mode', changes: { head: { modeBits: 1 } } },
  {
    step: 'claim-values',
    what: 'a value that its definition does not allow',
    changes: { values: (values) => void values.set(15, Bytes.fromHex('a0')) },
  },
  {
    step: 'claim-values',
    what: 'head and slot 15 disagree on completion',
    changes: { head: { flags: 1 } },
  },
  {
    step: 'claim-values',
    what: 'modeBit exact with a profile that is not exact',
    changes: { claims: { engine: { name: 'x', version: '1', build: World.digestOf('build'), profile: 'onnx/1' } } },
  },
  {
    step: 'order',
    what: 'an order that is not the one in slot 1',
    changes: { claims: { order: World.digestOf('another order') } },
  },
  {
    step: 'order',
    what: 'a client that did not sign',
    changes: { order: { client: World.keyIdOf(World.signers.stranger) } },
  },
  { step: 'order', what: 'a signature under another tag', changes: { orderTag: 'receipt' } },
  { step: 'order', what: 'an order for another node', changes: { order: { nodeId: World.digestOf('another node') } } },
  { step: 'order', what: 'a mode that the receipt lacks', changes: { order: { modes: 1 } } },
  { step: 'order', what: 'another model', changes: { order: { model: World.digestOf('another model') } } },
  {
    step: 'order',
    what: 'terms that are not the signed ones',
    change: (bundle) => {
      bundle.order = bundle.order && {
        ...bundle.order,
        terms: Order.encodeTerms({ parties: ['node', 'everybody'], maxRetentionSeconds: 600 }),
      }
    },
  },
  {
    step: 'bodies',
    what: 'request bytes other than ordered',
    changes: { requestBytes: Bytes.fromUtf8('{"model":"tiny","messages":[]}') },
  },
  {
    step: 'bodies',
    what: 'request bytes that are not those of slot 2',
    change: (bundle) => {
      const body = bundle.bodies?.request
      if (body !== undefined)
        bundle.bodies = { ...bundle.bodies, request: { ...body, leaves: body.leaves.map((leaf) => flipped(leaf)) } }
    },
  },
  {
    step: 'bodies',
    what: 'the request salt of another order',
    change: (bundle) => {
      bundle.order = bundle.order && { ...bundle.order, requestSalt: World.digestOf('x').slice(0, 16) }
    },
  },
  {
    step: 'bodies',
    what: 'a swapped response',
    change: (bundle) => {
      const body = bundle.bodies?.response
      if (body !== undefined)
        bundle.bodies = { ...bundle.bodies, response: { ...body, leaves: body.leaves.map((leaf) => flipped(leaf, 5)) } }
    },
  },
  ...(['effective', 'output'] as const).map(
    (name): Case => ({
      step: 'bodies',
      what: `a flipped salt of body ${name}`,
      change: (bundle) => {
        const body = bundle.bodies?.[name]
        if (body !== undefined) bundle.bodies = { ...bundle.bodies, [name]: { ...body, salt: flipped(body.salt) } }
      },
    }),
  ),
  {
    step: 'bodies',
    what: 'a length in slot 4 that is not that of the chunks',
    changes: { values: (values) => replaceClaim(values, 'response', (claim) => ({ ...claim, bytes: 1n })) },
  },
  {
    step: 'bodies',
    what: 'a count in slot 5 that is not that of the leaves',
    changes: { values: (values) => replaceClaim(values, 'output', (claim) => ({ ...claim, count: 4 })) },
  },
  {
    step: 'manifest',
    what: 'weights that are not those of the manifest',
    changes: { claims: { weights: World.digestOf('other weights') } },
  },
  {
    step: 'manifest',
    what: 'a manifest that is not the one of slot 6',
    changes: { claims: { model: World.digestOf('other model') }, order: { model: new Uint8Array(32) } },
  },
  { step: 'pledge', what: 'a pledge for another receipt', changes: { pledge: { leafHash: World.digestOf('leaf 2') } } },
  { step: 'pledge', what: 'a pledge of another chain', changes: { pledge: { chainId: 1n } } },
  {
    step: 'pledge-signature',
    what: 'a pledge that somebody else signed',
    changes: { pledgeSigner: World.signers.stranger },
  },
  {
    step: 'checkpoint-signature',
    what: 'a checkpoint that somebody else signed',
    changes: { checkpointSigner: World.signers.stranger },
  },
  { step: 'inclusion', what: 'another index than the pledged one', changes: { pledge: { leafIndex: 2n } } },
  {
    step: 'inclusion',
    what: 'a proof with one hash more',
    change: (bundle) => {
      bundle.checkpoint = bundle.checkpoint && {
        ...bundle.checkpoint,
        proof: [...bundle.checkpoint.proof, World.digestOf('more')],
      }
    },
  },
  { step: 'cosignatures', what: 'a cosignature under another tag', changes: { cosignTag: 'checkpoint' } },
  {
    step: 'header',
    what: 'a hash that is not that of the header',
    change: (bundle) => {
      bundle.chain = bundle.chain && { ...bundle.chain, blockHash: World.digestOf('other block') }
    },
  },
  {
    step: 'registry-proof',
    what: 'a registry that names another key',
    changes: { keyRecord: { keyId: World.keyIdOf(World.signers.stranger) } },
  },
  {
    step: 'registry-proof',
    what: 'a proof with a node too many',
    change: (bundle) => {
      if (bundle.chain === undefined) return
      const { registry } = bundle.chain
      bundle.chain = {
        ...bundle.chain,
        registry: { ...registry, word0: [...registry.word0, registry.word0[0] as Uint8Array] },
      }
    },
  },
  {
    step: 'log-proof',
    what: 'a contract that names another log key',
    changes: { logRecord: { keyId: World.keyIdOf(World.signers.stranger) } },
  },
  { step: 'log-proof', what: 'another root anchored', changes: { step: { root: World.digestOf('other root') } } },
  { step: 'log-proof', what: 'a step younger than the header', changes: { step: { blockNumber: 111n } } },
  { step: 'stake-proof', what: 'another court in the stake manager', changes: { stake: { court: World.registry } } },
  {
    step: 'stake-proof',
    what: 'another stake manager in the court',
    changes: { stake: { managerOfCourt: World.registry } },
  },
  { step: 'stake-proof', what: 'other cases in the court', changes: { stake: { casesOfCourt: World.registry } } },
  ...(['node', 'log'] as const).flatMap((who): Case[] => [
    {
      step: 'stake-proof',
      what: `stake of another operator than the ${who}`,
      changes: { stake: { [who]: { operator: World.registry } } },
    },
    { step: 'stake-proof', what: `no index for the ${who}`, changes: { stake: { words: { [`${who}1`]: 0n } } } },
    {
      step: 'stake-proof',
      what: `more leaving than there is, of the ${who}`,
      changes: { stake: { [who]: { selfUnbonding: 100_001n * 10n ** 18n } } },
    },
    {
      step: 'stake-proof',
      what: `a bit of the ${who} that no field uses`,
      changes: { stake: { words: { [`${who}2`]: 1n << 192n } } },
    },
    ...stakeProofs.map(
      (name): Case => ({
        step: 'stake-proof',
        what: `a flipped byte in ${name} of the ${who}`,
        changes: { stake: {} },
        change: (bundle) =>
          withStake(bundle, (stake) => ({ ...stake, [who]: { ...stake[who], [name]: bent(stake[who][name]) } })),
      }),
    ),
    {
      step: 'stake-proof',
      what: `shares on their way out of the ${who}, passed off as absent`,
      changes: { stake: { [who]: { selfUnbonding: 10n ** 18n } } },
      change: (bundle) =>
        withStake(bundle, (stake) => {
          const other = who === 'node' ? 'log' : 'node'
          return { ...stake, [who]: { ...stake[who], word2: stake[other].word2 } }
        }),
    },
    {
      step: 'stake-proof',
      what: `open cases of the ${who}, passed off as absent`,
      changes: { stake: { [who]: { openCases: 2 } } },
      change: (bundle) =>
        withStake(bundle, (stake) => {
          const proof = stake[who].openCases
          return { ...stake, [who]: { ...stake[who], openCases: proof.slice(0, -1) } }
        }),
    },
  ]),
  {
    step: 'stake-proof',
    what: 'the stake of the node for that of the log',
    changes: { stake: {} },
    change: (bundle) => withStake(bundle, (stake) => ({ ...stake, log: stake.node })),
  },
  ...(['stakeManager', 'faultCourt', 'faultCases'] as const).flatMap((name): Case[] => [
    {
      step: 'stake-proof',
      what: `a flipped byte in the address of ${name}`,
      changes: { stake: {} },
      change: (bundle) =>
        withStake(bundle, (stake) => ({ ...stake, [name]: { ...stake[name], address: flipped(stake[name].address) } })),
    },
    {
      step: 'stake-proof',
      what: `a flipped byte in the account of ${name}`,
      changes: { stake: {} },
      change: (bundle) =>
        withStake(bundle, (stake) => ({ ...stake, [name]: { ...stake[name], account: bent(stake[name].account) } })),
    },
  ]),
  {
    step: 'stake-proof',
    what: 'a flipped byte in the terms of the stake manager',
    changes: { stake: {} },
    change: (bundle) =>
      withStake(bundle, (stake) => ({
        ...stake,
        stakeManager: { ...stake.stakeManager, terms: bent(stake.stakeManager.terms) },
      })),
  },
  ...(['penalties', 'cases'] as const).map(
    (name): Case => ({
      step: 'stake-proof',
      what: `a flipped byte in the ${name} of the court`,
      changes: { stake: {} },
      change: (bundle) =>
        withStake(bundle, (stake) => ({
          ...stake,
          faultCourt: { ...stake.faultCourt, [name]: bent(stake.faultCourt[name]) },
        })),
    }),
  ),
]

/** One bit of the last byte of a proof. */
function bent(proof: readonly Uint8Array[]): Uint8Array[] {
  return proof.map((node, i) => (i === proof.length - 1 ? flipped(node, node.length - 1) : node))
}

type StakePart = NonNullable<Bundle.ChainPiece['stake']>

function withStake(bundle: Mutable, change: (stake: StakePart) => StakePart): void {
  if (bundle.chain?.stake !== undefined) bundle.chain = { ...bundle.chain, stake: change(bundle.chain.stake) }
}

function replaceClaim<Name extends Claims.Name>(
  values: Map<number, Uint8Array>,
  name: Name,
  change: (claim: Claims.ClaimValues[Name]) => Claims.ClaimValues[Name],
): void {
  const slot = Slot.indexOf(name)
  values.set(slot, Claims.encode(name, change(Claims.decode(name, values.get(slot) as Uint8Array))))
}
