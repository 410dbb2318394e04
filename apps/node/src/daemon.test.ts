/**
 * daemon.test.ts - the whole spine once: a real chain, log, witness and models, calls by the library's own client, verdicts
 * with recomputation, stop and start again, an older folder put back, and nothing said in any file or line that should not be.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Rpc } from 'assay/chain'
import { ChainAccess, Client, Stores } from 'assay/client'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Bytes, Head } from 'assay/protocol'
import { policies, recomputeWith } from 'assay/verify'
import { type Daemon, startDaemon } from './daemon.ts'
import { createExecutor } from './engine/executor.ts'
import type { LogRecord } from './gateway/Served.ts'

const models = join(import.meta.dirname, '../../../models')
const root = mkdtempSync(join(tmpdir(), 'assay-daemon-'))
const home = join(root, 'home')
const marker = 'kingfisher'
const prompt = `What is a receipt? Say it to the ${marker}.`
const records: LogRecord[] = []
const steps: string[] = []
const stderr: string[] = []
let daemon: Daemon
let receipt: { readonly hash: string; readonly head: Uint8Array; readonly text: string; readonly keyEpoch: number }

const start = () =>
  startDaemon({
    ...{ home, port: 0, models },
    onProgress: (step, detail) => steps.push(`${step} ${detail}`),
    log: (record) => records.push(record),
  })

before(async () => {
  const write = process.stderr.write.bind(process.stderr)
  process.stderr.write = ((chunk: string | Uint8Array, ...rest: []) => {
    stderr.push(String(chunk))
    return write(chunk, ...rest)
  }) as typeof process.stderr.write
  daemon = await start()
})
after(async () => {
  await daemon.stop()
  rmSync(root, { recursive: true, force: true })
})

async function clientOf(executor: ReturnType<typeof createExecutor>) {
  const { reader, endpoints } = daemon
  const anchors = Stores.memoryAnchorStore([reader.anchors])
  const rpc = Rpc.create({ url: endpoints.chain, chainId: reader.anchors.chainId })
  return Client.create({
    ...{ baseUrl: endpoints.gateway, crypto, anchors, pending: Stores.memoryPendingStore() },
    signer: createP256Signer(new Uint8Array(32).fill(5)),
    random: (length) => new Uint8Array(randomBytes(length)),
    names: { witnesses: [reader.witness], operators: [reader.operator], rewrites: [] },
    chain: ChainAccess.overRpc(crypto, rpc, reader.anchors),
    recompute: recomputeWith(crypto, executor),
  })
}

const json = (value: unknown) => Bytes.fromUtf8(JSON.stringify(value))
const chat = (change: Readonly<Record<string, unknown>> = {}) =>
  json({ model: 'tiny', messages: [{ role: 'user', content: prompt }], max_tokens: 24, temperature: 0.7, ...change })

test('a second daemon on the folder is refused before anything happens', async () => {
  const count = records.length
  await assert.rejects(start(), { code: 'folder-in-use' })
  assert.deepEqual(records.slice(count), [])
})

test('keys are in separate folders, each for its owner alone', () => {
  for (const role of ['node', 'log', 'log2', 'witness'])
    assert.equal(statSync(join(home, role, 'key.json')).mode & 0o777, 0o600)
  assert.equal(statSync(join(home, 'operator.key')).mode & 0o777, 0o600)
  const keys = ['node', 'log', 'log2', 'witness'].map(
    (role) => JSON.parse(readFileSync(join(home, role, 'key.json'), 'utf8')).publicKey,
  )
  assert.equal(new Set(keys).size, 4)
})

test('chat, a stream and tensors meet the policy `embedded` up to finality, and run again to the same bytes', async () => {
  const executor = createExecutor(models)
  const client = await clientOf(executor)
  const image = Array.from({ length: 64 }, (_, i) => i % 17)
  const digits = { inputs: [{ name: 'image', shape: [1, 64], datatype: 'FP32', data: image }] }
  const calls = [
    await client.call('/v1/chat/completions', chat(), { modes: 4 }),
    await client.call('/v1/chat/completions', chat({ stream: true, stop: ['.'], seed: 3 }), { modes: 4 }),
    await client.call('/v2/models/digits/infer', json(await withPorts(digits)), { modes: 4 }),
  ]
  for (const graded of calls) {
    const answer = await graded.meets(policies.embedded, { waitSeconds: 20 })
    assert.equal(answer.status, 200)
    const verdict = await graded.verdict(policies.embedded)
    const of = (name: string) => verdict.rows.find((row) => row.proposition === name)?.backing
    for (const name of ['ordered', 'prepared', 'executed', 'rendered']) {
      assert.ok(
        of(name)?.includes('recomputed'),
        `${name}: ${JSON.stringify(verdict.rows.find((row) => row.proposition === name))}`,
      )
    }
    const strict = await graded.verdict(policies.strict)
    assert.equal(strict.outcome, 'INSUFFICIENT')
    receipt = {
      ...{
        hash: graded.receiptHash,
        head: answer.bundle.receipt.head,
        keyEpoch: Head.parse(answer.bundle.receipt.head).keyEpoch,
      },
      text: Bytes.toUtf8((calls[0]?.unchecked().chunks[0] ?? new Uint8Array()) as Uint8Array),
    }
  }
  await executor.close()
})

/** The names of the digits model's input as the node describes it. */
async function withPorts(request: { inputs: { name: string; shape: number[] }[] }) {
  const described = (await (await fetch(`${daemon.endpoints.gateway}/v2/models/digits`)).json()) as {
    inputs: { name: string; shape: number[] }[]
  }
  const [port] = described.inputs
  assert.ok(port !== undefined)
  const shape = port.shape.map((dim) => (dim === -1 ? 1 : dim))
  return { inputs: request.inputs.map((input) => ({ ...input, name: port.name, shape })) }
}

