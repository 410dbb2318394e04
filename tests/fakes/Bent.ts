/** Bent.ts - worlds and policies bent by an attacker; what is bent here is signed by whoever bends it, or not at all. */
import assert from 'node:assert/strict'
import { Bundle, Bytes, Checkpoint, Cose } from 'assay/protocol'
import type { Policy } from 'assay/verify'
import * as World from './World.ts'

const { crypto } = World

/** A policy of one requirement. */
export const policyOf = (requirements: Policy.Requirement, forbid: readonly string[] = []): Policy.Policy => ({
  name: 'mine',
  requirements,
  forbid,
  accept: [],
})

/** The same world around another file. */
export const withBundle = (world: World.World, bundle: Bundle.Bundle): World.World => ({
  ...world,
  bundle,
  bytes: Bundle.serialize(bundle),
})

/** The world with one cosignature more. */
export const cosign = async (world: World.World, signer: Cose.Signer) => {
  const { checkpoint } = world.bundle
  assert.ok(checkpoint)
  const { chainId, anchorLog, logId } = World
  const words = Checkpoint.words({ chainId, anchorLog, logId, size: checkpoint.size, root: checkpoint.root })
  const signature = await Cose.sign(crypto, signer, 'cosign', Checkpoint.payload(crypto, words))
  const cosignatures = [...checkpoint.cosignatures, { publicKey: signer.publicKey, signature }]
  cosignatures.sort((a, b) => Bytes.compare(a.publicKey, b.publicKey))
  return withBundle(world, { ...world.bundle, checkpoint: { ...checkpoint, cosignatures } })
}
