/** mutations.test.ts - the prosecutor can convict: without any one of the disciplines an honest operator is soon slashable. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { createP256Signer } from 'assay/crypto/node'
import { Checkpoint, Cose, Merkle } from 'assay/protocol'
import * as Witness from '../../apps/node/src/witness/Witness.ts'
import * as CaseMutations from './CaseMutations.ts'
import * as Rules from './ContractRules.ts'
import * as ModelChain from './ModelChain.ts'
import * as Mutations from './Mutations.ts'
import * as Prosecutor from './Prosecutor.ts'
import * as Random from './Random.ts'
import * as Schedule from './Schedule.ts'

/** More than any of them has needed. */
const atMost = 400

describe('without a discipline', () => {
  for (const {
    name,
    make,
    classes,
    change = (schedule: Schedule.Schedule) => schedule,
    seed: first = 1,
  } of Mutations.all) {
    test(name, async (t) => {
      for (let seed = first; seed < first + atMost; seed++) {
        const { unjust } = await Schedule.run(change(Schedule.generate(seed), seed), make())
        const found = unjust.find((one) => classes.includes(one.class))
        if (found === undefined) continue
        return t.diagnostic(`F${found.class} after ${seed - first + 1} schedules (seed ${seed})`)
      }
      return assert.fail(`not found in ${atMost} schedules`)
    })
  }
})

describe('an answering service that is wrong in one thing', () => {
  for (const { name, make, classes } of CaseMutations.all) {
    test(name, async (t) => {
      for (let seed = 1; seed <= atMost; seed++) {
        const { unjust } = await Schedule.run(Schedule.generate(seed), make())
        const found = unjust.find((one) => classes.includes(one.class))
        if (found === undefined) continue
        return t.diagnostic(`F${found.class} after ${seed} schedules: ${found.detail}`)
      }
      return assert.fail(`not found in ${atMost} schedules`)
    })
  }
})

describe('a witness before a log that forks', () => {
  const filled = (length: number, value: number) => new Uint8Array(length).fill(value)

  /** Two histories with the same beginning are shown to a witness in turns, which starts anew now and then. */
  async function tempt(t: TestContext, seed: number, isForgetful: boolean): Promise<number> {
    const random = Random.create(seed)
    const chain = ModelChain.create(random, Schedule.pledgeBlocks)
    const prosecutor = Prosecutor.create(chain, Schedule.graceBlocks)
    const { crypto } = prosecutor
    const [logSigner, signer] = [createP256Signer(filled(32, 3)), createP256Signer(filled(32, 4))]
    const log = {
      ...{ chainId: Rules.chainId, anchorLog: Rules.anchorLog, logId: filled(32, 1), publicKey: logSigner.publicKey },
    }
    const folder = mkdtempSync(join(tmpdir(), 'assay-tempted-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    const open = () =>
      Witness.createWitness({
        ...{ folder, log, crypto, signer: prosecutor.overhear(signer) },
        chain: { logHead: async () => ({ size: 0n, root: Merkle.emptyRoot(crypto) }) },
      })
    const shared = Array.from({ length: random.below(4) }, () => random.bytes(32))
    const forks = [0, 1].map(() => [...shared, ...Array.from({ length: 12 }, () => random.bytes(32))])
    for (const leaves of forks) prosecutor.addSource(log.logId, (size) => leaves.slice(0, Number(size)))
    let witness = await open()
    for (let i = 0; i < 24; i++) {
      const leaves = random.pick(forks)
      const size = BigInt(1 + random.below(leaves.length))
      const last = witness.last()?.size ?? 0n
      const root = Merkle.root(crypto, leaves.slice(0, Number(size)))
      const { chainId, anchorLog, logId } = log
      const statement: Checkpoint.Statement = { chainId, anchorLog, logId, size, root }
      const payload = Checkpoint.payload(crypto, Checkpoint.words(statement))
      const logSignature = await Cose.sign(crypto, logSigner, 'checkpoint', payload)
      const isProvable = last > 0n && last < size
      const proof = isProvable ? Merkle.consistencyProof(crypto, leaves, last, size) : []
      await witness.cosign({ statement, logSignature, proof }).catch(() => {})
      if (random.chance(0.3)) {
        await witness.close()
        if (isForgetful) rmSync(join(folder, 'witness.db'), { force: true })
        witness = await open()
      }
    }
    await witness.close()
    return (await prosecutor.convict()).filter((one) => one.class === 6).length
  }

  test('never cosigns both', async (t) => {
    for (let seed = 1; seed <= 10; seed++) assert.equal(await tempt(t, seed, false), 0, `seed ${seed}`)
  })

  test('cosigns both when it forgets', async (t) => {
    for (let seed = 1; seed <= 20; seed++) {
      if ((await tempt(t, seed, true)) > 0) return t.diagnostic(`F6 after ${seed} schedules`)
    }
    return assert.fail('not found')
  })
})
