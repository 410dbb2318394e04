/** The whole thing with real processes: a daemon with a chain of its own, and the commands as a person types them. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import OpenAI from 'openai'

const root = join(import.meta.dirname, '..', '..')
const bin = join(root, 'apps', 'cli', 'bin', 'assay.mjs')
const example = join(root, 'examples', 'openai-drop-in', 'main.ts')
const question = 'What is a receipt?'
/** Pieces of a verdict that these tests read. */
type Verdict = {
  readonly outcome: string
  readonly step?: string
  readonly policy: { readonly name: string }
  readonly anchoring: readonly {
    readonly fact: string
    readonly because: string
    readonly assumptions: readonly string[]
  }[]
  readonly rows: readonly {
    readonly proposition: string
    readonly visibility: string
    readonly backing: readonly string[]
  }[]
  readonly requirements: readonly { readonly requirement: string; readonly status: string; readonly because: string }[]
}
type Last = {
  readonly calls: readonly {
    readonly title: string
    readonly mode: string
    readonly answer: string
    readonly receipt: string
    readonly verdicts: { readonly embedded: Verdict; readonly strict: Verdict }
  }[]
  readonly endpoints: { readonly gateway: string; readonly log: string; readonly chain: string }
}

let work: string
let home: string
let daemon: ChildProcess
let last: Last
before(
  async () => {
    work = mkdtempSync(join(tmpdir(), 'assay-e2e-'))
    home = join(work, 'home')
    daemon = spawn(process.execPath, [bin, 'up', '--json', '--port', '0'], {
      env: { ...process.env, ASSAY_HOME: home },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let errors = ''
    daemon.stderr?.on('data', (data: Buffer) => {
      errors += data
    })
    let output = ''
    last = await new Promise<Last>((resolve, reject) => {
      daemon.stdout?.on('data', (data: Buffer) => {
        output += data
        if (output.includes('\n')) resolve(JSON.parse(output.slice(0, output.indexOf('\n'))) as Last)
      })
      daemon.on('exit', (code) => reject(new Error(`the daemon ended with ${code}: ${errors}`)))
    })
  },
  { timeout: 120_000 },
)
after(async () => {
  if (daemon.exitCode === null) {
    const ended = new Promise((resolve) => daemon.on('exit', resolve))
    daemon.kill('SIGTERM')
    await ended
  }
  rmSync(work, { recursive: true, force: true })
})

type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string }

/** `npx assay ...` in the work folder. */
const assay = (args: readonly string[], env: Readonly<Record<string, string>> = {}) => run([bin, ...args], env)

function run(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Ran> {
  const child = spawn(process.execPath, args, {
    cwd: work,
    env: { ...process.env, ASSAY_HOME: home, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (data: Buffer) => {
    stdout += data
  })
  child.stderr.on('data', (data: Buffer) => {
    stderr += data
  })
  return new Promise((resolve) => child.on('close', (code) => resolve({ code: code ?? -1, stdout, stderr })))
}

async function verdictOf(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { code, stdout, stderr } = await assay([...args, '--json'], env)
  assert.notEqual(stdout, '', stderr)
  return { code, verdict: JSON.parse(stdout) as Verdict & { readonly error?: { readonly step?: string } } }
}

const row = (verdict: Verdict, name: string) => verdict.rows.find((one) => one.proposition === name)
const facts = (verdict: Verdict) => verdict.anchoring.map((one) => one.fact)

describe('up', () => {
  test('makes calls whose receipts meet `embedded`, one of them exact and recomputed', () => {
    assert.ok(last.calls.length >= 2)
    for (const call of last.calls) {
      assert.deepEqual(Object.keys(call), ['title', 'mode', 'answer', 'receipt', 'verdicts'])
      assert.match(call.receipt, /^[0-9a-f]{64}$/)
      assert.ok(['plain', 'exact', 'tee', 'zk'].includes(call.mode))
      assert.notEqual(call.answer, '')
      assert.equal(call.verdicts.embedded.outcome, 'MEETS')
      const final = call.verdicts.embedded.anchoring.find((one) => one.fact === 'final')
      assert.match(final?.because ?? '', /^development/)
    }
    const exact = last.calls.find((call) => call.mode === 'exact')
    for (const name of ['prepared', 'executed', 'rendered'])
      assert.deepEqual(row(exact?.verdicts.embedded as Verdict, name)?.backing, ['recomputed'])
    assert.deepEqual(Object.keys(last.endpoints).sort(), ['chain', 'gateway', 'log'])
  })

  test('says what `strict` lacks', () => {
    for (const { verdicts } of last.calls) {
      assert.equal(verdicts.strict.outcome, 'INSUFFICIENT')
      const open = verdicts.strict.requirements.filter((one) => one.status !== 'MET')
      assert.ok(open.length > 0 && open.every((one) => one.because !== ''))
      assert.ok(open.some((one) => one.requirement.startsWith('consequence')))
    }
  })
})

describe('ask, verify, cut', () => {
  test('ask waits for `final`, gives the answer and saves the receipt', async () => {
    const { code, stdout, stderr } = await assay(['ask', question, '--save', 'a.receipt'])
    assert.equal(code, 0, stderr)
    assert.notEqual(stdout.trim(), '')
    assert.match(stderr, /waiting for final/)
    assert.match(stderr, /MEETS under embedded/)
  })

  test('verify under `recorded` with recomputation: MEETS, `executed` recomputed', async () => {
    const { code, verdict } = await verdictOf(['verify', 'a.receipt', '--policy', 'recorded', '--recompute'])
    assert.deepEqual([code, verdict.outcome], [0, 'MEETS'])
    assert.deepEqual(row(verdict, 'executed')?.backing, ['recomputed'])
    assert.ok(facts(verdict).includes('final'))
  })

  test('the same offline, from the trust anchors of this home', async () => {
    const { code, verdict } = await verdictOf([
      ...['verify', 'a.receipt', '--policy', 'recorded', '--recompute', '--offline'],
    ])
    assert.deepEqual([code, verdict.outcome], [0, 'MEETS'])
    assert.deepEqual(row(verdict, 'executed')?.backing, ['recomputed'])
  })

  test('an empty home: INSUFFICIENT, no trusted header', async () => {
    const args = ['verify', 'a.receipt', '--policy', 'recorded', '--recompute', '--offline']
    const { code, verdict } = await verdictOf(args, { ASSAY_HOME: join(work, 'empty') })
    assert.deepEqual([code, verdict.outcome], [1, 'INSUFFICIENT'])
    assert.ok(verdict.requirements.some((one) => one.status === 'UNCHECKED' && one.because === 'no trusted header'))
  })

  test('any byte flipped: never MEETS, and the step is named', async () => {
    const bytes = readFileSync(join(work, 'a.receipt'))
    const places = Array.from({ length: 8 }, (_, i) => Math.floor((bytes.length * (2 * i + 1)) / 16))
    for (const place of [1, 20, ...places, bytes.length - 1]) {
      const flipped = Buffer.from(bytes)
      flipped[place] = (flipped[place] as number) ^ 1
      writeFileSync(join(work, 'flipped.receipt'), flipped)
      const { code, verdict } = await verdictOf(['verify', 'flipped.receipt', '--policy', 'recorded', '--offline'])
      assert.equal(code, 2, `byte ${place}`)
      assert.match(verdict.step ?? verdict.error?.step ?? '', /^[a-z-]+$/)
    }
  })

  test('after cut: still checks, and the prompt is hidden', async () => {
    assert.equal((await assay(['cut', 'a.receipt', '-o', 'b.receipt'])).code, 0)
    assert.ok(readFileSync(join(work, 'a.receipt')).includes(question))
    assert.ok(!readFileSync(join(work, 'b.receipt')).includes(question))
    const { code, verdict } = await verdictOf(['verify', 'b.receipt', '--policy', 'recorded', '--offline'])
    assert.deepEqual([code, verdict.outcome], [0, 'MEETS'])
    assert.equal(row(verdict, 'request')?.visibility, 'hidden')
  })

  for (const wait of ['pledged', 'included', 'anchored'])
    test(`ask --wait ${wait} gives the answer earlier, under a policy that says so`, async () => {
      const { code, stdout, stderr } = await assay(['ask', question, '--wait', wait, '--json'])
      assert.equal(code, 0, stderr)
      const { answer, verdict } = JSON.parse(stdout) as { readonly answer: string; readonly verdict: Verdict }
      assert.notEqual(answer, '')
      assert.deepEqual([verdict.outcome, verdict.policy.name], ['MEETS', `embedded-${wait}`])
      assert.ok(facts(verdict).includes(wait))
    })

  test('what was not waited for rises afterwards', async () => {
    const until = Date.now() + 90_000
    for (;;) {
      const { stdout } = await assay(['log', 'pending', '--json'])
      if ((JSON.parse(stdout) as readonly unknown[]).length === 0) break
      assert.ok(Date.now() < until, 'receipts stay pending')
      await assay(['log', 'raise'])
    }
  })

  test('below the policy there is no answer on stdout', async () => {
    const { code, stdout, stderr } = await assay(['ask', question, '--policy', 'strict', '--timeout', '1'])
    assert.deepEqual([code, stdout], [1, ''])
    assert.match(stderr, /The answer is not shown/)
  })

  test('infer reads a digit', async () => {
    const { code, stdout, stderr } = await assay(['infer', 'digits', '--sample', '2', '--json'])
    assert.equal(code, 0, stderr)
    const { answer } = JSON.parse(stdout) as { readonly answer: readonly { readonly data: readonly number[] }[] }
    assert.equal(answer[0]?.data.length, 10)
  })
})

describe('around it', () => {
  test('the log shows the receipts, and proves one', async () => {
    const tail = JSON.parse((await assay(['log', 'tail', '-n', '200', '--json'])).stdout) as readonly {
      receipt: string
    }[]
    for (const { receipt } of last.calls) assert.ok(tail.some((entry) => entry.receipt === receipt))
    assert.equal((await assay(['log', 'proof', 'a.receipt'])).code, 0)
    assert.equal((await assay(['log', 'status'])).code, 0)
  })

  test('doctor finds nothing missing; reset refuses while the daemon runs', async () => {
    const { code, stdout } = await assay(['doctor', '--json'])
    assert.equal(code, 0, stdout)
    assert.equal((await assay(['reset', '--keys', 'all', '--yes'])).code, 64)
  })

  test('a stock OpenAI client talks to the gateway', async () => {
    const openai = new OpenAI({ baseURL: `${last.endpoints.gateway}/v1`, apiKey: 'local', maxRetries: 0 })
    const answer = await openai.chat.completions.create({
      ...{ model: 'tiny', messages: [{ role: 'user', content: question }], temperature: 0 },
    })
    assert.notEqual(answer.choices[0]?.message.content ?? '', '')
  })

  test('the drop-in example gives its answer, and sends nothing to a chain that its reader has not named', async () => {
    const { code, stdout, stderr } = await run([example, question], {})
    assert.equal(code, 0, stderr)
    assert.notEqual(stdout.trim(), '')
    const stranger = join(work, 'stranger')
    mkdirSync(stranger)
    writeFileSync(join(stranger, 'reader.json'), readFileSync(join(home, 'reader.json')))
    const anchors = JSON.parse(readFileSync(join(home, 'anchors.json'), 'utf8')) as { anchorLog: { address: string } }[]
    for (const entry of anchors) entry.anchorLog.address = `0x${'11'.repeat(20)}`
    writeFileSync(join(stranger, 'anchors.json'), JSON.stringify(anchors))
    const refused = await run([example, question], { ASSAY_HOME: stranger })
    assert.deepEqual([refused.code, refused.stdout], [1, ''])
    assert.match(refused.stderr, /untrusted-chain/)
  })

  test('neither logs nor the home hold the prompt, but for the file that was asked for', () => {
    assert.ok(!readFileSync(join(home, 'daemon.log'), 'utf8').includes(question))
  })

  test('SIGTERM ends the daemon in order', async () => {
    const ended = new Promise<number | null>((resolve) => daemon.on('exit', (code) => resolve(code)))
    daemon.kill('SIGTERM')
    assert.equal(await ended, 0)
  })
})
