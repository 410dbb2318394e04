/**
 * generate-anchor-fixture.ts - writes contracts/test/fixtures/anchor-100000.json: the roots and consistency proofs with
 * which the gas of anchoring a log of 100,000 leaves is measured. Leaf i is the hash of the eight bytes of i.
 *
 *     node scripts/generate-anchor-fixture.ts
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as node from '../src/crypto/node.ts'
import * as Bytes from '../src/protocol/Bytes.ts'
import * as Merkle from '../src/protocol/Merkle.ts'

const { crypto } = node
const size = 100_000n
// One leaf, one second at 1,000 a second, two seconds at 5,000 a second, and the size with the longest proof of all.
const steps = { one: 99_999n, thousand: 99_000n, tenThousand: 90_000n, longest: longestProofFrom() }

function longestProofFrom(): bigint {
  let longest = { first: 1n, hashes: 0 }
  for (let first = 1n; first < size; first++) {
    const hashes = Merkle.consistencyRanges(first, size).length
    if (hashes > longest.hashes) longest = { first, hashes }
  }
  return longest.first
}

const leaves = Array.from({ length: Number(size) }, (_, index) => Merkle.leafHash(crypto, Bytes.u64(BigInt(index))))
const hex = (bytes: Uint8Array) => `0x${Bytes.toHex(bytes)}`
const fixture = {
  about: 'written by scripts/generate-anchor-fixture.ts',
  size: Number(size),
  root: hex(Merkle.root(crypto, leaves)),
  from: Object.fromEntries(
    Object.entries(steps).map(([name, first]) => [
      name,
      {
        size: Number(first),
        root: hex(Merkle.root(crypto, leaves.slice(0, Number(first)))),
        proof: Merkle.consistencyProof(crypto, leaves, first).map(hex),
      },
    ]),
  ),
}
writeFileSync(
  join(import.meta.dirname, '../contracts/test/fixtures/anchor-100000.json'),
  `${JSON.stringify(fixture, null, 2)}\n`,
)
for (const [name, { proof }] of Object.entries(fixture.from)) console.log(`${name}: ${proof.length} hashes`)
