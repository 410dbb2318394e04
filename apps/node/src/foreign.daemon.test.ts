/**
 * foreign.daemon.test.ts - two operators on a chain that is neither's: over several endpoints, with the contracts of the first for
 * both. What the first calls its chain final by is a quorum, and only who holds tokens has something at stake.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Quorum, Rpc } from 'assay/chain'
import { ChainAccess, Client, Stores } from 'assay/client'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Bytes } from 'assay/protocol'
import { policies } from 'assay/verify'
import { type Daemon, type DaemonOptions, startDaemon } from './daemon.ts'
import { type ForeignChain, startForeignChain } from './settle/foreign-chain.t.ts'
import { openProxy } from './settle/scene.ts'
import { openWallet } from './settle/wallet.ts'

const root = mkdtempSync(join(tmpdir(), 'assay-foreign-'))
const models = join(root, 'models')
const homes = [join(root, 'first'), join(root, 'second')] as const
const steps: string[] = []
let chain: ForeignChain
let proxy: Awaited<ReturnType<typeof openProxy>>
const running: Daemon[] = []
before(async () => {
  cpSync(join(import.meta.dirname, '../../../models/digits'), join(models, 'digits'), { recursive: true })
  chain = await startForeignChain({ hardfork: 'prague' })
  proxy = await openProxy(chain.url)
  await chain.mine(3)
})
after(async () => {
  for (const daemon of running) await daemon.stop()
  await proxy.close()
  await chain.stop()
  rmSync(root, { recursive: true, force: true })
})

async function start(home: string, options: Partial<DaemonOptions> = {}) {
  steps.length = 0
  const daemon = await startDaemon({
    ...{ home, port: 0, models, chainRpcUrl: `${chain.url},${proxy.url}`, ...options },
    onProgress: (step, detail) => steps.push(`${step} ${detail}`),
    log: () => {},
  })
  running.push(daemon)
  return daemon
}

async function ask({ endpoints, reader }: Daemon) {
  const anchors = Stores.memoryAnchorStore([reader.anchors])
  const rpcs = reader.chainRpcUrls.map((url) => Rpc.create({ url, chainId: chain.chainId }))
  const rpc = Quorum.create(crypto, rpcs, Quorum.majority(rpcs.length))
  const client = Client.create({
    ...{ baseUrl: endpoints.gateway, crypto, anchors, pending: Stores.memoryPendingStore() },
    signer: createP256Signer(new Uint8Array(32).fill(5)),
    random: (length) => new Uint8Array(randomBytes(length)),
    names: { witnesses: [reader.witness], operators: [reader.operator], rewrites: [] },
    chain: ChainAccess.overRpc(crypto, rpc, reader.anchors),
  })
  const described = (await (await fetch(`${endpoints.gateway}/v2/models/digits`)).json()) as {
    inputs: { name: string }[]
  }
  const data = Array.from({ length: 64 }, (_, i) => i % 17)
  const inputs = [{ name: described.inputs[0]?.name, shape: [1, 64], datatype: 'FP32', data }]
  const graded = await client.call('/v2/models/digits/infer', Bytes.fromUtf8(JSON.stringify({ inputs })), { modes: 4 })
  await graded.meets(policies.embedded, { waitSeconds: 30 })
  return graded.verdict(policies.embedded)
}

test('an operator without coin is told which account to fund, and nothing of the chain is bent for it', async () => {
  const methods: string[] = []
  proxy.mischief = ({ method }) => void methods.push(method) as undefined
  await assert.rejects(start(homes[0]), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'no-coin')
    assert.ok(error.message.includes(Bytes.to0x(openWallet(homes[0]).address)))
    return true
  })
  assert.ok(methods.length > 0 && methods.every((method) => method.startsWith('eth_')), methods.join())
})

test('the first operator makes the contracts, and its receipts are final by quorum and bonded', async () => {
  await chain.fund(openWallet(homes[0]).address)
  const daemon = await start(homes[0])
  assert.equal(daemon.reader.anchors.finality, 'quorum:2/2')
  assert.ok(steps.some((line) => /no P-256 precompile/.test(line)))
  assert.ok(
    steps.some((line) => /^bond 100,000 ASY at stake on 3 of 3/.test(line)),
    steps.join('\n'),
  )
  const verdict = await ask(daemon)
  assert.equal(verdict.outcome, 'MEETS')
  const final = verdict.anchoring.find(({ fact }) => fact === 'final')
  assert.deepEqual(final?.assumptions, [`chain:quorum:2/2:${chain.chainId}`])
  assert.equal((verdict.consequence as { kind?: string }).kind, 'bonded')
})

test('the second takes them by their address book, serves unbonded, and says what would change that', async () => {
  const { address } = openWallet(homes[1])
  await chain.fund(address)
  const contractsFile = join(homes[0], 'chain', 'addresses.json')
  const daemon = await start(homes[1], { contractsFile })
  const [first] = running
  assert.deepEqual(daemon.reader.anchors, first?.reader.anchors)
  assert.ok(steps.some((line) => line.startsWith('bond 3 of 3 without stake') && line.includes(Bytes.to0x(address))))
  const verdict = await ask(daemon)
  assert.equal(verdict.outcome, 'MEETS')
  assert.equal(verdict.consequence, 'none')
})
