import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { crypto } from 'assay/crypto/node'
import { Bytes, Checkpoint, Cose, Merkle, Note } from 'assay/protocol'
import * as scene from '../log/scene.ts'
import * as AddCheckpoint from './AddCheckpoint.ts'
import type { CosignRequest, Witness } from './Witness.ts'

const { chainId, anchorLog, logId } = scene.identity

/** A log of 20 entries with its witness, and statements of any size, true or not, signed by the log's key. */
async function begin(t: TestContext) {
  const folder = scene.temporaryFolder(t)
  const chain = scene.createChain()
  const both = await scene.openBoth(folder, chain)
  await Promise.all(Array.from({ length: 20 }, async (_, i) => both.log.append(await scene.request(BigInt(i)))))
  const request = async (from: bigint, size: bigint, root?: Uint8Array): Promise<CosignRequest> => {
    const statement = { chainId, anchorLog, logId, size, root: root ?? (await both.log.root(size)) }
    return { ...(await signed(statement)), proof: await both.log.consistency(from, size) }
  }
  return { folder, chain, request, ...both }
}

async function signed(statement: Checkpoint.Statement, signer = scene.signers.log) {
  const payload = Checkpoint.payload(crypto, Checkpoint.words(statement))
  return { statement, logSignature: await Cose.sign(crypto, signer, 'checkpoint', payload) }
}

const otherRoot = new Uint8Array(32).fill(0xee)

describe('cosign', () => {
  test('signs what extends the last, in both forms', async (t) => {
    const { witness, request, close } = await begin(t)
    await witness.cosign(await request(0n, 7n))
    const second = await request(7n, 20n)
    const { publicKey, signature, lines } = await witness.cosign(second)
    const payload = Checkpoint.payload(crypto, Checkpoint.words(second.statement))
    await Cose.verify(crypto, { tag: 'cosign', payload, signature, publicKey })
    const note = { text: Checkpoint.text(second.statement), signatures: lines }
    const key = { name: witness.name, publicKey: scene.signers.witnessNote.publicKey }
    const { timestampSeconds } = await Note.verifyCosignature(crypto, note, { type: 'cosignature', ...key })
    assert.ok(Math.abs(Number(timestampSeconds) - Date.now() / 1000) < 60)
    assert.deepEqual(witness.last(), { size: 20n, root: second.statement.root })
    await close()
  })

  test('persists before it signs', async (t) => {
    const { folder, chain, log, witness, request, close } = await begin(t)
    const first = await request(0n, 7n)
    await log.close()
    await witness.close()
    const steps: unknown[] = []
    const signer = { ...scene.signers.witness, sign: () => Promise.reject(new Error('power cut')) }
    const cut = await scene.openWitness(folder, chain, { signer, hooks: { reached: (step) => steps.push(step) } })
    await assert.rejects(cut.cosign(first), /power cut/)
    assert.deepEqual(steps, ['cosign-persisted'])
    await cut.close()
    const again = await scene.openWitness(folder, chain)
    assert.equal(again.last()?.size, 7n)
    await again.cosign(first)
    await again.close()
    await close().catch(() => {})
  })

  test('the same again is signed again', async (t) => {
    const { witness, request, close } = await begin(t)
    await witness.cosign(await request(0n, 7n))
    await witness.cosign(await request(0n, 7n))
    assert.deepEqual(witness.evidence(), [])
    await close()
  })

  test('refuses two roots of one size, smaller sizes and false proofs, and keeps both statements', async (t) => {
    const { folder, chain, witness, request, close } = await begin(t)
    const first = await request(0n, 7n)
    await witness.cosign(first)
    const refused: [string, CosignRequest][] = [
      ['witness-contradiction', await request(7n, 7n, otherRoot)],
      ['witness-stale-size', await request(1n, 5n, otherRoot)],
      ['root-mismatch', await request(7n, 9n, otherRoot)],
      ['proof-length', { ...(await request(7n, 20n)), proof: [] }],
    ]
    for (const [code, request] of refused) await assert.rejects(witness.cosign(request), { code })
    await assert.rejects(witness.cosign(await request(1n, 5n)), { code: 'witness-stale-size' })
    await close()
    const again = await scene.openWitness(folder, chain)
    assert.deepEqual(
      again.evidence(),
      refused.map(([, { statement, logSignature }]) => ({
        first: { statement: Checkpoint.words(first.statement), signature: first.logSignature },
        second: { statement: Checkpoint.words(statement), signature: logSignature },
      })),
    )
    assert.deepEqual(again.last()?.size, 7n)
    await again.close()
  })

  test('believes the entries that it holds and no first statement', async (t) => {
    const { witness, request, close } = await begin(t)
    await assert.rejects(witness.cosign(await request(0n, 7n, otherRoot)), Merkle.ConsistencyError)
    assert.equal(witness.last(), undefined)
    await close()
  })

  test('each part of the statement and the signature must be right', async (t) => {
    const { witness, request, close } = await begin(t)
    const good = await request(0n, 7n)
    const { statement } = good
    const other = new Uint8Array(32).fill(5)
    for (const [change, code] of [
      [{ chainId: 1n }, 'witness-other-log'],
      [{ anchorLog: other.slice(12) }, 'witness-other-log'],
      [{ logId: other }, 'witness-other-log'],
    ] as const) {
      await assert.rejects(witness.cosign({ ...(await signed({ ...statement, ...change })), proof: [] }), { code })
    }
    const forged = await signed(statement, scene.signers.node)
    await assert.rejects(witness.cosign({ ...forged, proof: [] }), { code: 'signature-mismatch' })
    await assert.rejects(witness.cosign({ ...good, statement: { ...statement, size: 8n } }), {
      code: 'signature-mismatch',
    })
    assert.deepEqual(witness.evidence(), [])
    await close()
  })

  test('two at once do not both extend the same one', async (t) => {
    const { witness, request, close } = await begin(t)
    const results = await Promise.allSettled([
      witness.cosign(await request(0n, 7n)),
      witness.cosign(await request(0n, 9n)),
    ])
    assert.deepEqual(
      results.map((result) => result.status),
      ['fulfilled', 'rejected'],
    )
    await close()
  })
})

