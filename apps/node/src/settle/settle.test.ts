import assert from 'node:assert/strict'
import { chmodSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { ChainPiece, Finality, Layout, NodeRegistryContract, Rpc, TrustAnchors } from 'assay/chain'
import { Bytes, Cose } from 'assay/protocol'
import { startAnchoring } from './anchoring.ts'
import { createChainView } from './chain-view.ts'
import { encode, read } from './contract-call.ts'
import { deploy, readAddressBook, trustAnchorsOf } from './deploy.ts'
import { registerKey, registerLog, registerNode, roles } from './register.ts'
import { memoryLog, newSigner, openProxy, openScene, pledgeBlocks, until } from './scene.ts'
import { createSender } from './sender.ts'
import { openWallet } from './wallet.ts'

type Scene = Awaited<ReturnType<typeof openScene>>
let scene: Scene
before(async () => {
  scene = await openScene()
})
after(() => scene.close())

const registrar = () => ({ crypto: scene.crypto, rpc: scene.rpc, sender: scene.sender, book: scene.book })
const nodeSigner = newSigner()
const logSigner = newSigner()

describe('deploy', () => {
  test('finds its contracts again, with and without the address book', async () => {
    const { book, home, crypto, rpc, sender } = scene
    const again = () => deploy({ home, crypto, rpc, sender, development: true })
    assert.deepEqual(await again(), book)
    assert.deepEqual(readAddressBook(home), book)
    const path = join(home, 'chain', 'addresses.json')
    const text = readFileSync(path, 'utf8')
    const nonce = await rpc.request('eth_getTransactionCount', [Bytes.to0x(sender.address), 'latest'])
    rmSync(path)
    assert.deepEqual(await again(), book)
    assert.equal(await rpc.request('eth_getTransactionCount', [Bytes.to0x(sender.address), 'latest']), nonce)

    for (const [what, broken, code] of [
      ['another chain', text.replace(String(book.chainId), '1'), 'chain-changed'],
      ['other code', text.replace(Bytes.to0x(book.nodeRegistry.codeHash), `0x${'1'.repeat(64)}`), 'chain-changed'],
      ['no code', text.replace(Bytes.to0x(book.anchorLog.address), `0x${'1'.repeat(40)}`), 'chain-changed'],
      ['another history', text.replace(Bytes.to0x(book.anchorLog.instance), `0x${'1'.repeat(64)}`), 'chain-changed'],
      ['more names', text.replace('"chainId"', '"more": 1, "chainId"'), 'address-book-invalid'],
      ['no JSON', '{', 'address-book-invalid'],
    ] as const) {
      writeFileSync(path, broken)
      await assert.rejects(again(), { code }, what)
      // Whichever answer comes first.
      for (const slow of ['eth_getCode', 'eth_call']) {
        const late: typeof rpc = {
          ...rpc,
          request: async (method, params) => {
            if (method === slow) await delay(30)
            return rpc.request(method, params)
          },
        }
        await assert.rejects(
          deploy({ home, crypto, rpc: late, sender, development: true }),
          { code },
          `${what}: ${slow}`,
        )
      }
    }
    writeFileSync(path, text)
  })
})

describe('wallet', () => {
  test('makes its key once, for nobody else to read', () => {
    const path = join(scene.home, 'operator.key')
    assert.deepEqual(openWallet(scene.home).address, scene.wallet.address)
    if (process.platform === 'win32') return
    assert.equal(statSync(path).mode & 0o777, 0o600)
    chmodSync(path, 0o644)
    assert.throws(() => openWallet(scene.home), { code: 'wallet-file-open' })
    chmodSync(path, 0o600)
  })
})

describe('register and prove', () => {
  test('enters node, keys and log once, however often it runs', async () => {
    const { crypto, rpc, book, wallet } = scene
    const first = await registerNode(registrar(), { endpoint: 'http://127.0.0.1:1' })
    assert.deepEqual(await registerNode(registrar(), { endpoint: 'http://127.0.0.1:2' }), first)
    const key = { nodeId: first, role: roles.node, signer: nodeSigner }
    const entered = await registerKey(registrar(), key)
    assert.deepEqual(await registerKey(registrar(), key), entered)
    assert.equal(entered.keyEpoch, 0)
    const witness = await registerKey(registrar(), { nodeId: first, role: roles.witness, signer: newSigner() })
    assert.equal(witness.keyEpoch, 1)
    await assert.rejects(registerKey(registrar(), { ...key, role: roles.witness }), { code: 'key-taken' })
    await assert.rejects(registerKey(registrar(), { ...key, nodeId: new Uint8Array(32) }), { code: 'key-taken' })
    await assert.rejects(registerKey(registrar(), { ...key, nodeId: new Uint8Array(32), signer: newSigner() }), {
      code: 'call-reverted',
    })

    const ed25519Key = new Uint8Array(32).fill(7)
    const logId = await registerLog(registrar(), { signer: logSigner, ed25519Key, pledgeBlocks })
    assert.deepEqual(await registerLog(registrar(), { signer: logSigner, ed25519Key, pledgeBlocks }), logId)
    await assert.rejects(registerLog(registrar(), { signer: newSigner(), ed25519Key, pledgeBlocks: 1n }), {
      code: 'call-reverted',
    })

    const request = {
      nodeRegistry: book.nodeRegistry,
      nodeId: first,
      keyEpoch: 0,
      block: 'latest' as const,
      log: { anchorLog: book.anchorLog, logId, size: 0n },
    }
    await rpc.request('evm_mine')
    const { piece, facts } = await Rpc.fetchChainPiece(crypto, rpc, request)
    assert.deepEqual(facts.registry, { ...book.nodeRegistry, keyRecord: entered.record })
    assert.deepEqual(facts.anchorLog?.logRecord, {
      keyId: Cose.keyId(crypto, logSigner.publicKey),
      operator: wallet.address,
      pledgeBlocks,
    })
    assert.deepEqual(facts.anchorLog?.step?.root, crypto.sha256(new Uint8Array(0)))
    const proofs = [piece.registry, piece.anchorLog].flatMap((part) => Object.values(part ?? {})).flat()
    const bytes = proofs.reduce((sum, node) => sum + (node?.length ?? 0), piece.header.length)
    console.log(`chain piece: ${bytes} bytes in ${proofs.length} nodes and a header`)
    const subject: ChainPiece.Subject = {
      registry: { address: book.nodeRegistry.address, nodeId: first, keyEpoch: 0 },
      log: { address: book.anchorLog.address, logId, size: 0n },
    }
    const startedMs = performance.now()
    for (let i = 0; i < 50; i++) ChainPiece.read(crypto, piece, subject)
    console.log(`proof check: ${((performance.now() - startedMs) / 50).toFixed(2)} ms`)

    // Trusted only once this reader has seen the block as final.
    const { number } = facts.header
    const anchors = trustAnchorsOf(book)
    const judge = (one: TrustAnchors.TrustAnchors) =>
      Finality.judge([one], {
        chainId: book.chainId,
        header: facts.header,
        nodeRegistry: facts.registry,
        anchorLog: facts.anchorLog,
      })
    assert.equal(judge(anchors).trusted, undefined)
    const pair = await until('finality', () => Rpc.fetchTrustedHeader(crypto, rpc, number).catch(() => undefined))
    const trusted = TrustAnchors.add(anchors, pair)
    assert.deepEqual(TrustAnchors.parse(TrustAnchors.serialize([trusted])), [trusted])
    assert.equal(judge(trusted).trusted, trusted)

    await assert.rejects(Rpc.fetchChainPiece(crypto, rpc, { ...request, keyEpoch: 9 }), { what: 'key-record' })
    await assert.rejects(Rpc.fetchChainPiece(crypto, rpc, { ...request, log: { ...request.log, size: 9n } }), {
      what: 'step',
    })
  })
})

describe('an endpoint that lies, stalls or forks', () => {
  test('is refused, each lie by its own name, and does not hang', async () => {
    const { chain, crypto, book } = scene
    const nodeId = await registerNode(registrar(), { endpoint: '' })
    const proxy = await openProxy(chain.url)
    const open = (chainId = chain.chainId, timeoutMs = 10_000) =>
      Rpc.create({ url: proxy.url, chainId, timeoutMs, retries: 1 })
    const fetchPiece = (rpc = open()) =>
      Rpc.fetchChainPiece(crypto, rpc, { nodeRegistry: book.nodeRegistry, nodeId, keyEpoch: 0, block: 'latest' })
    const on = (method: string, change: (result: never) => unknown) => (call: { method: string }) =>
      call.method === method ? change : undefined
    try {
      await fetchPiece()
      await assert.rejects(fetchPiece(open(1n)), { code: 'rpc-chain-id' })
      const flip = (hex: string) => hex.slice(0, -1) + (hex.endsWith('0') ? '1' : '0')
      type Block = Record<string, string>
      for (const name of ['hash', 'stateRoot', 'timestamp', 'extraData', 'requestsHash']) {
        proxy.mischief = on('eth_getBlockByNumber', (block: Block) => ({
          ...block,
          [name]: name === 'extraData' ? '0x00' : flip(block[name] as string),
        }))
        await assert.rejects(fetchPiece(), { code: 'rpc-header-hash' }, name)
      }
      for (const value of [7, '0x', 'zz', null, []]) {
        proxy.mischief = on('eth_getBlockByNumber', (block: Block) => ({ ...block, number: value }))
        await assert.rejects(fetchPiece(), { code: 'rpc-malformed' })
      }
      type Answer = { accountProof: string[]; storageProof: { key: string; value: string; proof: string[] }[] }
      for (const change of [
        (proof: Answer) => ({ ...proof, accountProof: proof.accountProof.slice(1) }),
        (proof: Answer) => ({
          ...proof,
          accountProof: proof.accountProof.with(0, flip(proof.accountProof[0] as string)),
        }),
        (proof: Answer) => ({ ...proof, storageProof: proof.storageProof.toReversed() }),
      ]) {
        proxy.mischief = on('eth_getProof', change as never)
        await assert.rejects(fetchPiece(), { code: 'rpc-proof' })
      }
      proxy.mischief = on('eth_getProof', (proof: Answer) => ({ ...proof, storageProof: [] }))
      await assert.rejects(fetchPiece(), { code: 'rpc-malformed' })
      // The value beside a proof is never believed; a zero only says that there is nothing yet.
      proxy.mischief = on('eth_getProof', (proof: Answer) => ({
        ...proof,
        storageProof: proof.storageProof.map((one) => ({ ...one, value: '0x1' })),
      }))
      await fetchPiece()
      proxy.mischief = () => undefined
      const rpc = open()
      const header = await Rpc.newest(crypto, rpc)
      const other = { ...book.nodeRegistry, codeHash: new Uint8Array(32) }
      const slots = Layout.keyRecordSlots(crypto, nodeId, 0)
      await assert.rejects(Rpc.readWords(crypto, rpc, { contract: other, slots, header }), { code: 'rpc-code-hash' })

      for (const mischief of ['stall', 'drop'] as const) {
        proxy.mischief = () => mischief
        const startedMs = performance.now()
        await assert.rejects(fetchPiece(open(chain.chainId, 400)), { code: 'rpc-unreachable' })
        assert.ok(performance.now() - startedMs < 10_000)
        await assert.rejects(fetchPiece(open(chain.chainId, 400)), (error: Error) => !error.message.includes(proxy.url))
      }
      proxy.mischief = () => undefined
      await fetchPiece()
    } finally {
      await proxy.close()
    }
  })

  test('a stalled endpoint leaves the view with an old block and its trouble, and it recovers', async () => {
    const { chain, crypto, book } = scene
    const proxy = await openProxy(chain.url)
    const rpc = Rpc.create({ url: proxy.url, chainId: chain.chainId, timeoutMs: 300, retries: 0 })
    const view = createChainView({ crypto, rpc, book, pollMs: 50 })
    try {
      const seen = await until('a block', () => view.newest())
      assert.ok(Math.abs(Date.now() - seen.seenAtMs) < 5_000)
      proxy.mischief = () => 'stall'
      await until('trouble', () => view.trouble())
      const old = view.newest()
      assert.ok(old !== undefined)
      proxy.mischief = () => undefined
      await until('a newer block', () => ((view.newest()?.number ?? 0n) > old.number ? true : undefined))
      await until('no trouble', () => (view.trouble() === undefined ? true : undefined))
      const nodeId = await registerNode(registrar(), { endpoint: '' })
      assert.deepEqual((await view.keyRecord(nodeId, 0))?.keyId, Cose.keyId(crypto, nodeSigner.publicKey))
      assert.equal(await view.keyRecord(nodeId, 99), undefined)
      assert.equal(await view.logHead(new Uint8Array(32)), undefined)
    } finally {
      await view.stop()
      await proxy.close()
    }
  })
})

describe('sender', () => {
  const setProfile = (nodeId: Uint8Array, endpoint: string) => ({
    to: scene.book.nodeRegistry.address,
    data: encode({
      abi: NodeRegistryContract.abi,
      functionName: 'updateNode',
      args: [Bytes.to0x(nodeId), endpoint, Bytes.to0x(new Uint8Array(32)), 0],
    }),
  })

  test('numbers concurrent calls without gaps, also when two senders share the key', async () => {
    const nodeId = await registerNode(registrar(), { endpoint: '' })
    const second = createSender({ rpc: scene.rpc, wallet: scene.wallet })
    const calls = Array.from({ length: 24 }, (_, i) =>
      (i % 3 === 0 ? second : scene.sender).send(setProfile(nodeId, `e${i}`)),
    )
    const mined = await Promise.all(calls)
    assert.equal(new Set(mined.map((one) => one.transactionHash)).size, 24)
    const refused = await Promise.allSettled([
      scene.sender.send(setProfile(new Uint8Array(32), '')),
      scene.sender.send(setProfile(nodeId, 'last')),
    ])
    assert.deepEqual(
      refused.map((one) => one.status),
      ['rejected', 'fulfilled'],
    )
    const args = [Bytes.to0x(nodeId)] as const
    const profile = await read(scene.rpc, scene.book.nodeRegistry.address, {
      abi: NodeRegistryContract.abi,
      functionName: 'getProfile',
      args,
    })
    assert.equal(profile.endpoint, 'last')
    second.close()
  })

  test('sends again what the chain dropped, and gives up in bounded time', async () => {
    const nodeId = await registerNode(registrar(), { endpoint: '' })
    const proxy = await openProxy(scene.chain.url)
    const rpc = Rpc.create({ url: proxy.url, chainId: scene.chain.chainId, timeoutMs: 5_000, retries: 0 })
    const sender = createSender({ rpc, wallet: scene.wallet, waitMs: 3_000, pollMs: 50 })
    try {
      let dropped = 0
      proxy.mischief = (call) => {
        if (call.method !== 'eth_sendRawTransaction' || dropped > 0) return undefined
        dropped++
        return () => 'swallowed'
      }
      // The proxy lets it through but the pool forgets it: what a restart of the chain does.
      const sent = sender.send(setProfile(nodeId, 'again'))
      await until('sent', () => (dropped > 0 ? true : undefined))
      await scene.rpc.request('anvil_dropAllTransactions')
      await sent.catch(() => undefined)
      proxy.mischief = (call) => (call.method === 'eth_getTransactionReceipt' ? 'drop' : undefined)
      await assert.rejects(sender.send(setProfile(nodeId, 'lost')), { code: 'transaction-lost' })
      proxy.mischief = () => undefined
      await sender.send(setProfile(nodeId, 'found'))
    } finally {
      sender.close()
      await proxy.close()
    }
  })
})

describe('anchoring', () => {
  test('end to end: signed, anchored, final; survives reorganisation, restart, loss of the endpoint and a stranger', async () => {
    const { chain, crypto, book, rpc } = scene
    const logId = await registerLog(registrar(), {
      signer: logSigner,
      ed25519Key: new Uint8Array(32).fill(7),
      pledgeBlocks,
    })
    const { log, append, anchored, signatures } = memoryLog(book, logId, logSigner)
    const proxy = await openProxy(chain.url)
    const behind = Rpc.create({ url: proxy.url, chainId: chain.chainId, timeoutMs: 500, retries: 0 })
    const sender = createSender({ rpc: behind, wallet: scene.wallet, waitMs: 5_000 })
    const cosigned: bigint[] = []
    const start = () => {
      const view = createChainView({ crypto, rpc: behind, book })
      const cosigners = [{ cosign: async (one: { size: bigint }) => void cosigned.push(one.size) }]
      return { view, service: startAnchoring({ book, view, sender, log, cosigners, intervalMs: 200 }) }
    }
    let { view, service } = start()
    const headSize = () => rpc.assertChain().then(() => view.stepRoot(logId, log.size()))
    const settledAt = (size: bigint) => until(`anchored at ${size}`, () => (anchored.has(size) ? true : undefined))
    try {
      append(5)
      const startedMs = performance.now()
      await settledAt(5n)
      const anchoredMs = performance.now() - startedMs
      const block = anchored.get(5n) as bigint
      await until('final', () => ((view.finalized()?.number ?? 0n) >= block ? true : undefined))
      console.log(
        `anchored after ${anchoredMs.toFixed(0)} ms, final after ${(performance.now() - startedMs).toFixed(0)} ms`,
      )
      assert.deepEqual(cosigned, [5n])

      for (let i = 0; i < 4; i++) {
        append(3)
        await settledAt(log.size())
      }
      assert.equal(signatures(), 5)
      assert.deepEqual(await headSize(), (await log.signCheckpoint(17n)).root)

      // Blocks taken back: the step is gone and is sent again, with the same signature.
      const before = anchored.get(17n) as bigint
      anchored.delete(17n)
      const depth = (await Rpc.newest(crypto, rpc)).number - before + 1n
      await rpc.request('anvil_reorg', [Number(depth), []])
      await settledAt(17n)
      assert.equal(signatures(), 5)
      assert.ok((await until('the step', () => view.step(logId, 17n))).blockNumber >= before)

      // The endpoint is lost in the middle of a submission, then comes back.
      proxy.mischief = (call) =>
        call.method === 'eth_sendRawTransaction'
          ? undefined
          : call.method === 'eth_getTransactionReceipt'
            ? 'drop'
            : undefined
      append(2)
      await until('signed', () => (signatures() === 6 ? true : undefined))
      proxy.mischief = () => 'stall'
      append(1)
      await until('trouble', () => (service.status().state === 'trouble' ? true : undefined))
      assert.equal(signatures(), 6)
      proxy.mischief = () => undefined
      await settledAt(20n)

      // A restart of the service while a state is signed and not anchored, and a stranger who anchors it first.
      await service.stop()
      await view.stop()
      append(2)
      await log.signCheckpoint(22n)
      append(2)
      const stranger = createChainView({ crypto, rpc, book })
      const { markAnchored: _, ...readOnly } = log
      const other = startAnchoring({
        book,
        view: stranger,
        sender: scene.sender,
        log: { ...readOnly, markAnchored: () => {} },
      })
      await until('the stranger', async () => ((await stranger.logHead(logId))?.size === 24n ? true : undefined))
      await other.stop()
      await stranger.stop()
      assert.equal(anchored.has(24n), false)
      ;({ view, service } = start())
      await settledAt(24n)
      assert.deepEqual([anchored.has(22n), service.status().trouble], [true, undefined])
      assert.ok(log.unanchored().length === 0)
    } finally {
      await service.stop()
      await view.stop()
      sender.close()
      await proxy.close()
    }
  })
})
