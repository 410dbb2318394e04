/**
 * chain.test.ts - an endpoint between daemon and chain that lies, stalls, forks or loses blocks: anchoring survives, and
 * at no time does the log call anchored what the real chain does not hold.
 */
import assert from 'node:assert/strict'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Rpc } from 'assay/chain'
import type { NodeInfo } from 'assay/client'
import { Bytes } from 'assay/protocol'
import { type DevelopmentChain, startAnvil } from '../../apps/node/src/settle/anvil.ts'
import { type Call, type Mischief, openProxy } from '../../apps/node/src/settle/scene.ts'
import { fundOnDevelopmentChain, openWallet } from '../../apps/node/src/settle/wallet.ts'
import * as Calls from '../crash/Calls.ts'
import * as Daemon from '../crash/Daemon.ts'
import * as Folders from '../crash/Folders.ts'
import * as Ledger from '../crash/Ledger.ts'
import * as Silence from '../crash/Silence.ts'

let place: Daemon.Place
let chain: DevelopmentChain
let rpc: Rpc.Rpc
let proxy: Awaited<ReturnType<typeof openProxy>>
let home: string
let chainHome: string
let daemon: Daemon.Running
let info: NodeInfo.NodeInfo
const ledger = Ledger.create()
const isLong = process.env.ASSAY_FIRE_LONG === '1'

before(async () => {
  place = Daemon.createPlace(['digits'])
  home = place.newHome()
  chainHome = place.newHome()
  chain = await startAnvil({ home: chainHome })
  rpc = Rpc.create({ url: chain.url, chainId: chain.chainId })
  proxy = await openProxy(chain.url)
  await fundOnDevelopmentChain(rpc, openWallet(home))
  daemon = await place.start({ home, chainRpcUrl: proxy.url })
  info = await Calls.nodeInfo(daemon.endpoints.gateway)
  await calls(3)
  await healthy()
})

after(async () => {
  await proxy?.close()
  await chain?.stop()
  place?.close()
})

async function calls(count: number): Promise<readonly Calls.Answer[]> {
  const { gateway } = daemon.endpoints
  const made = Array.from({ length: count }, (_, i) => Calls.call(gateway, info, 'infer', { withOrder: i % 2 === 0 }))
  const answers = await Promise.all(made)
  ledger.addAnswers(answers)
  return answers
}

/** With a true endpoint everything is anchored on the real chain, whatever came before. */
async function healthy(): Promise<void> {
  proxy.mischief = () => undefined
  await Daemon.until('a pledge', async () => {
    const [answer] = await calls(1)
    return typeof answer?.receipt === 'object' ? true : undefined
  })
  await ledger.checkAnchored({ ...daemon.endpoints, chain: chain.url }, info)
}

/** What the logs serve as anchored, the real chain holds. */
async function nothingFalse(): Promise<void> {
  const held = Folders.read(home).logs
  for (const [slot, { logId, url }] of info.logs.entries()) {
    const length = held[slot]?.log.length ?? 0
    for (let index = isLong ? 0 : Math.max(0, length - 12); index < length; index++) {
      const answer = await fetch(`${daemon.endpoints.gateway}${url}/proof?index=${index}`)
      if (answer.status !== 200) continue
      const { size, root } = (await answer.json()) as { size: string; root: string }
      const step = await Ledger.stepRoot(chain.url, info, logId, BigInt(size))
      assert.ok(step !== undefined, `size ${size} is called anchored and is not`)
      assert.equal(Bytes.toBase64url(step), root)
    }
  }
}

const change = (method: string, how: (result: never, call: Call) => unknown) => (call: Call) =>
  call.method === method ? how : undefined
const flip = (hex: string) => `${hex.slice(0, -1)}${hex.endsWith('0') ? '1' : '0'}`
const frozen = () => {
  let old: unknown
  return change('eth_getBlockByNumber', (result) => {
    old ??= result
    return old
  })
}

