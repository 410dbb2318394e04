/**
 * The Solidity libraries accept what the TypeScript accepts, and nothing else: vectors of others and mutations of good
 * statements go through both. Once on a chain with the P-256 precompile and once on one without, where OpenZeppelin
 * computes in Solidity.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { createP256Signer, crypto } from '../../src/crypto/node.ts'
import * as Bytes from '../../src/protocol/Bytes.ts'
import * as Cose from '../../src/protocol/Cose.ts'
import * as Merkle from '../../src/protocol/Merkle.ts'
import * as P256 from '../../src/protocol/P256.ts'
import { openVectors } from '../../tests/vectors.ts'
import * as Anvil from './Anvil.ts'
import { abi, bytecode } from './LibraryHarness.generated.ts'

const hex = Bytes.to0x
const signer = createP256Signer(new Uint8Array(32).fill(7))
const skip = Anvil.isAvailable ? false : '!! no anvil among the installed packages: Solidity is not compared'

/** Whether a check that throws on refusal accepts. */
async function isAccepted(check: () => unknown): Promise<boolean> {
  try {
    await check()
    return true
  } catch {
    return false
  }
}

/** Numbers that look random and are the same in every run. */
function createDraw(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[bit >> 3] = copy[bit >> 3]! ^ (1 << (bit & 7))
  return copy
}

