/** Any chain: without the P-256 precompile everything works for more gas, money is asked for, finality comes from several endpoints. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import * as Chain from 'assay/chain'
import { NodeRegistryContract, Quorum, Rpc } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes } from 'assay/protocol'
import { openChain, parseEndpoints } from '../daemon/chain.ts'
import { startAnchoring } from './anchoring.ts'
import { bondAmount, bondAtStart } from './bond.ts'
import { createChainView } from './chain-view.ts'
import { read } from './contract-call.ts'
import { deploy } from './deploy.ts'
import { startForeignChain } from './foreign-chain.t.ts'
import { readPledgeBlocks, registerKey, registerLog, registerNode, roles } from './register.ts'
import { memoryLog, newSigner, openProxy, until } from './scene.ts'
import { createSender, type Sender } from './sender.ts'
import { openWallet } from './wallet.ts'

const opened = (chainRpcUrl: string, lines: string[] = []) =>
  openChain({
    ...{ home: '', chainRpcUrl, onEvent: () => {}, say: (line) => lines.push(line) },
    closers: { add: () => {}, run: async () => [] },
  })

for (const hardfork of ['prague', 'cancun'] as const)
  test(`a chain with the rules of ${hardfork}: contracts, keys, log, anchor and stake without the precompile`, async (t) => {
    const foreign = await startForeignChain({ hardfork })
    const home = mkdtempSync(join(tmpdir(), 'assay-foreign-'))
    let sender: Sender | undefined
    try {
      const lines: string[] = []
      const chain = await opened(foreign.url, lines)
      assert.match(lines.join(), /no P-256 precompile/)
      assert.deepEqual([chain.isEmbedded, chain.isDevelopment, chain.finality], [false, false, 'quorum:1/1'])
      const { rpc } = chain
      const wallet = openWallet(home)
      const plain = createSender({ rpc, wallet, pollMs: 20 })
      const gas: Record<string, bigint> = {}
      let what = 'last creation'
      sender = {
        ...plain,
        send: async (call) => {
          const mined = await plain.send(call)
          gas[what] = mined.gasUsed
          return mined
        },
      }
      const start = () => deploy({ ...{ home, crypto, rpc, sender: sender as Sender, development: false } })
      await assert.rejects(start(), { code: 'block-time' }, 'a chain without blocks has no time from block to block')
      await foreign.mine(3)
      await assert.rejects(start(), { code: 'no-coin' })
      await foreign.fund(wallet.address)
      const book = await start()
      const call = { abi: NodeRegistryContract.abi, functionName: 'development', args: [] } as const
      assert.equal(await read(rpc, book.nodeRegistry.address, call), false)
      const pledgeBlocks = await readPledgeBlocks(rpc, book)
      assert.ok(pledgeBlocks > 600n, String(pledgeBlocks))

      const registrar = { crypto, rpc, sender, book }
      what = 'registerNode'
      const nodeId = await registerNode(registrar, { endpoint: 'http://127.0.0.1:1' })
      what = 'addKey'
      await registerKey(registrar, { nodeId, role: roles.node, signer: newSigner() })
      what = 'register a log'
      const signer = newSigner()
      const logId = await registerLog(registrar, { signer, ed25519Key: new Uint8Array(32).fill(1), pledgeBlocks })
      const view = createChainView({ crypto, rpc, book, pollMs: 50 })
      await view.refresh()
      const memory = memoryLog(book, logId, signer)
      memory.append(3)
      what = 'anchor one step'
      const anchoring = startAnchoring({ book, view, sender, log: memory.log, onEvent: () => {} })
      try {
        await until('an anchor', () => (memory.settled() === 3n ? true : undefined))
      } finally {
        await anchoring.stop()
        await view.stop()
      }
      what = 'bond'
      const [bond] = await bondAtStart(registrar, [{ subject: logId, amount: bondAmount }])
      assert.equal(bond?.state, 'bonded')
      t.diagnostic(
        Object.entries(gas)
          .map(([name, used]) => `${name} ${used}`)
          .join(', '),
      )
      assert.ok((gas['anchor one step'] ?? 0n) < 500_000n)
    } finally {
      sender?.close()
      rmSync(home, { recursive: true })
      await foreign.stop()
    }
  })

test('the contracts use no instruction that such chains lack', async () => {
  const { AssayTimelockContract, AssayTokenContract, FaultCasesContract, FaultCourtContract } = Chain
  const { AnchorLogContract, StakeManagerContract } = Chain
  const clz = 0x1e // EIP-7939, the only one that came after cancun
  for (const { bytecode } of [
    ...[AssayTimelockContract, AssayTokenContract, FaultCasesContract, FaultCourtContract],
    ...[AnchorLogContract, NodeRegistryContract, StakeManagerContract],
  ]) {
    const code = Bytes.from0x(bytecode)
    for (let i = 0; i < code.length; i++) {
      const instruction = code[i] as number
      assert.notEqual(instruction, clz)
      // Skip what PUSH1 to PUSH32 push.
      if (instruction >= 0x60 && instruction <= 0x7f) i += instruction - 0x5f
    }
  }
})

describe('endpoints of a chain', () => {
  test('are a list with commas, each once, and quoted nowhere', () => {
    const secret = 'http://user:secret@127.0.0.1:1'
    assert.deepEqual(parseEndpoints('http://a.example, https://b.example/key'), [
      'http://a.example',
      'https://b.example/key',
    ])
    const many = Array.from({ length: 17 }, (_, i) => `http://a${i}.example`).join()
    for (const wrong of ['', 'http://a.example,', `ftp://a.example`, `${secret},${secret}`, `${secret},nonsense`, many])
      assert.throws(
        () => parseEndpoints(wrong),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, 'chain-endpoint')
          assert.ok(!error.message.includes('secret'))
          return true
        },
      )
  })

  test('several are believed together: one may be away, none may contradict', async () => {
    const foreign = await startForeignChain()
    const proxies = await Promise.all([openProxy(foreign.url), openProxy(foreign.url)])
    try {
      const lines: string[] = []
      const urls = [foreign.url, ...proxies.map(({ url }) => url)]
      const { rpc, sending, finality } = await opened(urls.join(), lines)
      assert.equal(finality, 'quorum:2/3')
      assert.match(lines.join(), /3 endpoints checks P-256/)
      await foreign.mine(5)
      const tip = await Rpc.finalized(crypto, rpc)
      assert.deepEqual((await Rpc.fetchHeader(crypto, sending, tip.number)).hash, tip.hash)
      assert.deepEqual((await Rpc.fetchTrustedHeader(crypto, rpc, 2n)).number, 2n)
      const [second, third] = proxies
      if (second === undefined || third === undefined) throw new Error('no proxies')
      second.mischief = () => 'drop'
      assert.deepEqual((await Rpc.fetchHeader(crypto, rpc, tip.number)).hash, tip.hash)
      third.mischief = ({ method }) => (method === 'eth_getBlockByNumber' ? () => null : undefined)
      await assert.rejects(Rpc.finalized(crypto, rpc), (error) => error instanceof Quorum.SilenceError)
      // A whole other history, with headers that hold.
      const fork = await startForeignChain()
      try {
        await fork.mine(8)
        third.mischief = () => undefined
        third.target = fork.url
        for (const ask of [
          () => Rpc.finalized(crypto, rpc),
          () => Rpc.newest(crypto, rpc),
          () => Rpc.fetchTrustedHeader(crypto, rpc, 2n),
        ])
          await assert.rejects(ask(), (error: Error) => {
            assert.ok(error instanceof Quorum.DisagreementError, String(error))
            assert.ok(!error.message.includes('127.0.0.1'))
            return true
          })
      } finally {
        await fork.stop()
      }
    } finally {
      for (const proxy of proxies) await proxy.close()
      await foreign.stop()
    }
  })
})