const lies: readonly (readonly [string, () => (call: Call) => Mischief])[] = [
  ['drops every connection', () => () => 'drop'],
  ['never answers', () => () => 'stall'],
  ['answers nonsense', () => () => () => ({ nonsense: [1, 2, 3] })],
  ['answers 5 MB', () => () => () => 'x'.repeat(5_000_000)],
  ['is another chain', () => change('eth_chainId', () => '0x1')],
  [
    'changes the hash of blocks',
    () => change('eth_getBlockByNumber', (block: { hash: string }) => ({ ...block, hash: flip(block.hash) })),
  ],
  [
    'changes the state of blocks',
    () =>
      change('eth_getBlockByNumber', (block: { stateRoot: string }) => ({
        ...block,
        stateRoot: flip(block.stateRoot),
      })),
  ],
  ['stands still', frozen],
  [
    'changes what storage holds',
    () =>
      change('eth_getProof', (proof: { storageProof: { value: string }[] }) => ({
        ...proof,
        storageProof: proof.storageProof.map((one) => ({ ...one, value: '0xff' })),
      })),
  ],
  [
    'proves the absence of everything',
    () => change('eth_getProof', (proof: object) => ({ ...proof, accountProof: [], storageProof: [] })),
  ],
  ['swallows transactions', () => (call) => (call.method === 'eth_sendRawTransaction' ? 'drop' : undefined)],
  [
    'calls everything mined',
    () => change('eth_getTransactionReceipt', () => ({ status: '0x1', blockNumber: '0x1', gasUsed: '0x1' })),
  ],
  [
    'calls everything reverted',
    () => change('eth_getTransactionReceipt', () => ({ status: '0x0', blockNumber: '0x1', gasUsed: '0x1' })),
  ],
]

for (const [what, mischief] of lies)
  test(`the endpoint ${what}`, { timeout: 90_000 }, async () => {
    proxy.mischief = mischief()
    const answers = await calls(2)
    // The calls are answered, and their receipts come with a pledge or later; nothing is refused without a name.
    assert.ok(answers.every(({ status, isWhole }) => isWhole && (status === 200 || status === 503)))
    await sleep(1_500)
    await nothingFalse()
    proxy.mischief = () => undefined
    if (isLong) await healthy()
  })

test('after all lies everything is anchored', { timeout: 90_000 }, async () => {
  await healthy()
  await nothingFalse()
})

test('the real chain takes blocks back', { timeout: 120_000 }, async () => {
  for (const depth of isLong ? [1, 2, 3, 5, 8, 13] : [3]) {
    await calls(2)
    await sleep(1_200)
    await rpc.request('anvil_reorg', [depth, []])
    await calls(2)
    await healthy()
    await nothingFalse()
  }
})

test('the endpoint shows a fork for a while: what was anchored there is anchored here as well', {
  timeout: 90_000,
}, async () => {
  const other = place.newHome()
  // A copy that the chain's keeper took between two writes.
  cpSync(join(chainHome, 'chain/state.json.1'), join(other, 'chain/state.json'))
  const fork = await startAnvil({ home: other, chainId: chain.chainId })
  try {
    proxy.target = fork.url
    await calls(2)
    await sleep(2_500)
    await calls(2)
    await Daemon.until('an anchor on the fork', async () => {
      const size = BigInt(Folders.read(home).log.length)
      const logId = (info.logs[0] as NodeInfo.LogInfo).logId
      return (await Ledger.stepRoot(fork.url, info, logId, size).catch(() => undefined)) === undefined
        ? undefined
        : true
    })
    proxy.target = chain.url
    await calls(2)
    await healthy()
    await nothingFalse()
  } finally {
    proxy.target = chain.url
    await fork.stop()
  }
})

test('started on a lying endpoint it refuses by name; after all of it nothing is contradicted', {
  timeout: 120_000,
}, async (t) => {
  const held = Folders.read(home)
  ledger.checkFolders(held)
  await daemon.stop()
  const refused: [string, (call: Call) => Mischief][] = [
    ['chain-endpoint', () => () => ({ nonsense: true })],
    ['rpc-unreachable', () => 'drop'],
    ['chain-changed', change('eth_chainId', () => '0x1')],
    ['chain-changed', change('eth_getCode', () => '0x6001')],
    [
      'rpc-header-hash',
      change('eth_getBlockByNumber', (block: { hash: string }) => ({ ...block, hash: flip(block.hash) })),
    ],
  ]
  for (const [code, mischief] of refused) {
    proxy.mischief = mischief
    await assert.rejects(place.start({ home, chainRpcUrl: proxy.url }), (error) => {
      assert.ok(error instanceof Daemon.StartFailedError, String(error))
      assert.equal(error.code, code, error.message)
      return true
    })
  }
  assert.deepEqual(Folders.read(home).log, held.log)
  proxy.mischief = () => undefined
  daemon = await place.start({ home, chainRpcUrl: proxy.url })
  assert.equal((await Calls.nodeInfo(daemon.endpoints.gateway)).keyEpoch, info.keyEpoch)
  await calls(3)
  await healthy()
  await daemon.stop()
  ledger.checkFolders(Folders.read(home))
  t.diagnostic(JSON.stringify(ledger.counts))
  Silence.check(place, home, { receipts: [...ledger.receipts.values()] })
})
