/**
 * CaseRules.test.ts - the model's rules for cases are the contract's: cases are opened, answered and expired on a real chain, well and
 * badly, and every transaction of its blocks has the same fate in the model.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AnchorLogContract, ContractCall, FaultCasesContract } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes } from 'assay/protocol'
import { decodeFunctionData, encodeFunctionData, type Hex } from 'viem'
import * as Answer from '../../apps/node/src/answers/Answer.ts'
import { openScene } from '../../apps/node/src/answers/scene.t.ts'
import type { Entry } from '../../apps/node/src/log/LogStore.ts'
import * as CaseRules from './CaseRules.ts'
import * as Rules from './ContractRules.ts'
import * as Random from './Random.ts'

const seed = Number(process.env.ASSAY_SEED ?? 1)
const calls = Math.min(1_200, 100 + Math.floor(Number(process.env.ASSAY_SCHEDULES ?? 80) / 4))
const bond = 10n ** 18n
const hex = Bytes.to0x
const { abi } = FaultCasesContract

test(`the model and FaultCases agree on ${calls} calls (seed ${seed})`, async (t) => {
  const scene = await openScene()
  t.after(scene.close)
  const { rpc, contracts, view, nodeId, logId } = scene
  const random = Random.create(seed)
  const registry = scene.nodeRegistry
  const place = { chainId: rpc.chainId, registry, anchorLog: contracts.anchorLog, faultCases: contracts.faultCases }
  const instance = await ContractCall.read(rpc, contracts.anchorLog, {
    ...{ abi: AnchorLogContract.abi, functionName: 'instance', args: [] },
  })
  let state = Rules.empty(Bytes.from0x(instance), 600n, await view.terms(), place)
  const { answerBlocks, openWindowBlocks } = state.terms
  let replayed = 0n
  const fates: Record<string, number> = {}

  /** The blocks that the chain has made since, transaction by transaction. */
  async function replay(): Promise<void> {
    const newest = await view.newest()
    for (; replayed < newest; replayed++) {
      const number = replayed + 1n
      const block = await rpc.request('eth_getBlockByNumber', [`0x${number.toString(16)}`, true])
      for (const { hash, from, to, input } of (block as { transactions: Transaction[] }).transactions) {
        const call = { from: Bytes.from0x(from), to: Bytes.from0x(to ?? '0x'), data: Bytes.from0x(input) }
        if (![registry, contracts.anchorLog, contracts.faultCases].some((one) => Bytes.equal(one, call.to))) continue
        const { status } = (await rpc.request('eth_getTransactionReceipt', [hash])) as { status: string }
        let refusal = 'accepted'
        try {
          state = await Rules.apply(state, call, number)
        } catch (error) {
          if (!(error instanceof Rules.RevertError)) throw error
          refusal = error.message
        }
        const name = Bytes.equal(call.to, contracts.faultCases)
          ? decodeFunctionData({ abi, data: input }).functionName
          : 'other'
        assert.equal(refusal === 'accepted', status === '0x1', `${name} in block ${number}, the model: ${refusal}`)
        if (name !== 'other') fates[`${name} ${refusal}`] = (fates[`${name} ${refusal}`] ?? 0) + 1
      }
    }
  }

  /** Blocks without transactions. */
  async function mine(blocks: bigint): Promise<void> {
    if (blocks <= 0n) return
    await scene.mine(blocks)
    replayed = await view.newest()
  }

  const send = (data: Hex, value = 0n) => scene.send(Bytes.from0x(data), value)
  const at = (index: number) => scene.entries[index] as Entry
  const bent = (bytes: Uint8Array, chance = 1): Uint8Array => {
    const changed = Uint8Array.from(bytes)
    if (!random.chance(chance)) return changed
    const byte = random.below(changed.length)
    changed[byte] = (changed[byte] as number) ^ (1 << random.below(8))
    return changed
  }
  const signed = ({ head, signature, publicKey }: Entry, badly: boolean) => ({
    ...{ head: hex(bent(head, badly ? 0.3 : 0)), signature: hex(bent(signature, badly ? 0.2 : 0)) },
    ...{ x: hex(bent(publicKey.slice(0, 32), badly ? 0.2 : 0)), y: hex(publicKey.slice(32)) },
  })
  const placeOf = async (index: number, badly: boolean) => {
    const size = random.pick(scene.steps.filter((step) => step > index))
    const proof = await scene.log.inclusion(BigInt(index), size)
    const hashes = badly && random.chance(0.2) ? [...proof.slice(1), random.bytes(32)] : proof
    return {
      ...{ logId: hex(bent(logId, badly ? 0.1 : 0)), index: BigInt(index) + (badly && random.chance(0.1) ? 1n : 0n) },
      ...{ size: size + (badly && random.chance(0.1) ? 1n : 0n), proof: hashes.map(hex) },
    }
  }

  async function challenge(): Promise<void> {
    const index = BigInt(random.below(scene.entries.length + 1))
    const args = [hex(bent(logId, 0.05)), index] as const
    await send(encodeFunctionData({ abi, functionName: 'challengeEntry', args }), bond)
  }

  async function demand(): Promise<void> {
    const badly = random.chance(0.4)
    const index = random.below(Number(scene.steps.at(-1)))
    const slot = badly ? random.below(17) : random.pick([1, 6, 7, 8, 12, 13])
    const before = scene.steps.filter((step) => step <= index)
    const seenAt = badly ? BigInt(random.below(scene.entries.length)) : (before.at(-1) ?? 0n)
    const how = badly && random.chance(0.1) ? random.pick([0, 2, 3]) : 1
    const args = [signed(at(index), badly), await placeOf(index, badly), how, seenAt, slot] as const
    await send(encodeFunctionData({ abi, functionName: 'demandOpening', args }), bond)
  }

  /** What the daemon would send, changed now and then. */
  async function answer(): Promise<void> {
    const all = [...state.cases]
    const found = all.filter(([, one]) => one.state === 'open' || random.chance(0.2))
    if (found.length === 0) return
    const [caseId, one] = random.pick(found)
    const answer = await Answer.of(
      { crypto, view, logs: [scene.log], store: scene.store },
      { ...one, caseId: Bytes.fromHex(caseId) },
    )
    const call = decodeFunctionData({ abi, data: hex(answer.data) })
    if (random.chance(0.6)) return void (await send(hex(answer.data)))
    const { demand } = one
    if (call.functionName === 'answerEntry') {
      const index = Number(Bytes.toBigInt(one.incident))
      const args = [
        await placeOf(index, true),
        hex(bent(Bytes.from0x(call.args[1]), 0.3)),
        signed(at(index), true),
      ] as const
      return void (await send(encodeFunctionData({ abi, functionName: 'answerEntry', args })))
    }
    if (demand === undefined) return
    const head = call.args[0] as Hex
    const kind = random.below(4)
    if (kind === 0) {
      const path = [1, 2, 3, 4].map(() => hex(random.bytes(32))) as unknown as readonly [Hex, Hex, Hex, Hex]
      const args = [head, demand.slot, path] as const
      return void (await send(encodeFunctionData({ abi, functionName: 'answerAbsent', args })))
    }
    if (kind === 1) {
      const index = scene.entries.findIndex((entry) => hex(entry.head) === head)
      const args = [head, demand.slot, await placeOf(index, random.chance(0.3))] as const
      return void (await send(encodeFunctionData({ abi, functionName: 'answerAnchoredBefore', args })))
    }
    // The right answer to another slot, or from another head.
    const changed = [kind === 2 ? hex(bent(Bytes.from0x(head))) : head, kind === 2 ? demand.slot : random.below(17)]
    const rest = call.args.slice(2) as unknown as readonly never[]
    const args = [...changed, ...rest] as never
    await send(encodeFunctionData({ abi, functionName: call.functionName, args }))
  }

  async function expire(): Promise<void> {
    const isClosedToo = random.chance(0.3)
    const all = [...state.cases.values()].filter((one) => isClosedToo || one.state === 'open')
    const one = all.length === 0 || random.chance(0.1) ? undefined : random.pick(all)
    const { answerBlocks } = state.terms
    if (one?.state === 'open' && random.chance(0.5)) {
      // The call comes in the first block in which it is due, or in the one before.
      const left = one.openedAtBlock + answerBlocks - (await view.newest())
      await mine(left + random.pick([0n, 0n, -1n]))
    }
    const args = [
      one?.class ?? 17,
      hex(one?.subject ?? nodeId),
      (one?.keyEpoch ?? 0) + (random.chance(0.05) ? 1 : 0),
      hex(one?.incident ?? random.bytes(32)),
    ] as const
    await send(encodeFunctionData({ abi, functionName: 'expireCase', args }))
  }

  for (let i = 0; i < 2; i++) await scene.addReceipt()
  await scene.anchor()
  await replay()
  for (let i = 0; i < calls; i++) {
    const kind = random.below(100)
    if (kind < 12) {
      await scene.addReceipt()
      if (random.chance(0.6)) await scene.anchor()
    } else if (kind < 30) await challenge()
    else if (kind < 55) await demand()
    else if (kind < 85) await answer()
    else if (kind < 97) await expire()
    else await mine(random.chance(0.3) ? openWindowBlocks - 5n : BigInt(1 + random.below(Number(answerBlocks))))
    await replay()
  }

  async function answerAll(): Promise<void> {
    await replay()
    for (const [caseId, one] of state.cases) {
      if (one.state !== 'open') continue
      const of = { ...one, caseId: Bytes.fromHex(caseId) }
      const { data } = await Answer.of({ crypto, view, logs: [scene.log], store: scene.store }, of)
      await send(hex(data))
    }
    await replay()
  }

  // Each kind once for certain, with room for it: a young receipt, a case that expires, an old receipt in a log that is young.
  await answerAll()
  const before = scene.steps.at(-1) as bigint
  await scene.addReceipt()
  await scene.anchor()
  const last = BigInt(scene.entries.length - 1)
  for (const slot of [1, 13]) assert.ok(await scene.demandOpening(last, slot, before))
  await answerAll()
  assert.ok(await scene.challengeEntry(last))
  await replay()
  await mine(answerBlocks)
  const expiring = [17, hex(logId), 0, hex(Bytes.u256(last))] as const
  await send(encodeFunctionData({ abi, functionName: 'expireCase', args: expiring }))
  await mine(openWindowBlocks)
  const elsewhere = await scene.anchorElsewhere(0n)
  assert.ok(await scene.demandOpening(0n, 13, 0n, elsewhere))
  await answerAll()

  for (const [caseId, one] of state.cases) {
    const call = { abi, functionName: 'getCase', args: [`0x${caseId}`] } as const
    const real = await ContractCall.read(rpc, contracts.faultCases, call)
    const states = ['none', 'open', 'answered', 'expired']
    assert.deepEqual([states[real.state], BigInt(real.openedAtBlock)], [one.state, one.openedAtBlock])
    assert.equal(real.challenger.toLowerCase(), hex(one.challenger))
  }
  for (const subject of [nodeId, logId]) {
    assert.equal(await view.count(subject), CaseRules.openCases(state.cases, subject))
  }
  t.diagnostic(JSON.stringify(fates))
  const opening = ['challengeEntry', 'demandOpening', 'expireCase']
  for (const name of [...opening, 'answerEntry', 'answerOpening', 'answerAbsent', 'answerAnchoredBefore'])
    assert.ok((fates[`${name} accepted`] ?? 0) > 0, name)
})

type Transaction = { readonly hash: Hex; readonly from: Hex; readonly to: Hex | null; readonly input: Hex }
