/** What an endpoint that lies, or fails for one file only, wanted from a reporter and does not get: evidence that is never filed. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { filled, registry, type World, worldOf } from '../../tests/fakes/Court.ts'
import * as Rpc from '../chain/Rpc.ts'
import * as Sender from '../chain/Sender.ts'
import { createP256Signer } from '../crypto/noble.ts'
import { crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Checkpoint from '../protocol/Checkpoint.ts'
import * as Cose from '../protocol/Cose.ts'
import * as Fault from '../protocol/Fault.ts'
import * as Head from '../protocol/Head.ts'
import * as Filing from './Filing.ts'
import { memoryFaultStore } from './Stores.ts'

const signer = createP256Signer(filled(32, 7))
const idOf = (file: Uint8Array) => Bytes.toHex(crypto.sha256(file))

/** Two heads in one place. */
async function twoHeads(sequence: bigint, change: Partial<Head.Head> = {}, modeBits = 0): Promise<Uint8Array> {
  const head = {
    ...{ chainId: 7n, registry, nodeId: filled(32, 1), keyEpoch: 0, sequence, previous: filled(32, 2) },
    ...{ modeBits: 0, flags: 0, claimsRoot: filled(32, 3), ...change },
  }
  const [headA, headB] = [Head.serialize(head), Head.serialize({ ...head, claimsRoot: filled(32, 4) })]
  for (const one of [headA, headB]) one[105] = modeBits
  const sign = (bytes: Uint8Array) => Cose.sign(crypto, signer, 'receipt', Head.payload(crypto, bytes))
  const signatures = { signatureA: await sign(headA), signatureB: await sign(headB) }
  return Fault.serialize({ class: 1, evidence: { headA, headB, ...signatures, publicKey: signer.publicKey } })
}

/** A court in memory that knows of nothing; `trial` answers for the call that is tried before it is committed to. */
function courtWith(trial: World['trial']) {
  const committed = new Set<unknown>()
  const { court } = worldOf({
    trial,
    says: { committedFrom: (commitment: unknown) => (committed.has(commitment) ? 1_000n : 0n) },
    send: (functionName, [commitment]) => {
      assert.equal(functionName, 'commit')
      committed.add(commitment)
    },
  })
  return { court, committed }
}

async function storeWith(files: readonly Uint8Array[]) {
  const faults = memoryFaultStore()
  for (const file of files) await faults.save(idOf(file), file)
  return faults
}

const refusing = (errorName: string) => () => {
  throw new Sender.CallRevertedError('execution reverted', { errorName, args: [] })
}
const random = (length: number) => filled(length, 6)

describe('filing through an endpoint that is no friend', () => {
  test('one file that cannot be tried does not hold back the others, and its error is told', async () => {
    const files = [await twoHeads(1n), await twoHeads(2n), await twoHeads(3n)]
    const faults = await storeWith(files)
    const parts = Fault.parse(files[0] as Uint8Array)
    assert.ok(parts.class === 1)
    const poison = Bytes.toHex(parts.evidence.headA)
    const { court, committed } = courtWith((callData) => {
      if (Bytes.toHex(callData).includes(poison))
        throw new Rpc.RequestError('rpc-refused', 'eth_call', 'request entity too large')
    })
    await assert.rejects(Filing.advance({ crypto, court, faults, random }), { code: 'rpc-refused' })
    assert.equal(committed.size, 2)
    const stages = await Promise.all(files.map(async (file) => (await faults.load(idOf(file)))?.filing?.stage))
    assert.deepEqual(stages, [undefined, 'committed', 'committed'])
  })

  test('an endpoint that is away is not asked about every file', async () => {
    const faults = await storeWith(await Promise.all(Array.from({ length: 30 }, (_, i) => twoHeads(BigInt(i + 1)))))
    let asked = 0
    const { court } = courtWith(() => {
      asked++
      throw new Rpc.RequestError('rpc-unreachable', 'eth_call', '')
    })
    await assert.rejects(Filing.advance({ crypto, court, faults, random }), { code: 'rpc-unreachable' })
    assert.ok(asked <= 8, String(asked))
  })

  test('evidence that holds is not given up because the endpoint says that its bytes are wrong', async () => {
    for (const errorName of ['BadSignature', 'SameHead', 'FieldsDiffer', 'MalformedHead', 'ForeignHead']) {
      // Unknown bits are no way out.
      const file = await twoHeads(1n, {}, 0x80)
      const faults = await storeWith([file])
      const { court } = courtWith(refusing(errorName))
      const [one] = (await Filing.advance({ crypto, court, faults, random })).faults
      assert.deepEqual([one?.stage, one?.reason, one?.waits], ['refused', errorName, 'court'], errorName)
      assert.equal((await faults.list('open')).length, 1)
      const honest = courtWith(() => {})
      const [later] = (await Filing.advance({ crypto, court: honest.court, faults, random })).faults
      assert.equal(later?.stage, 'committed')
    }
  })

  test('nor a state that the log signed, beside the one that it anchored at the same size', async () => {
    const log = { chainId: 7n, anchorLog: filled(20, 104), logId: filled(32, 8) }
    const words = Checkpoint.words({ ...log, size: 5n, root: filled(32, 1) })
    const signature = await Cose.sign(crypto, signer, 'checkpoint', Checkpoint.payload(crypto, words))
    const states = {
      stateA: { size: 5n, root: filled(32, 1), signature },
      stateB: { size: 5n, root: filled(32, 2) },
    }
    const file = Fault.serialize({ class: 2, evidence: { ...log, publicKey: signer.publicKey, ...states } })
    const faults = await storeWith([file])
    const { court } = courtWith(refusing('NotContradictory'))
    const [one] = (await Filing.advance({ crypto, court, faults, random })).faults
    assert.deepEqual([one?.stage, one?.reason, one?.waits], ['refused', 'NotContradictory', 'court'])
    assert.equal((await faults.list('open')).length, 1)
  })

  test('what its own bytes refute is given up at once', async () => {
    const parsed = Fault.parse(await twoHeads(1n))
    assert.ok(parsed.class === 1)
    const { signatureA } = parsed.evidence
    const bent = Fault.serialize({ class: 1, evidence: { ...parsed.evidence, signatureB: signatureA } })
    const elsewhere = [await twoHeads(1n, { chainId: 8n }), await twoHeads(1n, { registry: filled(20, 1) })]
    for (const [file, errorName] of [
      [bent, 'BadSignature'],
      [elsewhere[0] as Uint8Array, 'ForeignHead'],
      [elsewhere[1] as Uint8Array, 'ForeignHead'],
    ] as const) {
      const faults = await storeWith([file])
      const [one] = (await Filing.advance({ crypto, court: courtWith(refusing(errorName)).court, faults, random }))
        .faults
      assert.deepEqual([one?.stage, one?.reason, one?.waits], ['refused', errorName, undefined])
      assert.equal((await faults.list('open')).length, 0)
    }
  })
})