for (const hardfork of ['osaka', 'prague'] as const) {
  describe(`Solidity libraries under ${hardfork}`, { skip }, () => {
    let chain: Anvil.Chain
    let harness: Anvil.Hex
    before(async () => {
      chain = await Anvil.start(hardfork)
      harness = await chain.deploy({ abi, bytecode }, [])
    })
    after(() => chain.stop())
    const ask = (functionName: string, ...args: unknown[]) => chain.call(harness, abi, functionName, args)
    const halves = (key: Uint8Array) => [hex(key.subarray(0, 32)), hex(key.subarray(32))] as const

    test('the chain has the precompile, or has it not', async () => {
      // The small valid signature with which OpenZeppelin looks for it.
      const input =
        '0xbb5a52f42f9c9261ed4361f59422a1e30036e7c32b270c8807a419feca605023' +
        '0000000000000000000000000000000000000000000000000000000000000005' +
        '0000000000000000000000000000000000000000000000000000000000000001' +
        'a71af64de5126a4a4e02b7922d66ce9415ce88a4c9d25514d91082c8725ac957' +
        '5d47723c8fbe580bb369fec9c2665d8e30a435b9932645482e7c9f11e872296b'
      const answer = await chain.request('eth_call', [{ to: `0x${'100'.padStart(40, '0')}`, data: input }])
      assert.equal(answer, hardfork === 'osaka' ? `0x${'1'.padStart(64, '0')}` : '0x')
    })

    test('wycheproof ECDSA P-256, fixed length', async (t) => {
      const suite = openVectors('wycheproof', t)
      if (suite === undefined) return
      const { testGroups } = suite.json('testvectors_v1/ecdsa_secp256r1_sha256_p1363_test.json')
      let [cases, accepted] = [0, 0]
      for (const group of testGroups) {
        const key = Bytes.fromHex(group.publicKey.uncompressed).subarray(1)
        for (const { tcId, msg, sig, result } of group.tests) {
          const message = Bytes.fromHex(msg)
          const signature = Bytes.fromHex(sig)
          const isLow = signature.length === 64 && Bytes.toBigInt(signature.subarray(32)) <= P256.halfOrder
          const expected = result === 'valid' && isLow
          const inTypeScript = await isAccepted(() => Cose.verifyMessage(crypto, message, signature, key))
          const digest = `0x${createHash('sha256').update(message).digest('hex')}`
          const onChain = await ask('isDigestSigned', digest, hex(signature), ...halves(key))
          assert.equal(onChain, expected, `${tcId} on chain`)
          assert.equal(inTypeScript, expected, `${tcId} in TypeScript`)
          cases++
          if (expected) accepted++
        }
      }
      t.diagnostic(`${cases} cases, ${accepted} accepted`)
      assert.ok(accepted > 50 && cases > 250)
    })

    test('RFC 6962 inclusion proofs', async (t) => {
      const suite = openVectors('rfc6962-merkle', t)
      if (suite === undefined) return
      let [cases, asked] = [0, 0]
      for (const path of suite.list('testdata/inclusion')) {
        const vector = suite.json(path)
        const [leafHash, root] = [Bytes.fromBase64(vector.leafHash ?? ''), Bytes.fromBase64(vector.root ?? '')]
        const proof = (vector.proof ?? []).map(Bytes.fromBase64) as Uint8Array[]
        const [index, size] = [BigInt(vector.leafIdx), BigInt(vector.treeSize)]
        cases++
        // Only what the ABI can carry reaches a contract: 32-byte words and unsigned 64-bit numbers.
        if (![leafHash, root, ...proof].every(({ length }) => length === 32) || index < 0n || size < 0n) {
          assert.equal(vector.wantErr, true, path)
          continue
        }
        asked++
        const args = [hex(leafHash), index, size, hex(root), proof.map(hex)]
        assert.equal(await ask('isIncluded', ...args), !vector.wantErr, path)
      }
      t.diagnostic(`${cases} cases, ${asked} asked on chain`)
      assert.ok(cases > 60 && asked > 40)
    })

    test('RFC 6962 consistency proofs', async (t) => {
      const suite = openVectors('rfc6962-merkle', t)
      if (suite === undefined) return
      let [cases, asked] = [0, 0]
      const notHashes: string[] = []
      for (const path of suite.list('testdata/consistency')) {
        const vector = suite.json(path)
        const [root1, root2] = [Bytes.fromBase64(vector.root1 ?? ''), Bytes.fromBase64(vector.root2 ?? '')]
        const proof = (vector.proof ?? []).map(Bytes.fromBase64) as Uint8Array[]
        cases++
        if (![root1, root2, ...proof].every(({ length }) => length === 32)) {
          if (!vector.wantErr) notHashes.push(path)
          continue
        }
        asked++
        const args = [BigInt(vector.size1), hex(root1), BigInt(vector.size2), hex(root2), proof.map(hex)]
        assert.equal(await ask('isConsistent', ...args), !vector.wantErr, path)
      }
      // Its equal "roots" are a text of 12 bytes; a contract is never given such.
      assert.deepEqual(notHashes, ['testdata/consistency/additional/sizes-are-equal-one-and-proof-is-empty.json'])
      t.diagnostic(`${cases} cases, ${asked} asked on chain`)
      assert.ok(cases > 60 && asked > 40)
    })

    test('signed bytes and key identifiers are equal', async () => {
      const payload = crypto.sha256(Uint8Array.of(1))
      for (const tag of Cose.tags) {
        assert.equal(await ask('toBeSigned', hex(Cose.aad(tag)), hex(payload)), hex(Cose.sigStructure(tag, payload)))
      }
      assert.equal(await ask('keyIdOf', ...halves(signer.publicKey)), hex(Cose.keyId(crypto, signer.publicKey)))
    })

    test('statements are the words that the spec lists', async () => {
      const contract = Uint8Array.from({ length: 20 }, (_, index) => index + 1)
      const [subject, other] = [crypto.sha256(Uint8Array.of(2)), crypto.sha256(Uint8Array.of(3))]
      const [x, y] = [signer.publicKey.subarray(0, 32), signer.publicKey.subarray(32)]
      const word = Bytes.u256
      const chainId = word(31337n)
      const of = (...words: Uint8Array[]) =>
        hex(crypto.sha256(Bytes.concat(chainId, new Uint8Array(12), contract, ...words)))
      assert.equal(await ask('keyPayload', hex(contract), hex(subject), 2, hex(x), hex(y)), of(subject, word(2n), x, y))
      assert.equal(
        await ask('checkpointPayload', hex(contract), hex(subject), 100_000n, hex(other)),
        of(subject, word(100_000n), other),
      )
      assert.equal(
        await ask('pledgePayload', hex(contract), hex(subject), hex(other), 5n, 6n, hex(subject)),
        of(subject, other, word(5n), word(6n), subject),
      )
    })

    test('mutated signatures', async () => {
      const draw = createDraw(1)
      for (let round = 0; round < 60; round++) {
        const tag = Cose.tags[draw(Cose.tags.length)]!
        let payload = crypto.sha256(Bytes.u32(round))
        let signature = await Cose.sign(crypto, signer, tag, payload)
        let publicKey = signer.publicKey
        const kind = draw(6)
        if (kind === 1) signature = flip(signature, draw(512))
        if (kind === 2) payload = flip(payload, draw(256))
        if (kind === 3) publicKey = flip(publicKey, draw(512))
        if (kind === 4) {
          const s = Bytes.u256(P256.order - Bytes.toBigInt(signature.subarray(32)))
          signature = Bytes.concat(signature.subarray(0, 32), s)
        }
        if (kind === 5) signature = signature.subarray(0, draw(64))
        const inTypeScript = await isAccepted(() => Cose.verify(crypto, { tag, payload, signature, publicKey }))
        const args = [hex(Cose.aad(tag)), hex(payload), hex(signature), ...halves(publicKey)]
        assert.equal(await ask('isSigned', ...args), inTypeScript, `round ${round}, kind ${kind}`)
        assert.equal(inTypeScript, kind === 0, `round ${round}, kind ${kind}`)
      }
    })

    test('mutated Merkle proofs', async () => {
      const draw = createDraw(2)
      const leaves = Array.from({ length: 300 }, (_, index) => Merkle.leafHash(crypto, Bytes.u32(index)))
      for (let round = 0; round < 120; round++) {
        let size2 = BigInt(1 + draw(leaves.length))
        let size1 = BigInt(1 + draw(Number(size2)))
        let root1 = Merkle.root(crypto, leaves.slice(0, Number(size1)))
        let root2 = Merkle.root(crypto, leaves.slice(0, Number(size2)))
        const consistency = Merkle.consistencyProof(crypto, leaves, size1, size2)
        const inclusion = Merkle.inclusionProof(crypto, leaves, size1 - 1n, size2)
        const leafHash = leaves[Number(size1) - 1]!
        const kind = draw(9)
        for (const proof of [consistency, inclusion]) {
          if (kind === 1 && proof.length > 0) proof[draw(proof.length)] = leaves[299]!
          if (kind === 2) proof.push(root2)
          if (kind === 3) proof.pop()
          if (kind === 4) proof.reverse()
        }
        if (kind === 5) root2 = flip(root2, draw(256))
        if (kind === 6) root1 = flip(root1, draw(256))
        if (kind === 7) size2 = [0n, size2 + 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n][draw(5)]!
        if (kind === 8) size1 = [0n, size1 + 1n, size2, 2n ** 63n, 2n ** 64n - 1n][draw(5)]!
        const both = [
          [
            await isAccepted(() =>
              Merkle.verifyConsistency(crypto, { size1, root1, size2, root2, proof: consistency }),
            ),
            await ask('isConsistent', size1, hex(root1), size2, hex(root2), consistency.map(hex)),
          ],
          [
            await isAccepted(() =>
              Merkle.verifyInclusion(crypto, {
                leafHash,
                index: size1 - 1n,
                size: size2,
                proof: inclusion,
                root: root2,
              }),
            ),
            await ask(
              'isIncluded',
              hex(leafHash),
              size1 === 0n ? 2n ** 64n - 1n : size1 - 1n,
              size2,
              hex(root2),
              inclusion.map(hex),
            ),
          ],
        ] as const
        for (const [inTypeScript, onChain] of both) assert.equal(onChain, inTypeScript, `round ${round}, kind ${kind}`)
        if (kind === 0) {
          assert.equal(both[0][0], true)
          const args = [hex(leafHash), size1 - 1n, size2, hex(root2), inclusion.map(hex)]
          assert.equal(await ask('isIncluded', ...args), true)
        }
      }
    })
  })
}
