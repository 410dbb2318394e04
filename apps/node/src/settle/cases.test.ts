/** Cases against the real contracts: an entry and a slot that are asked for, answered or not, and what a client may spend. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { AssayTokenContract, CaseCalls, ContractCall, CourtCalls, FaultCasesContract, Sender } from 'assay/chain'
import { Cases, Court, Filing, Stores } from 'assay/client'
import { crypto } from 'assay/crypto/node'
import { Bytes, ClaimsTree, Fault, Head, Merkle, Order } from 'assay/protocol'
import { privateKeyToAccount } from 'viem/accounts'
import { encode } from './contract-call.ts'
import { trustAnchorsOf } from './deploy.ts'
import * as Evidence from './evidence.ts'
import { newSigner, openScene } from './scene.ts'

const random = (length: number) => new Uint8Array(randomBytes(length))
const hex = Bytes.to0x
const abi = FaultCasesContract.abi
type CaseState = Stores.CaseState

/** A claims tree with some slots, and the siblings of each from the leaf up. */
function claimsOf(values: ReadonlyMap<number, Uint8Array>) {
  const salts = Array.from({ length: 16 }, () => random(16))
  const leaves = salts.map((salt, slot) => {
    const value = values.get(slot)
    return value === undefined ? ClaimsTree.unusedLeaf(crypto, slot) : ClaimsTree.leaf(crypto, slot, salt, value)
  })
  const opening = (slot: number): CaseCalls.Opening => {
    const path: Uint8Array[] = []
    let row: readonly Uint8Array[] = leaves
    for (let at = slot; row.length > 1; at >>= 1) {
      path.push(row[at ^ 1] as Uint8Array)
      row = Array.from({ length: row.length / 2 }, (_, i) =>
        Merkle.nodeHash(crypto, row[2 * i] as Uint8Array, row[2 * i + 1] as Uint8Array),
      )
    }
    return { salt: salts[slot] as Uint8Array, value: values.get(slot) ?? new Uint8Array(0), path }
  }
  return { root: ClaimsTree.root(crypto, leaves), opening }
}

