/**
 * verifier.test.ts - hostile files given to `assay verify` and `assay inspect` as processes: a verdict or a typed error,
 * in bounded time and memory, without a word of what the file holds.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Bundle, Bytes } from 'assay/protocol'
import * as Calls from '../crash/Calls.ts'

const root = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'assay-verify-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const MiB = 1024 * 1024
const flips = Number(process.env.ASSAY_FIRE_FLIPS ?? 6)
// Told at the end of the process, on a stream of its own.
const peak = `data:text/javascript,import{writeSync}from'node:fs';process.on('exit',()=>writeSync(3,String(process.resourceUsage().maxRSS)))`

type Ran = {
  readonly code: number | null
  readonly out: string
  readonly err: string
  readonly peakBytes: number
  readonly ms: number
}

async function assay(...args: readonly string[]): Promise<Ran> {
  const startedMs = performance.now()
  const child = spawn(process.execPath, ['--import', peak, join(root, 'apps/cli/src/main.ts'), ...args], {
    env: { ...process.env, ASSAY_HOME: join(folder, 'home'), NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    timeout: 30_000,
  })
  const texts = ['', '', '']
  for (const [i, stream] of [child.stdout, child.stderr, child.stdio[3]].entries())
    (stream as NodeJS.ReadableStream).on('data', (chunk: Buffer) => {
      texts[i] += chunk.toString('utf8')
    })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  const [out = '', err = '', rss = ''] = texts
  return { code, out, err, peakBytes: Number(rss) * 1024, ms: performance.now() - startedMs }
}

const cbor = (major: number, length: number | bigint) =>
  Bytes.concat(Bytes.u8((major << 5) | 27), Bytes.u64(BigInt(length)))
const good = goodBundle()

/** The largest bundle of the project's own vectors. */
function goodBundle(): Uint8Array {
  const { cases } = JSON.parse(readFileSync(join(root, 'vectors/bundle.json'), 'utf8')) as {
    cases: { input: string }[]
  }
  const found = cases.map(({ input }) => Bytes.fromHex(input))
  const readable = found.filter((bytes) => {
    try {
      Bundle.parse(bytes)
      return true
    } catch {
      return false
    }
  })
  return readable.sort((a, b) => b.length - a.length)[0] as Uint8Array
}

const flipped = () => {
  const bytes = Uint8Array.from(good)
  const at = randomInt(bytes.length)
  bytes[at] = (bytes[at] as number) ^ (1 << randomInt(8))
  return bytes
}

const hostile: readonly (readonly [string, Uint8Array])[] = [
  ['nothing', new Uint8Array(0)],
  ['words', Bytes.fromUtf8(`${Calls.marker} is no receipt`.repeat(1_000))],
  ['random bytes', new Uint8Array(randomBytes(100_000))],
  ['half a bundle', good.subarray(0, good.length >> 1)],
  ['a bundle and a byte', Bytes.concat(good, Uint8Array.of(0))],
  ['the most zeros', new Uint8Array(Bundle.maxBytes)],
  ['one byte too many', new Uint8Array(Bundle.maxBytes + 1)],
  ['deep nesting', new Uint8Array(2 * MiB).fill(0x81)],
  ['deep maps', new Uint8Array(2 * MiB).fill(0xa1)],
  ['a string of 2^62 bytes', Bytes.concat(cbor(2, 2n ** 62n), Bytes.fromUtf8(Calls.marker))],
  ['a list of 2^40 items', Bytes.concat(cbor(4, 2n ** 40n), new Uint8Array(1_000))],
  ['a map of 2^32 pairs', Bytes.concat(cbor(5, 2n ** 32n), new Uint8Array(1_000))],
  ['an endless string', Bytes.concat(Uint8Array.of(0x5f), new Uint8Array(MiB).fill(0x40))],
  ['four million items', Bytes.concat(Uint8Array.of(0x9a, 0, 0x3f, 0xff, 0xf0), new Uint8Array(0x3ffff0))],
  ['tags on tags', new Uint8Array(MiB).fill(0xc1)],
  ...Array.from({ length: flips }, (_, i) => [`a flipped bit (${i + 1})`, flipped()] as const),
]

// Reads the same bytes with the same parser.
const inspected = ['words', 'half a bundle', 'deep nesting', 'a list of 2^40 items']

test('hostile bundles: unreadable or INVALID by step, never met, never a defect', { timeout: 300_000 }, async (t) => {
  let most = 0
  let longest = 0
  const file = join(folder, 'a.receipt')
  writeFileSync(file, good)
  // What a good file takes, for scale: the runtime itself and the modules that it loads.
  const usual = await assay('verify', file, '--policy', 'recorded', '--offline', '--json')
  assert.ok([0, 1].includes(usual.code ?? -1), usual.out + usual.err)
  for (const [what, bytes] of hostile) {
    writeFileSync(file, bytes)
    for (const command of inspected.includes(what) ? ['verify', 'inspect'] : ['verify']) {
      const more = command === 'verify' ? ['--policy', 'recorded', '--offline'] : []
      const ran = await assay(command, file, ...more, '--json')
      const where = `${command} ${what}: ${ran.code} ${ran.out.slice(0, 500)} ${ran.err.slice(0, 500)}`
      assert.ok([1, 2, 64].includes(ran.code ?? -1), where)
      assert.ok(!/defect|at .*\.ts:\d+/.test(ran.out + ran.err), where)
      assert.ok(!(ran.out + ran.err).includes(Calls.marker), `quoted: ${where}`)
      const { error, outcome } = JSON.parse(ran.out) as { error?: { code: string }; outcome?: string }
      assert.ok(/^[a-z0-9-]+$/.test(error?.code ?? '') || outcome !== 'MEETS', where)
      most = Math.max(most, ran.peakBytes)
      longest = Math.max(longest, ran.ms)
    }
  }
  t.diagnostic(
    `usual ${(usual.peakBytes / MiB).toFixed(0)} MiB, most ${(most / MiB).toFixed(0)} MiB, longest ${longest.toFixed(0)} ms`,
  )
  // At most 262,144 items of some 200 bytes each, and a few copies of 4 MiB.
  assert.ok(most - usual.peakBytes < 96 * MiB, `${most - usual.peakBytes} bytes more than for a good file`)
  assert.ok(longest < 15_000)
})

test('files that are none', { timeout: 60_000 }, async () => {
  for (const path of [folder, join(folder, Calls.marker.toLowerCase()), '/dev/zero']) {
    const ran = await assay('verify', path, '--json')
    assert.equal(ran.code, 64, ran.out + ran.err)
    assert.equal((JSON.parse(ran.out) as { error: { code: string } }).error.code, 'file-unreadable')
  }
})