test('the log publishes its checkpoint and tiles', async () => {
  const checkpoint = await (await fetch(`${daemon.endpoints.log}/checkpoint`)).text()
  assert.match(checkpoint, /^assay\/[0-9a-f]{64}\n[1-9]/)
  const size = Number(checkpoint.split('\n')[1])
  assert.equal((await fetch(`${daemon.endpoints.log}/tile/0/000.p/${size}`)).status, 200)
})

test('stop and start: receipts stay, the sequence goes on; an older copy of the node’s folder makes it take a new key', async () => {
  await daemon.stop()
  await daemon.stop()
  const copy = join(root, 'older')
  cpSync(join(home, 'node'), copy, { recursive: true })
  steps.length = 0
  const startedMs = performance.now()
  daemon = await start()
  const elapsedMs = performance.now() - startedMs
  assert.ok(elapsedMs < 10_000, `${elapsedMs} ms`)
  const kept = await fetch(`${daemon.endpoints.gateway}/v1/receipts/${receipt.hash}`)
  assert.equal(((await kept.json()) as { head: string }).head, Bytes.toBase64url(receipt.head))
  const next = await headOf(await ask())
  assert.deepEqual([next.keyEpoch, next.sequence > Head.parse(receipt.head).sequence], [receipt.keyEpoch, true])
  await daemon.stop()

  rmSync(join(home, 'node'), { recursive: true })
  cpSync(copy, join(home, 'node'), { recursive: true })
  steps.length = 0
  daemon = await start()
  assert.ok(
    steps.some((step) => /behind its log; this key signs no more/.test(step)),
    steps.join('\n'),
  )
  const fresh = await headOf(await ask())
  assert.ok(fresh.keyEpoch > receipt.keyEpoch)
  assert.equal(fresh.sequence, 0n)
  // The old key's receipts are still there, under the old key.
  const old = (await (await fetch(`${daemon.endpoints.gateway}/v1/receipts/${receipt.hash}`)).json()) as {
    publicKey: string
  }
  const info = (await (await fetch(`${daemon.endpoints.gateway}/.well-known/assay.json`)).json()) as {
    node: { publicKey: string }
  }
  assert.notEqual(old.publicKey, info.node.publicKey)

  // Put back once more, with the key that has ended on chain.
  await daemon.stop()
  rmSync(join(home, 'node'), { recursive: true })
  cpSync(copy, join(home, 'node'), { recursive: true })
  steps.length = 0
  daemon = await start()
  assert.ok(
    steps.some((step) => /has ended/.test(step)),
    steps.join('\n'),
  )
  assert.equal((await headOf(await ask())).sequence, 0n)
})

async function ask(): Promise<Response> {
  const response = await fetch(`${daemon.endpoints.gateway}/v1/chat/completions`, {
    ...{
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: chat({ max_tokens: 2 }) as Uint8Array<ArrayBuffer>,
    },
  })
  assert.equal(response.status, 200)
  return response
}

async function headOf(response: Response): Promise<Head.Head> {
  await response.text()
  return Head.parse(Bytes.fromBase64url(response.headers.get('assay-receipt') ?? '').slice(0, 139))
}

test('no file and no line holds a prompt or a completion, and keys and secrets stay where they belong', async () => {
  const response = await ask()
  const secret = response.headers.get('assay-secret') ?? 'none'
  const answered = (JSON.parse(await response.text()) as { id: string }).id
  const said = `${JSON.stringify(records)}${steps.join('\n')}${stderr.join('')}`
  const privateKeys = ['node', 'log', 'log2', 'witness'].map(
    (role) => JSON.parse(readFileSync(join(home, role, 'key.json'), 'utf8')).privateKey as string,
  )
  const operator = readFileSync(join(home, 'operator.key'), 'utf8').trim()
  const completion =
    (JSON.parse(receipt.text) as { choices: { message: { content: string } }[] }).choices[0]?.message.content ?? ''
  assert.ok(completion.length > 10)
  for (const word of [marker, completion, secret, answered, operator, ...privateKeys]) assert.ok(!said.includes(word))
  await daemon.stop()
  for (const entry of readdirSync(home, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const content = readFileSync(path)
    assert.equal(content.includes(marker), false, path)
    assert.equal(content.includes(completion), false, path)
    if (entry.name === 'key.json' || entry.name === 'operator.key') continue
    for (const key of [operator, ...privateKeys]) assert.equal(content.includes(key), false, path)
  }
})