describe('cases', () => {
  let scene: Evidence.Scene
  let court: Court.Court
  let node: Evidence.Node
  let log: Evidence.Log
  let receipt: Cases.Receipt
  let entry: Uint8Array
  let claims: ReturnType<typeof claimsOf>
  let words: Uint8Array
  const orderSigner = newSigner()
  before(async () => {
    scene = await openScene({ blockTimeSeconds: 0.1 })
    const account = privateKeyToAccount(hex(random(32)) as `0x${string}`)
    await scene.rpc.request('anvil_setBalance', [account.address, hex(Bytes.u256(10n ** 20n))])
    const sender = Sender.create({ rpc: scene.rpc, account, pollMs: 20 })
    court = Court.from(trustAnchorsOf(scene.book), sender, scene.rpc)
    node = await Evidence.newNode(scene, Evidence.roleOf.node)
    log = await Evidence.newLog(scene)
    const zero = new Uint8Array(32)
    const order: Order.Order = {
      ...{ nodeId: node.nodeId, client: crypto.sha256(orderSigner.publicKey), model: zero, requestHash: random(32) },
      ...{ policyCommitment: zero, modes: 0, asset: new Uint8Array(20), maxPrice: 0n, nonce: random(16), notAfter: 1n },
      ...{ exposureTermsHash: zero, parentsHash: zero, replyKeyHash: zero },
    }
    words = Order.words(order)
    const { chainId, nodeRegistry } = scene.book
    const orderHash = Order.hash(crypto, order, { chainId, registry: nodeRegistry.address })
    const slots = new Map([
      [1, Bytes.concat(Bytes.fromHex('5820'), orderHash)],
      [5, Bytes.fromUtf8('the answer')],
      [6, Bytes.fromUtf8('the model')],
    ])
    claims = claimsOf(slots)
    const made = await Evidence.receiptOf(scene, node, claims.root)
    entry = made.entry
    await Evidence.anchor(scene, log, made.leaves.slice(0, 2))
    const { size } = await Evidence.anchor(scene, log, made.leaves, 2n)
    const proof = Merkle.inclusionProof(crypto, made.leaves, 2n, size)
    const { head, signature, publicKey } = made
    receipt = { head: { head, signature, publicKey }, place: { logId: log.logId, index: 2n, size, proof } }
  })
  after(() => scene?.close())

  /** ASY of this client's account. */
  const tokens = () => {
    const args = [hex(court.sender.address)] as const
    const call = { abi: AssayTokenContract.abi, functionName: 'balanceOf', args } as const
    return ContractCall.read(scene.rpc, scene.book.stake.token.address, call)
  }
  const options = (cases = Stores.memoryCaseStore()): Cases.Options => ({ crypto, court, cases })
  const answer = (functionName: 'answerEntry' | 'answerOpening' | 'answerAbsent', args: readonly unknown[]) =>
    scene.sender.send({
      to: court.contracts.faultCases.address,
      data: encode({ abi, functionName, args } as never),
    })
  const headWords = () => ({
    head: hex(receipt.head.head),
    signature: hex(receipt.head.signature),
    x: hex(receipt.head.publicKey.subarray(0, 32)),
    y: hex(receipt.head.publicKey.subarray(32)),
  })

  test('an entry that is answered comes back as evidence, and the bond is gone', async () => {
    const open = options()
    const asked = await Cases.challengeEntry(open, { logId: log.logId, index: 2n })
    assert.equal(asked.state.stage, 'open')
    assert.ok(asked.state.bond >= 10n ** 15n && asked.state.bond % 10n ** 9n === 0n)
    // Asked again: the same case, no second bond.
    assert.equal((await Cases.challengeEntry(open, { logId: log.logId, index: 2n })).state.bond, asked.state.bond)
    const place = { ...receipt.place, logId: hex(log.logId), proof: receipt.place.proof.map(hex) }
    await answer('answerEntry', [place, hex(entry), headWords()])
    const [followed] = await Cases.follow(open)
    assert.equal(followed?.state.stage, 'answered')
    assert.deepEqual(followed.entry?.entry, entry)
    assert.deepEqual(followed.entry?.head, receipt.head.head)
    assert.deepEqual(followed.entry?.publicKey, receipt.head.publicKey)
    assert.equal(await Cases.withdrawCredit(court), 0n)
    // Nothing is open, and yet what was lost counts: whoever answers on chain alone would earn without end.
    const more = { ...open, spendLimit: asked.state.bond + 1n }
    await assert.rejects(Cases.demandOpening(more, receipt, 7), Cases.SpendLimitError)
  })

  test('slots: open to all, of the order alone, and not used', async () => {
    const open = options()
    const model = await Cases.demandOpening(open, receipt, 6)
    assert.equal(model.state.stage, 'open')
    const content = await Cases.demandContent(open, receipt, 5, {
      ...{ words, opening: claims.opening(1), signer: orderSigner },
    })
    assert.equal(content.state.stage, 'open')
    assert.ok(content.state.bond > model.state.bond)
    await Cases.demandOpening(open, receipt, 13)
    const strange = { words, opening: claims.opening(1), signer: newSigner() }
    const isRefused = (name: string) => (error: unknown) =>
      error instanceof Sender.CallRevertedError && error.errorName === name
    // Three are open: the next bond would be eight times the plain one, for whoever asks.
    await assert.rejects(Cases.demandOpening(open, receipt, 8), Cases.CrowdedError)
    for (const slot of [5, 6]) {
      const { salt, value, path } = claims.opening(slot)
      const opening = { salt: hex(salt), value: hex(value), path: path.map(hex) }
      await answer('answerOpening', [hex(receipt.head.head), slot, opening])
    }
    await answer('answerAbsent', [hex(receipt.head.head), 13, claims.opening(13).path.map(hex)])
    await assert.rejects(Cases.demandContent(open, receipt, 4, strange), isRefused('NotOrderSigner'))
    await assert.rejects(Cases.demandOpening(open, receipt, 4), isRefused('SlotNotOpenToAll'))
    const followed = await Cases.follow(open)
    assert.deepEqual(
      followed.map(({ state }) => state.stage),
      ['answered', 'answered', 'answered'],
    )
    const values = followed.map(({ slot }) => (slot === undefined ? undefined : Bytes.toUtf8(slot.value)))
    assert.deepEqual(values, ['the model', 'the answer', undefined])
  })

  test('what an endpoint makes up is not taken for an answer', async () => {
    const open = options()
    await Cases.demandOpening(open, receipt, 7)
    await answer('answerAbsent', [hex(receipt.head.head), 7, claims.opening(7).path.map(hex)])
    const forged = encodeSlot(receipt.head.head)
    const rpc = {
      ...scene.rpc,
      request: async (method: string, params?: readonly unknown[]) =>
        method === 'eth_getLogs' ? [forged(court.contracts.faultCases.address)] : scene.rpc.request(method, params),
    }
    const [followed] = await Cases.follow({ ...open, court: { ...court, rpc } })
    assert.equal(followed?.state.stage, 'answered')
    assert.equal(followed.slot, undefined)
  })

  test('no more than the limit is bound, and a receipt of unknown age is not asked for', async () => {
    const open = { ...options(), spendLimit: 3n * 10n ** 15n }
    const first = await Cases.challengeEntry(open, { logId: log.logId, index: 1n })
    assert.equal(first.state.stage, 'open')
    await assert.rejects(
      Cases.demandOpening({ ...open, spendLimit: first.state.bond }, receipt, 8),
      Cases.SpendLimitError,
    )
    const isNotCovered = (error: unknown) =>
      error instanceof Sender.CallRevertedError && error.errorName === 'NotCovered'
    await assert.rejects(Cases.challengeEntry(open, { logId: log.logId, index: 99n }), isNotCovered)
    assert.deepEqual(await Cases.seenBefore(court, receipt.place), { how: 1, seenAt: 2n })
    // A log is registered with size 0.
    const young = await Evidence.newLog(scene)
    const place = { ...receipt.place, logId: young.logId, index: 0n }
    assert.deepEqual(await Cases.seenBefore(court, place), { how: 1, seenAt: 0n })
    await Evidence.mine(scene, 1_300)
    await assert.rejects(Cases.seenBefore(court, place), Cases.NoAgeError)
    const at = await Filing.observe(court, young.logId)
    assert.deepEqual(await Cases.seenBefore(court, place), { how: 2, seenAt: at })
  })

  test('an entry that nobody shows becomes a fault: bond back, reward fetched', async () => {
    const open = options()
    const own = await Evidence.newLog(scene)
    await Evidence.anchor(scene, own, [random(32), random(32)])
    // A crash between the note and the bond, and one after the bond.
    const crashing: Sender.Sender = { ...court.sender, send: async () => Promise.reject(new Error('crash')) }
    const asked = { logId: own.logId, index: 0n }
    const crashed = { ...open, court: { ...court, sender: crashing } }
    await assert.rejects(Cases.challengeEntry(crashed, asked), /crash/)
    assert.equal((await Cases.follow(open))[0]?.state.stage, 'opening')
    const late: Sender.Sender = {
      ...court.sender,
      send: async (call) => {
        await court.sender.send(call)
        throw new Error('crash')
      },
    }
    await assert.rejects(Cases.challengeEntry({ ...open, court: { ...court, sender: late } }, asked), /crash/)
    const [found] = await Cases.follow(open)
    assert.equal(found?.state.stage, 'open')
    const { bond, subject } = (await Cases.challengeEntry(open, asked)).state
    assert.equal(await CaseCalls.openCases(scene.rpc, court.contracts.faultCases.address, subject), 1n)

    assert.equal((await Cases.follow({ ...open, expire: true }))[0]?.state.stage, 'open')
    await Evidence.mine(scene, 301)
    // Without leave to send, nothing is sent.
    assert.equal((await Cases.follow(open))[0]?.state.stage, 'open')
    const before = await tokens()
    const taken = (await scene.rpc.request('evm_snapshot', [])) as string
    // A crash before and after each of the three transactions.
    let sent = 0
    for (const isSent of [false, true, false, true, false, true]) {
      const ending: Sender.Sender = {
        ...court.sender,
        send: async (call) => {
          if (isSent) await court.sender.send(call)
          throw new Error('crash')
        },
      }
      await assert.rejects(Cases.follow({ ...open, expire: true, court: { ...court, sender: ending } }), /crash/)
      if (isSent) sent++
      const [seen] = await Cases.follow(open)
      assert.equal(seen?.state.stage, sent === 0 ? 'open' : 'expired')
      assert.equal(seen?.state.isPaid, undefined)
    }
    const silent: Sender.Sender = { ...court.sender, send: () => Promise.reject(new Error('nothing is left to send')) }
    const [ended] = await Cases.follow({ ...open, expire: true, court: { ...court, sender: silent } })
    assert.ok(ended !== undefined)
    const reward = (Evidence.staked * 20n) / 100n / 4n
    assert.deepEqual([ended.state.stage, ended.state.reward, ended.state.isPaid], ['expired', reward, true])
    assert.equal((await tokens()) - before, reward)
    const recorded = (of: CaseState) =>
      CourtCalls.recorded(scene.rpc, court.contracts.faultCourt.address, Fault.faultId(crypto, of))
    const record = await recorded(ended.state)
    assert.deepEqual([record?.reporter, record?.reward], [court.sender.address, 0n])
    assert.equal(await Cases.withdrawCredit(court), 0n)

    // A reorganisation takes everything back; what is not final is looked at again and done again.
    const { isFinal: _, ...paid } = ended.state
    assert.equal(await scene.rpc.request('evm_revert', [taken]), true)
    await open.cases.save(ended.caseId, paid)
    assert.deepEqual((await Cases.follow(open))[0]?.state, { ...found.state, bond })
    await Evidence.mine(scene, 1)
    // Somebody else ends it and fetches the reward for its reporter.
    const { faultCourt } = court.contracts
    await Cases.expire({ ...court, sender: scene.sender }, paid)
    const racing: Sender.Sender = {
      ...court.sender,
      send: async (call) => {
        if (Bytes.equal(call.to as Uint8Array, faultCourt.address) && (await recorded(paid))?.reward !== 0n)
          await scene.sender.send(call)
        return court.sender.send(call)
      },
    }
    const [again] = await Cases.follow({ ...open, expire: true, court: { ...court, sender: racing } })
    assert.deepEqual([again?.state.stage, again?.state.reward, again?.state.isPaid], ['expired', reward, true])
    assert.equal((await tokens()) - before, reward)
    assert.equal(await Cases.withdrawCredit(court), 0n)
    await Evidence.mine(scene, 3)
    const [final] = await Cases.follow({ ...open, expire: true, court: { ...court, sender: silent } })
    assert.deepEqual(final?.state, { ...again?.state, isFinal: true })
    // And then the chain is not asked any more.
    const rpc = { ...scene.rpc, request: () => Promise.reject(new Error('asked')) }
    assert.equal((await Cases.follow({ ...open, court: { ...court, rpc } }))[0]?.state.isFinal, true)
  })

  test("what a stranger's case brings is the stranger's, and a transaction that nobody knows about is looked for later", async () => {
    const own = await Evidence.newLog(scene)
    await Evidence.anchor(scene, own, [random(32), random(32)])
    const stranger = { ...court, sender: scene.sender }
    const asked = { logId: own.logId, index: 1n }
    await Cases.challengeEntry({ ...options(), court: stranger }, asked)
    // This client comes second: the case is kept in mind, and is another's.
    const open = options()
    const second = await Cases.challengeEntry(open, asked)
    assert.deepEqual(second.state.challenger, scene.sender.address)
    await Evidence.mine(scene, 301)
    const lost: Sender.Sender = { ...court.sender, send: () => Promise.reject(new Sender.TransactionLostError('test')) }
    const [waiting] = await Cases.follow({ ...open, expire: true, court: { ...court, sender: lost } })
    assert.equal(waiting?.state.stage, 'open')
    await Cases.expire(court, second.state)
    await Evidence.mine(scene, 3)
    const [over] = await Cases.follow({ ...open, expire: true, court: { ...court, sender: lost } })
    assert.deepEqual([over?.state.stage, over?.state.isPaid, over?.state.isFinal], ['expired', undefined, true])
    assert.ok((await Cases.withdrawCredit(stranger)) > 0n)
  })

  /** An event that nobody emitted. */
  function encodeSlot(head: Uint8Array) {
    const topic = hex(crypto.keccak256(Bytes.fromUtf8('SlotPublished(bytes32,uint8,bytes16,bytes)')))
    const value = Bytes.concat(
      random(16),
      new Uint8Array(16),
      Bytes.u256(64n),
      Bytes.u256(1n),
      random(1),
      new Uint8Array(31),
    )
    return (address: Uint8Array) => ({
      ...{ address: hex(address), data: hex(value), blockNumber: '0x1', transactionHash: hex(random(32)) },
      topics: [topic, hex(Head.hash(crypto, head)), hex(Bytes.u256(7n))],
    })
  }
})
