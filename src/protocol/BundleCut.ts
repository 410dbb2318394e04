/** BundleCut.ts - taking pieces out of a bundle without any key: how a receipt is shown and a prompt is not. Source: spec/bundle.md section 1. */
import * as Body from './Body.ts'
import type { Bundle } from './Bundle.ts'
import * as Bytes from './Bytes.ts'
import * as ClaimsTree from './ClaimsTree.ts'
import type { Crypto } from './Crypto.ts'
import * as Slot from './Slot.ts'

/** What to take out; pieces that need a piece taken out go with it. */
export type Cut = {
  /** Disclosed slots that become hidden. */
  readonly slots?: readonly Slot.Name[]
  readonly bodies?: readonly Body.Name[]
  readonly order?: true
  readonly manifest?: true
  readonly chain?: true
  /** The proof of stake; the rest of the chain's piece stays. */
  readonly stake?: true
  readonly checkpoint?: true
  readonly pledge?: true
  /** Public keys (64 bytes) of the witnesses whose cosignatures stay; all others are taken out. */
  readonly keepCosigners?: readonly Uint8Array[]
}

type Mutable<T> = { -readonly [name in keyof T]: T[name] }

/** A smaller bundle of the same receipt; what is asked to go and is not there is no mistake. */
export function cut(crypto: Crypto, bundle: Bundle, what: Cut): Bundle {
  const disclosed = new Map(bundle.disclosed)
  const hidden = new Map(bundle.hidden)
  for (const name of what.slots ?? []) {
    const slot = Slot.indexOf(name)
    const opening = disclosed.get(slot)
    if (opening === undefined) continue
    disclosed.delete(slot)
    hidden.set(slot, ClaimsTree.leaf(crypto, slot, opening.salt, opening.value))
  }
  const small: Mutable<Bundle> = { ...bundle, disclosed, hidden }
  if (what.manifest || !disclosed.has(Slot.indexOf('model'))) delete small.manifest
  if (what.order || !disclosed.has(Slot.indexOf('order'))) delete small.order
  if (what.pledge) {
    delete small.pledge
    small.keys = { node: bundle.keys.node }
  }
  if (what.checkpoint || small.pledge === undefined) delete small.checkpoint
  if (what.chain) delete small.chain
  cutBodies(small, what.bodies ?? [])
  cutChain(small, what.stake === true)
  if (what.keepCosigners !== undefined) cutCosigners(small, what.keepCosigners)
  return small
}

function cutBodies(small: Mutable<Bundle>, names: readonly Body.Name[]): void {
  const bodies: Mutable<NonNullable<Bundle['bodies']>> = { ...small.bodies }
  for (const name of Body.names) {
    if (names.includes(name) || !small.disclosed.has(Body.slotOf(name))) delete bodies[name]
  }
  if (Object.keys(bodies).length > 0) small.bodies = bodies
  else delete small.bodies
  if (bodies.request === undefined && small.order !== undefined) {
    const { requestSalt, ...order } = small.order
    small.order = order
  }
}

function cutChain(small: Mutable<Bundle>, withoutStake: boolean): void {
  if (small.chain?.stake !== undefined && (withoutStake || small.pledge === undefined)) {
    const { stake, ...chain } = small.chain
    small.chain = chain
  }
  if (small.chain?.anchorLog === undefined) return
  const { anchorLog, ...chain } = small.chain
  if (small.pledge === undefined) small.chain = chain
  else if (small.checkpoint === undefined) {
    const { step0, step1, ...log } = anchorLog
    small.chain = { ...chain, anchorLog: log }
  }
}

function cutCosigners(small: Mutable<Bundle>, kept: readonly Uint8Array[]): void {
  if (small.checkpoint === undefined) return
  const cosignatures = small.checkpoint.cosignatures.filter(({ publicKey }) =>
    kept.some((key) => Bytes.equal(key, publicKey)),
  )
  small.checkpoint = { ...small.checkpoint, cosignatures }
}
