/** What a reporter believes of its court, and what it pays for: records by proofs only, no coin for a fault that takes nothing. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { contracts, filled, own, packed, registry, type Words, type World, worldOf } from '../../tests/fakes/Court.ts'
import * as CaseCalls from '../chain/CaseCalls.ts'
import * as Layout from '../chain/Layout.ts'
import * as Sender from '../chain/Sender.ts'
import { createP256Signer } from '../crypto/noble.ts'
import { crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import * as Fault from '../protocol/Fault.ts'
import * as Head from '../protocol/Head.ts'
import * as Pledge from '../protocol/Pledge.ts'
import * as Filing from './Filing.ts'
import { memoryFaultStore } from './Stores.ts'

const signer = createP256Signer(filled(32, 7))
const [nodeId, logId, other] = [filled(32, 1), filled(32, 8), filled(20, 6)]
const idOf = (file: Uint8Array) => Bytes.toHex(crypto.sha256(file))
const random = (length: number) => filled(length, 6)

async function twoHeads(): Promise<Uint8Array> {
  const head = {
    ...{ chainId: 7n, registry, nodeId, keyEpoch: 0, sequence: 1n, previous: filled(32, 2) },
    ...{ modeBits: 0, flags: 0, claimsRoot: filled(32, 3) },
  }
  const [headA, headB] = [Head.serialize(head), Head.serialize({ ...head, claimsRoot: filled(32, 4) })]
  const sign = (bytes: Uint8Array) => Cose.sign(crypto, signer, 'receipt', Head.payload(crypto, bytes))
  const signatures = { signatureA: await sign(headA), signatureB: await sign(headB) }
  return Fault.serialize({ class: 1, evidence: { headA, headB, ...signatures, publicKey: signer.publicKey } })
}
const incident = { class: 1, subject: nodeId, keyEpoch: 0, incident: Bytes.u256(1n) } as const
const faultId = Fault.faultId(crypto, incident)
const record = (reporter: Uint8Array, reward: bigint): Words[number] => [
  'faultCourt',
  Layout.faultSlot(crypto, faultId),
  packed([reporter, 160], [reward, 88], [1n, 8]),
]

/** Words 0 and 1 of the node: shares of both kinds, index, block of its end. */
function staked(self: bigint, delegated: bigint, index: bigint, endedAtBlock: bigint): Words {
  const [word0, word1] = Layout.stakeSlots(crypto, nodeId)
  return [
    ['stakeManager', word0, packed([self, 96], [delegated, 96])],
    ['stakeManager', word1, packed([index, 64], [3n, 96], [0n, 56], [endedAtBlock, 40])],
  ]
}

async function scene(given: Partial<World> = {}, file?: Uint8Array) {
  const bytes = file ?? (await twoHeads())
  const faults = memoryFaultStore()
  await faults.save(idOf(bytes), bytes)
  const { world, court } = worldOf(given)
  const advance = async () => {
    const [one] = (await Filing.advance({ crypto, court, faults, random })).faults
    const isOpen = (await faults.list('open')).length > 0
    return { stage: one?.stage, reason: one?.reason, waits: one?.waits, isOpen }
  }
  return { world, court, faults, advance }
}
const reverted = (errorName: string, isMined = false) =>
  new Sender.CallRevertedError('execution reverted', { errorName, args: [] }, isMined)
const refusing = (errorName: string) => () => {
  throw reverted(errorName)
}

