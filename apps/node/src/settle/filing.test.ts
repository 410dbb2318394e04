/** Filing against the real contracts: every class of fault file, crashes, thieves, reorganisations, and an account without coin. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { AssayTokenContract, ContractCall, CourtCalls, CourtEvents, FaultCalls, Rpc, Sender } from 'assay/chain'
import { Court, Filing, Stores } from 'assay/client'
import { fileFaultStore } from 'assay/client/node'
import { crypto } from 'assay/crypto/node'
import { Bytes, errors, Fault } from 'assay/protocol'
import { privateKeyToAccount } from 'viem/accounts'
import { trustAnchorsOf } from './deploy.ts'
import * as Evidence from './evidence.ts'
import { openProxy, openScene } from './scene.ts'

const random = (length: number) => new Uint8Array(randomBytes(length))
const idOf = (file: Uint8Array) => Bytes.toHex(crypto.sha256(file))

describe('filing', () => {
  let scene: Evidence.Scene
  let court: Court.Court
  before(async () => {
    scene = await openScene({ blockTimeSeconds: 0.1 })
    court = await newCourt()
  })
  after(() => scene?.close())

  /** An account of its own; `coin` in wei. */
  async function newCourt(coin = 10n ** 20n, rpc: Rpc.Rpc = scene.rpc): Promise<Court.Court> {
    const account = privateKeyToAccount(Bytes.to0x(random(32)) as `0x${string}`)
    await scene.rpc.request('anvil_setBalance', [account.address, `0x${coin.toString(16)}`])
    // A gift is in no block, so until the next one the newest header does not fit the state.
    await scene.rpc.request('anvil_mine', ['0x1'])
    const sender = Sender.create({ rpc, account, pollMs: 20 })
    return Court.from(trustAnchorsOf(scene.book), sender, rpc)
  }

  const mine = (blocks: number) => Evidence.mine(scene, blocks)
  const tokensOf = ({ sender }: Court.Court) => {
    const args = [Bytes.to0x(sender.address)] as const
    const call = { abi: AssayTokenContract.abi, functionName: 'balanceOf', args } as const
    return ContractCall.read(scene.rpc, scene.book.stake.token.address, call)
  }
  const stakeOf = (subject: Uint8Array) => CourtCalls.stakeOf(scene.rpc, scene.book.stake.stakeManager.address, subject)

  /** Advances until nothing but finality is waited for. */
  async function advance(of: Court.Court, faults: Stores.FaultStore, limit = 300): Promise<readonly Filing.Progress[]> {
    for (let round = 0; round < limit; round++) {
      const { faults: progress } = await Filing.advance({ crypto, court: of, faults, random })
      if (progress.every(({ waits }) => waits !== 'commitment' && waits !== 'chain')) return progress
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    throw new Error('not done in time')
  }

  async function storeWith(...files: readonly Uint8Array[]): Promise<Stores.FaultStore> {
    const faults = Stores.memoryFaultStore()
    for (const file of files) await faults.save(idOf(file), file)
    return faults
  }

  test('every class: filed, slashed, and the reporter paid', async () => {
    const [nodeA, nodeB, witness] = [
      await Evidence.newNode(scene, Evidence.roleOf.node),
      await Evidence.newNode(scene, Evidence.roleOf.node),
      await Evidence.newNode(scene, Evidence.roleOf.witness),
    ]
    const logs = []
    for (let i = 0; i < 5; i++) logs.push(await Evidence.newLog(scene))
    const [twice, leaf, entry, late, missing] = logs as [
      Evidence.Log,
      Evidence.Log,
      Evidence.Log,
      Evidence.Log,
      Evidence.Log,
    ]
    await mine(1_300)
    const at = await Filing.observe(court, late.logId)
    const cases: readonly (readonly [faultClass: number, subject: Uint8Array, file: Uint8Array, percent: bigint])[] = [
      [1, nodeA.nodeId, await Evidence.ofHeads(scene, nodeA, 1, 7n), 100n],
      [13, nodeB.nodeId, await Evidence.ofHeads(scene, nodeB, 13, 7n), 100n],
      [2, twice.logId, await Evidence.ofHistories(scene, twice), 100n],
      [3, leaf.logId, await Evidence.ofLeaf(scene, leaf), 100n],
      [5, entry.logId, await Evidence.ofEntry(scene, entry, nodeA), 100n],
      [6, witness.nodeId, await Evidence.ofCosignatures(scene, witness, late.logId), 100n],
      [4, late.logId, await Evidence.ofPledge(scene, late, { issuedAtBlock: 1n, missing: false, how: 2, at }), 1n],
      [
        104,
        missing.logId,
        await Evidence.ofPledge(scene, missing, { issuedAtBlock: 1n, missing: true, how: 0, at: 0n }),
        100n,
      ],
    ]
    const faults = await storeWith(...cases.map(([, , file]) => file))
    const tokens = await tokensOf(court)
    for (const [, subject] of cases) assert.equal((await stakeOf(subject)).self, Evidence.staked)
    const from = BigInt((await scene.rpc.request('eth_blockNumber')) as string)

    const progress = await advance(court, faults)

    assert.equal(progress.length, cases.length)
    let paid = 0n
    for (const [faultClass, subject, file, percent] of cases) {
      const one = progress.find(({ id }) => id === idOf(file))
      const lost = (Evidence.staked * percent) / 100n
      assert.equal(one?.stage, 'rewarded', `class ${faultClass}: ${one?.stage} ${one?.reason}`)
      assert.equal(one.incident?.class, faultClass)
      assert.equal(one.reward, lost / 4n)
      paid += lost / 4n
      const { self, isEnded } = await stakeOf(subject)
      assert.equal(self, Evidence.staked - lost)
      assert.equal(isEnded, percent === 100n && faultClass !== 104 ? true : isEnded)
    }
    assert.equal((await tokensOf(court)) - tokens, paid)

    const to = BigInt((await scene.rpc.request('eth_blockNumber')) as string)
    const contracts = {
      faultCourt: court.contracts.faultCourt.address,
      stakeManager: court.contracts.stakeManager.address,
    }
    const events = await CourtEvents.faultsRecorded(scene.rpc, contracts, { from, to })
    assert.deepEqual(events.map((one) => one.class).sort(), [1, 13, 2, 3, 5, 6, 4, 104].sort())
    for (const { slashed, reporter } of events) {
      assert.deepEqual(reporter, court.sender.address)
      assert.equal(slashed?.reward, slashed === undefined ? 1n : slashed.fromSelf / 4n)
    }

    // What is final is not looked at any more.
    await mine(100)
    await Filing.advance({ crypto, court, faults, random })
    assert.deepEqual(await faults.list('open'), [])
    assert.equal((await faults.list()).length, cases.length)
  })

  test('what the court refuses is never committed, and is asked about again only where the chain may change its mind', async () => {
    const node = await Evidence.newNode(scene, Evidence.roleOf.node)
    const log = await Evidence.newLog(scene)
    const stranger = { ...node, nodeId: random(32) }
    const newest = BigInt((await scene.rpc.request('eth_blockNumber')) as string)
    const bent = Fault.parse(await Evidence.ofHeads(scene, node, 1, 5n)) as Fault.Fault & { class: 1 }
    const bentFile = Fault.serialize({ class: 1, evidence: { ...bent.evidence, signatureB: bent.evidence.signatureA } })
    const files = [
      bentFile,
      await Evidence.ofHeads(scene, stranger, 1, 5n),
      await Evidence.ofPledge(scene, log, { issuedAtBlock: newest, missing: false, how: 0, at: 0n }),
      Uint8Array.of(1, 2, 3),
    ]
    const faults = await storeWith(...files)
    const poor = await newCourt(0n)
    const { faults: progress } = await Filing.advance({ crypto, court: poor, faults, random })
    const by = (file: Uint8Array) => progress.find(({ id }) => id === idOf(file))
    const told = files.map((file) => [by(file)?.stage, by(file)?.reason, by(file)?.waits])
    assert.deepEqual(told, [
      ['refused', 'BadSignature', undefined],
      ['refused', 'UnknownSigner', 'court'],
      ['refused', 'NotDue', 'court'],
      ['refused', 'fault-shape', undefined],
    ])
    assert.equal((await faults.list('open')).length, 2)
    await mine(601)
    const later = await advance(court, faults)
    assert.deepEqual(later.map(({ stage }) => stage).sort(), ['refused', 'rewarded'])
  })

  test('a crash at any point loses nothing and files once', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'assay-filing-'))
    const newest = BigInt((await scene.rpc.request('eth_blockNumber')) as string)
    if (newest < 2_500n) await mine(Number(2_500n - newest))
    let log = await Evidence.newLog(scene)
    try {
      let points = 0
      for (let window = 0; ; window++) {
        // Four incidents a log: the blocks of this chain hold no more deadlines.
        if (window > 0 && window % 4 === 0) log = await Evidence.newLog(scene)
        const tokens = await tokensOf(court)
        const at = await Filing.observe(court, log.logId)
        const issuedAtBlock = BigInt(window % 4) * 600n
        const file = await Evidence.ofPledge(scene, log, { issuedAtBlock, missing: false, how: 2, at })
        const store = fileFaultStore(join(folder, String(window)))
        await store.save(idOf(file), file)
        let left = window
        const crash = () => {
          if (left-- === 0) throw new Error('crash')
        }
        const crashing: Stores.FaultStore = {
          ...store,
          saveFiling: async (id, state) => {
            crash()
            await store.saveFiling(id, state)
            crash()
          },
        }
        const sender: Sender.Sender = {
          ...court.sender,
          send: async (call) => {
            crash()
            const mined = await court.sender.send(call)
            crash()
            return mined
          },
        }
        await advance({ ...court, sender }, crashing).catch((error: Error) => assert.equal(error.message, 'crash'))
        const isCrashed = left < 0
        // A new process: nothing but the folder and the chain is left.
        const progress = await advance(court, fileFaultStore(join(folder, String(window))))
        assert.equal(progress[0]?.stage, 'rewarded', `crash at ${window}`)
        const paid = (await tokensOf(court)) - tokens
        assert.ok(paid > 0n && paid <= Evidence.staked / 400n, `crash at ${window}: ${paid}`)
        points = window
        if (!isCrashed) break
        assert.ok(window < 16)
      }
      // Three transactions and the states between them, each with a crash before and after.
      assert.ok(points >= 12, String(points))
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  test('a reorganisation that takes commitment or record back', async () => {
    const node = await Evidence.newNode(scene, Evidence.roleOf.node)
    const file = await Evidence.ofHeads(scene, node, 1, 3n)
    const faults = await storeWith(file)
    const snapshot = async () => (await scene.rpc.request('evm_snapshot')) as string
    const revert = (id: string) => scene.rpc.request('evm_revert', [id])
    const one = await newCourt()
    let before = await snapshot()
    const stop: Sender.Sender = {
      ...one.sender,
      send: async (call) => {
        if (call.data.length > 300) throw new Sender.TransactionLostError('held back')
        return one.sender.send(call)
      },
    }
    await Filing.advance({ crypto, court: { ...one, sender: stop }, faults, random })
    assert.equal((await faults.load(idOf(file)))?.filing?.stage, 'committed')
    assert.notEqual((await faults.load(idOf(file)))?.filing?.committedFromBlock, undefined)
    const callData = (await faults.load(idOf(file)))?.filing?.callData
    await revert(before)
    before = await snapshot()
    const [filed] = await advance(one, faults)
    assert.equal(filed?.stage, 'rewarded')
    await revert(before)
    const [again] = await advance(one, faults)
    assert.equal(again?.stage, 'rewarded')
    assert.equal(again.reward, Evidence.staked / 4n)
    assert.deepEqual((await faults.load(idOf(file)))?.filing?.callData, callData)
  })

  test('a thief who copies the call is refused; one who has the file is first and has it', async () => {
    const thief = await newCourt()
    const faultCourt = court.contracts.faultCourt.address
    const [seen, stolen] = [await Evidence.newNode(scene, 1), await Evidence.newNode(scene, 1)]
    const first = await Evidence.ofHeads(scene, seen, 1, 3n)
    const faults = await storeWith(first)
    const robbed: Sender.Sender = {
      ...court.sender,
      send: async (call) => {
        if (call.data.length > 300) {
          // The call is on its way: it is sent by another first, as it is and behind a commitment that is too young.
          const isNotCommitted = (error: unknown) =>
            error instanceof Sender.CallRevertedError && error.errorName === 'NotCommitted'
          await assert.rejects(thief.sender.call({ to: faultCourt, data: call.data }), isNotCommitted)
          const statement = { chainId: court.chainId, faultCourt, callData: call.data, reporter: thief.sender.address }
          const data = CourtCalls.commit(FaultCalls.commitment(crypto, statement))
          const [mined] = await Promise.all([court.sender.send(call), thief.sender.send({ to: faultCourt, data })])
          return mined
        }
        return court.sender.send(call)
      },
    }
    const [own] = await advance({ ...court, sender: robbed }, faults)
    assert.equal(own?.stage, 'rewarded')
    assert.equal(own.reward, Evidence.staked / 4n)

    const second = await Evidence.ofHeads(scene, stolen, 1, 3n)
    const [mineToo, theirs] = [await storeWith(second), await storeWith(second)]
    const held = { ...court.sender, send: async () => Promise.reject(new Sender.TransactionLostError('held back')) }
    await Filing.advance({ crypto, court: { ...court, sender: held }, faults: mineToo, random })
    assert.equal((await mineToo.load(idOf(second)))?.filing?.stage, 'committed')
    assert.equal((await advance(thief, theirs))[0]?.stage, 'rewarded')
    const [late] = await advance(court, mineToo)
    assert.equal(late?.stage, 'recorded')
    assert.deepEqual(late.reporter, thief.sender.address)
    // A store that forgot everything finds its own record, and nothing is paid twice.
    const [known] = await advance(thief, await storeWith(second))
    assert.equal(known?.stage, 'rewarded')
    assert.equal(known.reward, 0n)
  })

  test('a call that passes before and fails in blocks is given up after three times', async () => {
    const node = await Evidence.newNode(scene, Evidence.roleOf.node)
    const file = await Evidence.ofHeads(scene, node, 1, 3n)
    const faults = await storeWith(file)
    let failed = 0
    const sender: Sender.Sender = {
      ...court.sender,
      send: async (call) => {
        if (call.data.length < 300) return court.sender.send(call)
        failed++
        throw new Sender.CallRevertedError('reverted in a block', undefined, true)
      },
    }
    const [given] = await advance({ ...court, sender }, faults)
    assert.deepEqual([given?.stage, given?.reason, given?.waits, failed], ['refused', 'reverted', undefined, 3])
  })

  test('many files of one incident are one filing', async () => {
    const log = await Evidence.newLog(scene)
    const at = await Filing.observe(court, log.logId)
    const files = []
    for (let i = 0; i < 40; i++) {
      const of = { issuedAtBlock: BigInt(i), missing: false, how: 2 as const, at }
      files.push(await Evidence.ofPledge(scene, log, of))
    }
    const faults = await storeWith(...files)
    let sent = 0
    const sender: Sender.Sender = {
      ...court.sender,
      send: (call) => {
        sent++
        return court.sender.send(call)
      },
    }
    const progress = await advance({ ...court, sender }, faults)
    assert.equal(progress.length, 1)
    assert.equal(progress[0]?.others, 39)
    assert.equal(sent, 3)
    await mine(100)
    await Filing.advance({ crypto, court, faults, random })
    assert.deepEqual(await faults.list('open'), [])
    const covered = await Promise.all(files.map(async (file) => (await faults.load(idOf(file)))?.filing))
    assert.equal(covered.filter((one) => one?.stage === 'covered' && one.coveredBy === progress[0]?.id).length, 39)
  })

  test('an account without coin, an endpoint that is away or of another chain, one that cannot try calls', async () => {
    const node = await Evidence.newNode(scene, Evidence.roleOf.node)
    const file = await Evidence.ofHeads(scene, node, 1, 3n)
    const faults = await storeWith(file)
    const poor = await newCourt(0n)
    const address = Bytes.to0x(poor.sender.address)
    const isPoor = (error: unknown) => error instanceof Sender.NoCoinError && error.address === address
    await assert.rejects(Filing.advance({ crypto, court: poor, faults, random }), isPoor)

    const proxy = await openProxy(scene.chain.url)
    try {
      const through = Rpc.create({ url: proxy.url, chainId: scene.book.chainId, retries: 2 })
      const one = await newCourt(10n ** 20n, through)
      proxy.mischief = () => 'drop'
      const isAway = (error: unknown) => errors.UnavailableError.isInstance(error) && error.code === 'rpc-unreachable'
      await assert.rejects(Filing.advance({ crypto, court: one, faults, random }), isAway)
      proxy.mischief = ({ method }) => (method === 'eth_chainId' ? () => '0x1' : undefined)
      await assert.rejects(Filing.advance({ crypto, court: one, faults, random }), { code: 'rpc-chain-id' })
      proxy.mischief = () => undefined
      const blind: Sender.Sender = { ...one.sender, call: (call) => one.sender.call(call) }
      const other = await storeWith(await Evidence.ofHeads(scene, node, 1, 4n))
      await assert.rejects(
        Filing.advance({ crypto, court: { ...one, sender: blind }, faults: other, random }),
        Filing.PreflightError,
      )
      // With coin and an endpoint the same file goes through, from another account than the one that wrote its call.
      assert.equal((await advance(one, faults))[0]?.stage, 'rewarded')
    } finally {
      await proxy.close()
    }
  })
})