describe('joining and stopping', () => {
  test('a new witness may join an old log', async (t) => {
    const { chain, log, witness, close } = await begin(t)
    chain.head = { size: 20n, root: await log.root(20n) }
    const fresh = await scene.openWitness(scene.temporaryFolder(t), chain)
    await fresh.mirror.announce({ size: 20n, pledgedSize: 20n, cosigned: undefined })
    await fresh.mirror.append(await witness.mirror.read(0n, 20n))
    const { statement, logSignature } = await signed({ chainId, anchorLog, logId, ...chain.head })
    await fresh.cosign({ statement, logSignature, proof: [] })
    await fresh.close()
    await close()
  })

  test('an emptied folder under a key that cosigned before stops', async (t) => {
    const { chain, log, close } = await begin(t)
    const fresh = await scene.openWitness(scene.temporaryFolder(t), chain)
    await fresh.mirror.announce({ size: 20n, pledgedSize: 20n, cosigned: { size: 20n, root: await log.root(20n) } })
    assert.equal(fresh.stopped(), 'behind-log')
    await fresh.close()
    await close()
  })

  test('another log key under a logId that its key has cosigned is not cosigned, though the folder knows nothing of it', async (t) => {
    const folder = scene.temporaryFolder(t)
    const keyFolder = join(folder, 'key')
    mkdirSync(keyFolder)
    const chain = scene.createChain()
    const other = { chainId, anchorLog, logId, publicKey: scene.signers.otherNode.publicKey }
    const open = (name: string, more: object = {}) =>
      scene.openWitness(folder, chain, { folder: join(folder, name), keyFolder, ...more })
    const cosignOf = async (witness: Witness, signer: Cose.Signer, name: string) => {
      const root = crypto.sha256(new TextEncoder().encode(name))
      const statement = { chainId, anchorLog, logId, size: 1n, root }
      const payload = Checkpoint.payload(crypto, Checkpoint.words(statement))
      const logSignature = await Cose.sign(crypto, signer, 'checkpoint', payload)
      return witness.cosign({ statement, logSignature, proof: [] })
    }
    const first = await open('witness')
    await cosignOf(first, scene.signers.log, 'one')
    await first.close()
    for (let i = 0; i < 2; i++) {
      const second = await open('witness2', { log: other })
      assert.equal(second.stopped(), 'other-log-key')
      await assert.rejects(cosignOf(second, scene.signers.otherNode, 'two'), { code: 'witness-stopped' })
      await second.close()
    }
    // Another number, and another key of the witness, are other matters.
    const further = await open('witness3', { log: { ...other, logId: crypto.sha256(logId) } })
    assert.equal(further.stopped(), undefined)
    await further.close()
    const again = await open('witness')
    assert.equal(again.stopped(), undefined)
    await again.close()
    const rotated = await open('witness4', { log: other, signer: scene.signers.otherNode })
    assert.equal(rotated.stopped(), undefined)
    await rotated.close()
    writeFileSync(join(keyFolder, 'logs.json'), '{')
    const unreadable = await open('witness5')
    assert.equal(unreadable.stopped(), 'other-log-key')
    await unreadable.close()
  })

  test('a contract that is ahead or contradicts stops it for good', async (t) => {
    for (const [size, root, reason] of [
      [21n, undefined, 'behind-contract'],
      [20n, otherRoot, 'contradicts-contract'],
    ] as const) {
      const { folder, chain, log, request, close } = await begin(t)
      const good = await request(0n, 20n)
      const trueRoot = await log.root(20n)
      await close()
      chain.head = { size, root: root ?? trueRoot }
      const stopped = await scene.openWitness(folder, chain, { recheckMs: 1 })
      assert.equal(stopped.stopped(), reason)
      await stopped.close()
      chain.head = { size: 20n, root: trueRoot }
      const still = await scene.openWitness(folder, chain)
      await assert.rejects(still.cosign(good), { code: 'witness-stopped' })
      await still.close()
    }
  })

  test('one false answer of the chain at start stops nothing', async (t) => {
    for (const falseAnswers of [1, 3]) {
      for (const [size, root] of [
        [21n, undefined],
        [20n, otherRoot],
      ] as const) {
        const { folder, chain, log, request, close } = await begin(t)
        const good = await request(0n, 20n)
        const trueRoot = await log.root(20n)
        await close()
        let asked = 0
        const logHead = async () =>
          ++asked <= falseAnswers ? { size, root: root ?? trueRoot } : { size: 20n, root: trueRoot }
        const witness = await scene.openWitness(folder, { ...chain, logHead }, { recheckMs: 1 })
        assert.equal(witness.stopped(), undefined)
        await witness.cosign(good)
        assert.equal(asked, falseAnswers + 1)
        await witness.close()
      }
    }
  })

  test('the mirror takes the same entries again and nothing that contradicts', async (t) => {
    const { witness, close } = await begin(t)
    const entries = await witness.mirror.read(0n, 20n)
    await witness.mirror.append(entries.slice(5))
    const other = { ...entries[3]!, ...(await scene.request(90n)) }
    const gap = { ...other, index: 21n }
    for (const wrong of [other, gap]) await assert.rejects(witness.mirror.append([wrong]), { code: 'mirror-conflict' })
    assert.equal(await witness.mirror.size(), 20n)
    await close()
  })
})