describe('a record counts by its proof', () => {
  test('that another is on record is only said: nothing is given up, and nothing is sent', async () => {
    const { world, advance } = await scene({ says: { getFault: [Bytes.to0x(other), 0n, 1] } })
    for (let i = 0; i < 3; i++) {
      const { stage, isOpen } = await advance()
      assert.ok(stage !== 'recorded' && isOpen, stage)
    }
    world.says.getFault = [`0x${'00'.repeat(20)}`, 0n, 0]
    assert.equal((await advance()).stage, 'committed')
    world.says.getFault = [Bytes.to0x(other), 0n, 1]
    const sent = world.sent.length
    const { stage, isOpen } = await advance()
    assert.deepEqual([stage, isOpen, world.sent.length], ['committed', true, sent])
  })

  test('the same with AlreadyRecorded', async () => {
    const { world, advance } = await scene({ trial: refusing('AlreadyRecorded') })
    const { stage, isOpen } = await advance()
    assert.ok(stage !== 'recorded' && isOpen)
    world.trial = () => {}
    assert.equal((await advance()).stage, 'committed')
  })

  test('one that is shown is over only when a final block shows it', async () => {
    const said = { getFault: [Bytes.to0x(other), 0n, 1] }
    const { world, advance } = await scene({ latest: [record(other, 0n)], says: said })
    const waiting = { stage: 'recorded', reason: undefined, waits: 'finality', isOpen: true }
    assert.deepEqual(await advance(), waiting)
    world.finalized = [record(own, 0n)]
    assert.deepEqual(await advance(), waiting)
    world.finalized = [record(other, 0n)]
    assert.deepEqual(await advance(), { ...waiting, waits: undefined, isOpen: false })
  })

  test('a final block whose state is not shown shows nothing; a newest one is an error', async () => {
    const { world, advance } = await scene({ latest: [record(other, 0n)], finalized: [record(other, 0n)] })
    const bent = (block: string) => (method: string, params: readonly unknown[]) =>
      method === 'eth_getProof' && params[2] === block
        ? { accountProof: [], storageProof: [{ value: '0x0', proof: [] }] }
        : undefined
    world.answer = bent('0x32')
    assert.deepEqual(await advance(), { stage: 'recorded', reason: undefined, waits: 'finality', isOpen: true })
    world.answer = bent('0x64')
    await assert.rejects(advance(), { code: 'rpc-proof' })
  })

  test('a reward is fetched when the final state no longer owes it', async () => {
    const { world, advance } = await scene({ latest: [record(own, 9n)], finalized: [record(own, 9n)] })
    world.send = () => {
      world.latest = [record(own, 0n)]
    }
    assert.deepEqual((await advance()).waits, 'finality')
    assert.deepEqual(world.sent, ['claimReward'])
    world.finalized = [record(own, 0n)]
    assert.equal((await advance()).isOpen, false)
  })
})

describe('what costs and takes nothing', () => {
  const ended = staked(10n ** 20n, 0n, 0n, 90n)
  const left = { stage: 'covered', reason: 'nothing-left', waits: 'finality', isOpen: true }

  test('a subject that ended with nothing left is not accused on chain, for good once that is final', async () => {
    for (const words of [ended, staked(0n, 0n, 10n ** 18n, 90n)]) {
      const { world, advance } = await scene({ latest: words })
      assert.deepEqual(await advance(), left)
      assert.deepEqual(await advance(), left)
      world.finalized = words
      assert.deepEqual(await advance(), { ...left, waits: undefined, isOpen: false })
      assert.deepEqual(world.sent, [])
    }
  })

  test('stake that is left, on its way out too, and a subject that has not ended, are', async () => {
    for (const words of [
      [],
      staked(0n, 0n, 10n ** 18n, 0n),
      staked(1n, 0n, 10n ** 18n, 90n),
      staked(0n, 1n, 10n ** 18n, 90n),
    ]) {
      const { world, advance } = await scene({ latest: words, finalized: words })
      assert.equal((await advance()).stage, 'committed')
      assert.deepEqual(world.sent, ['commit'])
    }
  })

  test('an end that a reorganisation takes back, and one that comes after the commitment', async () => {
    const { world, advance } = await scene({ latest: ended })
    assert.deepEqual(await advance(), left)
    world.latest = []
    world.says.committedFrom = 1_000n
    assert.equal((await advance()).stage, 'committed')
    world.latest = ended
    world.says.committedFrom = 50n
    assert.deepEqual(await advance(), left)
    assert.deepEqual(world.sent, [])
  })

  test('what fails in blocks is paid for a few times, whatever its name', async () => {
    for (const errorName of ['NotCommitted', 'AlreadyRecorded', 'UnknownSigner']) {
      const { world, advance } = await scene()
      const commits: unknown[] = []
      world.send = (functionName, [commitment]) => {
        if (functionName === 'commit') {
          commits.push(commitment)
          world.says.committedFrom = 50n
          return
        }
        if (errorName === 'NotCommitted') world.says.committedFrom = 0n
        throw reverted(errorName, true)
      }
      for (let i = 0; i < 8; i++) await advance()
      assert.ok(world.sent.length <= 4, `${errorName}: ${world.sent}`)
      const { isOpen } = await advance()
      assert.equal(isOpen, false, errorName)
    }
  })

  test('a commitment that never shows is not sent for ever', async () => {
    const { world, advance } = await scene()
    for (let i = 0; i < 8; i++) await advance()
    assert.ok(world.sent.length <= 3, String(world.sent))
  })
})

