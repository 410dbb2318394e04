/** Hindrances.chain.test.ts - what must not keep the service from answering: a full disk, an endpoint that lacks something or errs once. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ContractCall, FaultCasesContract, Rpc } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes } from 'assay/protocol'
import { until } from '../settle/scene.ts'
import { openScene } from './scene.t.ts'

let scene: Awaited<ReturnType<typeof openScene>>

before(async () => {
  scene = await openScene()
})
after(() => scene.close())

const { abi } = FaultCasesContract
const answered = (one: Parameters<typeof scene.stateOf>[0]) =>
  until('answer', async () => ((await scene.stateOf(one)) === 'answered' ? true : undefined), 10_000)

/** Opens a case about a new entry; gives its index. */
async function challenge(): Promise<bigint> {
  await scene.addReceipt()
  await scene.anchor()
  const index = BigInt(scene.entries.length - 1)
  assert.ok(await scene.challengeEntry(index))
  return index
}

/** The chain's endpoint, but for what `instead` answers. */
function endpoint(instead: (method: string, params: readonly unknown[]) => unknown): Rpc.Rpc {
  return {
    ...scene.rpc,
    request: async (method, params = []) =>
      (await instead(method, params)) ?? (await scene.rpc.request(method, params)),
  }
}

/** The account, which sends nothing while it is told to refuse. */
function sending(isRefused: () => boolean): Pick<typeof scene.sender, 'address' | 'send'> {
  return {
    ...scene.sender,
    send: (call) => (isRefused() ? Promise.reject(new TypeError('refused')) : scene.sender.send(call)),
  }
}

const getCase = Bytes.to0x(crypto.keccak256(Bytes.fromUtf8('getCase(bytes32)')).subarray(0, 4))
const isCaseAsked = (method: string, [call]: readonly unknown[]) =>
  method === 'eth_call' && (call as { readonly data: string }).data.startsWith(getCase)

test('a disk on which nothing can be written', async () => {
  const index = await challenge()
  const service = scene.start({ folder: join(scene.home, 'gone') })
  await answered(scene.entryCase(index))
  await service.stop()
})

test('an endpoint that names no final block', async () => {
  const rpc = endpoint((method, params) => {
    if (params.includes('finalized')) throw new Rpc.RequestError('rpc-refused', method, 'finalized block not found')
    return undefined
  })
  const service = scene.start({ rpc })
  for (const _ of [1, 2]) await answered(scene.entryCase(await challenge()))
  await service.stop()
})

test('an endpoint that once names a block far ahead', async () => {
  const index = await challenge()
  let isAhead = true
  // As most endpoints do: what is asked of blocks that are not there yet is left out.
  const rpc = endpoint(async (method, params) => {
    if (method === 'eth_getLogs') {
      const [filter] = params as readonly { readonly fromBlock: string; readonly toBlock: string }[]
      const newest = await Rpc.askNumber(scene.rpc, 'eth_blockNumber')
      if (BigInt(filter?.fromBlock ?? 0) > newest) return []
      if (BigInt(filter?.toBlock ?? 0) > newest) return scene.rpc.request(method, [{ ...filter, toBlock: 'latest' }])
    }
    if (!isAhead || method !== 'eth_getBlockByNumber' || params[0] !== 'latest') return undefined
    isAhead = false
    return { number: `0x${(2n ** 63n).toString(16)}` }
  })
  const service = scene.start({ rpc })
  await answered(scene.entryCase(index))
  await service.stop()
})

test('an endpoint that shows no events, once the case is known', async () => {
  let isSilent = false
  let refuse = true
  const rpc = endpoint((method) => {
    if (isSilent && method === 'eth_getLogs') throw new Rpc.RequestError('rpc-refused', method, 'pruned')
    return undefined
  })
  const sender = sending(() => refuse)
  const service = scene.start({ rpc, sender })
  const index = await challenge()
  await until('the case', () => (service.open().length > 0 ? true : undefined))
  isSilent = true
  await scene.mine(40n)
  refuse = false
  await answered(scene.entryCase(index))
  await service.stop()
})

test('an endpoint that once does not know an expired case', async () => {
  const index = await challenge()
  const one = scene.entryCase(index)
  await scene.mine(301n)
  const args = [17, Bytes.to0x(one.subject), 0, Bytes.to0x(one.incident)] as const
  await scene.sender.send({
    to: scene.contracts.faultCases,
    data: ContractCall.encode({ abi, functionName: 'expireCase', args }),
  })
  let refuse = true
  let blank = 0
  const rpc = endpoint((method, params) => {
    if (blank === 0 || !isCaseAsked(method, params) || params[1] === 'finalized') return undefined
    blank--
    return `0x${'00'.repeat(128)}`
  })
  const sender = sending(() => refuse)
  const from = scene.events.length
  const service = scene.start({ rpc, sender })
  await until('an attempt', () => scene.events.slice(from).find(({ kind }) => kind === 'unanswered'))
  blank = scene.entries.length
  await until('no answer about them', () => (blank === 0 ? true : undefined))
  refuse = false
  await answered(one)
  await service.stop()
})
