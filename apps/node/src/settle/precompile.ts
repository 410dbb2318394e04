/**
 * precompile.ts - whether a chain checks P-256 signatures itself (EIP-7951, RIP-7212). Without it the contracts compute them:
 * the same results for about 227,000 gas more each. Source: spec/contracts.md section 1.
 */
import type { Rpc } from 'assay/chain'
import { Bytes } from 'assay/protocol'

const address = '0x0000000000000000000000000000000000000100'

/** A signature that holds: SHA-256 of the message, r, s, x, y, 32 bytes each. */
const knownGood =
  '0xbf988c44dfd3c23d8f769e2b7dce533b151b7a63edccb80fbeb386cba8c96b92' +
  'c594f62265e471a39b11d6101e63a12922b0218753bfa4787cbc7c62da6f62cd' +
  '850ecad3922d16c33876414dd8a33d0ea58c220e8e547b2c62bb07b2b5aaea68' +
  '1e18532fd4754c02f3041d9c75ceb33b83ffd81ac7ce4fe882ccb1c98bc5896e' +
  'a46c311c4e2ff40dd96a3653e6e45445d32dfe486eced75c7a90c6a18881c0a3'
const knownBad = `${knownGood.slice(0, -1)}4`

/** What stands at the precompile's address: itself, nothing, or something that answers otherwise (`other`: do not use the chain). */
export type P256 = 'precompile' | 'contracts' | 'other'

/** Asks with one signature that holds and one that does not; throws `Rpc.RequestError`. */
export async function findP256(rpc: Rpc.Rpc): Promise<P256> {
  await rpc.assertChain()
  const ask = (data: string) => rpc.request('eth_call', [{ to: address, data }, 'latest']) as Promise<string>
  const [good, bad] = await Promise.all([ask(knownGood), ask(knownBad)])
  if (good === Bytes.to0x(Bytes.u256(1n)) && bad === '0x') return 'precompile'
  return good === '0x' && bad === '0x' ? 'contracts' : 'other'
}

/** One line for people. */
export function describeP256(found: P256): string {
  if (found === 'precompile') return 'checks P-256 signatures itself'
  if (found === 'contracts')
    return 'has no P-256 precompile: everything works, each signature costs about 227,000 gas more'
  return 'answers wrongly at the address of the P-256 precompile: its contracts would take or refuse signatures at will'
}