describe('a pledge that is kept', () => {
  const words = (size: bigint): Words => [
    ['anchorLog', Layout.logHeadSlots(crypto, logId)[0], Bytes.u256(size)],
    ['faultCourt', Layout.observedSlot(crypto, logId, 40n), Bytes.u256(size + 1n)],
  ]
  async function pledged(how: 0 | 1 | 2 | 3, at: bigint): Promise<Uint8Array> {
    const pledge = {
      ...{ chainId: 7n, anchorLog: contracts.anchorLog.address, logId, leafHash: filled(32, 3), leafIndex: 4n },
      ...{ issuedAtBlock: 1n, issuedAtBlockHash: filled(32, 2) },
    }
    const bytes = Pledge.words(pledge)
    const signature = await Cose.sign(crypto, signer, 'pledge', crypto.sha256(bytes))
    return Fault.serialize({
      class: 4,
      evidence: { pledge: bytes, signature, publicKey: signer.publicKey, missing: how === 3, how, at },
    })
  }
  const says = {
    getLog: {
      ...{ operator: `0x${'11'.repeat(20)}`, pledgeBlocks: 600n, keyId: `0x${'11'.repeat(32)}`, headSize: 5n },
      ...{ x: `0x${'11'.repeat(32)}`, y: `0x${'11'.repeat(32)}`, headRoot: `0x${'11'.repeat(32)}` },
      ed25519Key: `0x${'00'.repeat(32)}`,
    },
  }

  test('in a block that is not final it may still not be', async () => {
    for (const [how, at] of [
      [0, 0n],
      [2, 40n],
    ] as const) {
      const { world, advance } = await scene(
        { trial: refusing('Kept'), latest: words(5n), says },
        await pledged(how, at),
      )
      for (const finalized of [[], words(4n)]) {
        world.finalized = finalized
        assert.deepEqual(await advance(), { stage: 'refused', reason: 'Kept', waits: 'court', isOpen: true }, `${how}`)
      }
      world.finalized = words(5n)
      assert.deepEqual(await advance(), { stage: 'refused', reason: 'Kept', waits: undefined, isOpen: false })
    }
  })

  test('an entry that was shown after all is withheld no more, once that is final', async () => {
    const slot = Layout.caseSlot(crypto, CaseCalls.entryCase(crypto, logId, 4n).caseId)
    const state = (value: bigint): Words => [['faultCases', slot, packed([own, 160], [9n, 40], [value, 8])]]
    const { world, advance } = await scene({ trial: refusing('NotWithheld'), says }, await pledged(3, 0n))
    for (const [latest, finalized] of [
      [[], []],
      [state(2n), state(1n)],
      [state(2n), state(3n)],
    ] as const) {
      world.latest = latest
      world.finalized = finalized
      const waiting = { stage: 'refused', reason: 'NotWithheld', waits: 'court', isOpen: true }
      assert.deepEqual(await advance(), waiting)
    }
    world.finalized = state(2n)
    assert.deepEqual(await advance(), { stage: 'refused', reason: 'NotWithheld', waits: undefined, isOpen: false })
  })

  test('a step is what it is: its size is in the file', async () => {
    const { advance } = await scene({ trial: refusing('Kept'), says }, await pledged(1, 5n))
    assert.equal((await advance()).isOpen, false)
    const lied = await scene({ trial: refusing('Kept'), says }, await pledged(1, 4n))
    assert.equal((await lied.advance()).isOpen, true)
  })
})