describe('add-checkpoint', () => {
  async function body(
    old: string,
    request: CosignRequest,
    change?: (note: Note.Note) => Note.Note,
  ): Promise<Uint8Array> {
    const { statement, logSignature } = request
    const log = { publicKey: scene.signers.log.publicKey, signature: logSignature }
    const note = Checkpoint.toNote(crypto, statement, { log })
    const proof = request.proof.map((hash) => `${Bytes.toBase64(hash)}\n`).join('')
    const bytes = Note.serialize(change?.(note) ?? note)
    return Bytes.concat(Bytes.fromUtf8(`${old}\n${proof}\n`), bytes)
  }

  test('answers by the protocol', async (t) => {
    const { witness, request, close } = await begin(t)
    const post = async (bytes: Uint8Array) => {
      const { status, body, contentType } = await AddCheckpoint.addCheckpoint(witness, crypto, bytes)
      return { status, text: Bytes.toUtf8(body), contentType }
    }
    const first = await post(await body('old 0', await request(0n, 7n)))
    assert.equal(first.status, 200)
    const lines = first.text.trimEnd().split('\n').map(Note.parseSignature)
    assert.deepEqual(
      lines.map((line) => line.name),
      [witness.name, witness.name],
    )
    assert.equal((await post(await body('old 7', await request(7n, 9n)))).status, 200)

    const stale = await post(await body('old 7', await request(7n, 20n)))
    assert.deepEqual(stale, { status: 409, text: '9\n', contentType: 'text/x.tlog.size' })
    assert.equal((await post(await body('old 9', await request(9n, 9n, otherRoot)))).status, 409)
    assert.equal((await post(await body('old 9', { ...(await request(9n, 20n)), proof: [] }))).status, 422)
    assert.equal((await post(await body('old 21', await request(9n, 20n)))).status, 400)
    for (const old of ['old -1', 'old 09', 'new 9', 'old 9 ']) {
      assert.equal((await post(await body(old, await request(9n, 20n)))).status, 400, old)
    }
    const forged = { ...(await request(9n, 20n)), logSignature: (await request(9n, 19n)).logSignature }
    assert.equal((await post(await body('old 9', forged))).status, 403)
    const unsigned = await body('old 9', await request(9n, 20n), (note) => ({
      ...note,
      signatures: note.signatures.map((line) => ({ ...line, keyId: new Uint8Array(4) })),
    }))
    assert.equal((await post(unsigned)).status, 403, 'no ES256 line of the log counts as no signature')
    const statement = { chainId, anchorLog, logId: otherRoot, size: 20n, root: otherRoot }
    assert.equal((await post(await body('old 9', { ...(await signed(statement)), proof: [] }))).status, 404)
    for (const bytes of [new Uint8Array(0), Bytes.fromUtf8('old 9\n\nno note'), new Uint8Array(70_000)]) {
      assert.equal((await post(bytes)).status, 400)
    }
    assert.equal(witness.last()?.size, 9n)
    await close()
  })
})
