import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import * as net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { lockFolder } from '@assay/node/settle/folder-lock'
import { TrustAnchors } from 'assay/chain'
import { Bundle, Bytes } from 'assay/protocol'
import * as World from '../../../tests/fakes/World.ts'
import { modelsFolder } from './Context.ts'
import { execute } from './execute.ts'
import * as Terminal from './Terminal.ts'

let root: string
let home: string
let empty: string
let world: World.World
before(async () => {
  root = mkdtempSync(join(tmpdir(), 'assay-cli-'))
  empty = join(root, 'empty')
  world = await World.create()
  writeFileSync(join(root, 'a.receipt'), world.bytes)
})
after(() => rmSync(root, { recursive: true }))
beforeEach(() => {
  home = mkdtempSync(join(root, 'home-'))
  writeFileSync(join(home, 'anchors.json'), TrustAnchors.serialize(world.reader.anchors))
  const { operators, witnesses } = world.reader
  writeFileSync(
    join(home, 'reader.json'),
    JSON.stringify({
      // Nobody listens on port 1: a command that asks must live without an answer.
      ...{ chainRpcUrl: 'http://127.0.0.1:1', gatewayUrl: 'http://127.0.0.1:1', rewrites: [] },
      ...{ operators: operators.map(Bytes.to0x), witnesses: witnesses.map(Bytes.toHex) },
    }),
  )
})

/** Runs a command in memory, in the home of the test or another. */
async function run(
  args: readonly string[],
  options: { home?: string; isTTY?: boolean; env?: Record<string, string> } = {},
) {
  const out = { stdout: '', stderr: '' }
  const output = (name: 'stdout' | 'stderr') => ({
    write: (text: string) => {
      out[name] += text
    },
    ...{ isTTY: options.isTTY === true, columns: 72 },
  })
  const env = { ASSAY_HOME: options.home ?? home, ...options.env }
  const terminal = Terminal.create({ stdout: output('stdout'), stderr: output('stderr'), env })
  const code = await execute({ terminal, env, cwd: root, stopped: new AbortController().signal, modelsFolder }, args)
  return { code, ...out }
}

const json = async (args: readonly string[], options: Parameters<typeof run>[1] = {}) => {
  const result = await run([...args, '--json'], options)
  return { ...result, value: JSON.parse(result.stdout.trim().split('\n').at(-1) ?? '') }
}

describe('verify', () => {
  test('meets what the file and the home support; exit code 0', async () => {
    const { code, value } = await json(['verify', 'a.receipt', '--policy', 'recorded', '--offline'])
    assert.deepEqual([code, value.outcome, value.policy.name], [0, 'MEETS', 'recorded'])
    assert.ok(value.anchoring.some((entry: { fact: string }) => entry.fact === 'final'))
  })

  test('the default policy is strict; exit code 1', async () => {
    const { code, value } = await json(['verify', 'a.receipt', '--offline'])
    assert.deepEqual([code, value.outcome, value.policy.name], [1, 'INSUFFICIENT', 'strict'])
  })

  test('an empty home trusts no header', async () => {
    const { code, stdout } = await run(['verify', 'a.receipt', '--policy', 'recorded', '--offline'], { home: empty })
    assert.equal(code, 1)
    assert.match(stdout, /INSUFFICIENT/)
    assert.match(stdout, /no trusted header/)
    assert.ok(!readdirSync(root).includes('empty'), 'a verdict makes no folder')
  })

  test('trust anchors of another file replace those of the home', async () => {
    writeFileSync(join(root, 'none.json'), '[]')
    const { code } = await run(['verify', 'a.receipt', '--policy', 'recorded', '--offline', '--anchors', 'none.json'])
    assert.equal(code, 1)
    const own = ['verify', 'a.receipt', '--policy', 'recorded', '--offline', '--anchors', join(home, 'anchors.json')]
    assert.equal((await run(own, { home: empty })).code, 0)
    assert.equal((await run([...own.slice(0, -1), 'missing.json'])).code, 64)
  })

  test('offline opens no socket', async (t) => {
    const refuse = () => {
      throw new Error('a socket was opened')
    }
    t.mock.method(globalThis, 'fetch', refuse)
    t.mock.method(net.Socket.prototype, 'connect', refuse)
    const { code } = await run(['verify', 'a.receipt', '--policy', 'recorded', '--offline'])
    assert.equal(code, 0)
    assert.equal((await run(['explain', 'a.receipt'])).code, 0)
    assert.equal((await run(['inspect', 'a.receipt'])).code, 0)
  })

  test('a chain endpoint that does not answer leaves a verdict from the files', async () => {
    const { code, stderr } = await run(['verify', 'a.receipt', '--policy', 'recorded'])
    assert.equal(code, 0)
    assert.match(stderr, /judged from the files alone/)
  })

  test('a flipped byte never meets, and the step is named; exit code 2', async () => {
    const path = join(root, 'flipped.receipt')
    const steps = new Set<string>()
    const random = createHash('sha256').update('places').digest()
    for (let i = 0; i < 24; i++) {
      const flipped = world.bytes.slice()
      const place = Math.floor((flipped.length * (i + (random[i] as number) / 256)) / 24)
      flipped[place] = (flipped[place] as number) ^ 0x10
      writeFileSync(path, flipped)
      const { code, value } = await json(['verify', path, '--policy', 'recorded', '--offline'])
      assert.equal(code, 2, `byte ${place}`)
      const step = value.step ?? value.error.step
      assert.equal(typeof step, 'string')
      steps.add(step)
    }
    assert.ok(steps.size >= 4, [...steps].join())
  })

  test('bytes that are no receipt are unreadable; exit code 2', async () => {
    writeFileSync(join(root, 'x'), 'hello')
    const { code, stdout } = await run(['verify', 'x', '--offline'])
    assert.equal(code, 2)
    assert.match(stdout, /UNREADABLE\(parse\)/)
  })

  test('a policy file may ask for less or more, and is read strictly', async () => {
    const policy = { name: 'mine', requirements: { anchoring: 'included' }, forbid: [], accept: [] }
    writeFileSync(join(root, 'mine.json'), JSON.stringify(policy))
    assert.equal((await run(['verify', 'a.receipt', '--offline', '--policy', 'mine.json'])).code, 0)
    writeFileSync(join(root, 'bad.json'), JSON.stringify({ ...policy, score: 9 }))
    assert.equal((await run(['verify', 'a.receipt', '--offline', '--policy', 'bad.json'])).code, 64)
    assert.equal((await run(['verify', 'a.receipt', '--offline', '--policy', 'lenient'])).code, 64)
  })
})

describe('cut, inspect, explain', () => {
  test('by default the prompt goes and the rest still checks', async () => {
    const { code, value } = await json(['cut', 'a.receipt', '-o', 'b.receipt'])
    assert.equal(code, 0)
    assert.deepEqual(value.hidden, ['request', 'effectiveRequest'])
    assert.deepEqual(value.bodies, ['response', 'output'])
    const cut = readFileSync(join(root, 'b.receipt'))
    assert.ok(!cut.includes('Hello'))
    assert.ok(Buffer.from(world.bytes).includes('Hello'))
    const { value: verdict } = await json(['verify', 'b.receipt', '--policy', 'recorded', '--offline'])
    assert.equal(verdict.outcome, 'MEETS')
    const of = (name: string) => verdict.rows.find((row: { proposition: string }) => row.proposition === name)
    assert.deepEqual([of('request').visibility, of('ordered').backing], ['hidden', ['signed']])
  })

  test('what is named goes, and an unknown name is a mistake', async () => {
    assert.equal((await run(['cut', 'a.receipt', '-o', 'c.receipt', '--drop-body', 'all', '--drop', 'chain'])).code, 0)
    const bundle = Bundle.parse(Uint8Array.from(readFileSync(join(root, 'c.receipt'))))
    assert.deepEqual([bundle.bodies, bundle.chain], [undefined, undefined])
    assert.equal((await run(['cut', 'a.receipt', '-o', 'd.receipt', '--hide', 'prompt'])).code, 64)
  })

  test('inspect and explain show no prompt and no answer; raw shows every byte', async () => {
    for (const command of ['inspect', 'explain']) {
      const { code, stdout } = await run([command, 'a.receipt'])
      assert.equal(code, 0)
      assert.ok(!stdout.includes('Hello') && !stdout.includes(Buffer.from('Hello').toString('hex')))
    }
    assert.ok((await run(['inspect', 'a.receipt', '--raw'])).stdout.includes(Buffer.from('Hello').toString('hex')))
    const { value } = await json(['inspect', 'a.receipt'])
    assert.ok(value.pieces.some((one: { piece: string; bytes: number }) => one.piece === 'head' && one.bytes === 139))
  })
})

describe('usage', () => {
  test('exit code 64 for what is not understood, 75 for what is not there now', async () => {
    for (const args of [
      ['fly'],
      ['verify'],
      ['verify', 'none'],
      ['ask', 'x', '--wait', 'ever'],
      ['up', '--port', '99999'],
    ])
      assert.equal((await run(args)).code, 64, args.join(' '))
    assert.equal((await run(['ask', 'a secret prompt'])).code, 75)
    assert.equal((await run(['ask', 'x'], { home: empty })).code, 64)
  })

  test('every command has help with examples', async () => {
    const commands = 'up ask infer verify explain inspect cut doctor reset'.split(' ').map((name) => [name])
    const below = ['list', 'show', 'hash', 'check'].map((name) => ['policy', name])
    const logs = ['status', 'tail', 'proof', 'pending', 'raise'].map((name) => ['log', name])
    for (const command of [...commands, ...below, ...logs]) {
      const { code, stdout } = await run([...command, '--help'])
      assert.equal(code, 0, command.join(' '))
      assert.match(stdout, /Examples:\n {2}assay /, command.join(' '))
      assert.match(stdout, /--json/)
    }
    for (const group of [[], ['policy'], ['log']])
      assert.match((await run([...group, '--help'])).stdout, /Examples:\n {2}assay /, group.join(' '))
    assert.match((await run(['--help'])).stdout, /Exit codes: 0 MEETS/)
    assert.match(
      (await run(['ask', '--help'])).stdout.replace(/\s+/g, ' '),
      /because your home names this operator itself/,
    )
  })

  test('errors never repeat the prompt', async () => {
    const { stdout, stderr } = await json(['ask', 'a secret prompt'])
    assert.ok(!`${stdout}${stderr}`.includes('secret prompt'))
  })

  test('a damaged reader.json is named with its place', async () => {
    writeFileSync(join(home, 'reader.json'), '{"operators":["0xNOBODY"],"witnesses":[],"rewrites":[]}')
    const { code, stderr } = await run(['verify', 'a.receipt', '--offline'])
    assert.equal(code, 64)
    assert.match(stderr, /\$\.operators\[0\]/)
  })
})

describe('policy', () => {
  test('lists four, shows one, and the shown one is well-formed', async () => {
    const { value } = await json(['policy', 'list'])
    assert.deepEqual(value.map((one: { name: string }) => one.name).sort(), [
      'bonded',
      'embedded',
      'recorded',
      'strict',
    ])
    writeFileSync(join(root, 'copy.json'), (await run(['policy', 'show', 'strict'])).stdout)
    const check = await json(['policy', 'check', 'copy.json'])
    const strict = value.find((one: { name: string }) => one.name === 'strict')
    assert.deepEqual([check.code, check.value], [0, strict])
  })
})

describe('reset', () => {
  test('refuses while a daemon holds the home, and without a yes', async () => {
    const unlock = lockFolder(home)
    try {
      const { code, stderr } = await run(['reset', '--keys', 'all', '--yes'])
      assert.equal(code, 64)
      assert.match(stderr, /Another process works in this folder/)
    } finally {
      unlock()
    }
    assert.equal((await run(['reset'])).code, 64)
  })

  test('puts folders aside without their keys, and forgets names that end', async () => {
    for (const name of ['node', 'log', 'witness', 'chain']) {
      mkdirSync(join(home, name))
      writeFileSync(join(home, name, 'key.json'), '{}')
    }
    const { code, stderr } = await run(['reset', '--keys', 'all', '--chain', '--yes'])
    assert.equal(code, 0, stderr)
    const left = readdirSync(home)
    for (const name of ['node', 'log', 'witness', 'chain', 'reader.json', 'anchors.json']) {
      assert.ok(!left.includes(name), name)
      const aside = left.find((one) => one.startsWith(`${name}.before-`))
      assert.ok(aside !== undefined, name)
      if (!name.endsWith('.json')) assert.deepEqual(readdirSync(join(home, aside)), [])
    }
    assert.match(stderr, /pledges of the old log that are not anchored yet are broken for ever/)
  })
})

describe('doctor', () => {
  test('says what is there, and an exposed key is wrong', async () => {
    mkdirSync(join(home, 'client'))
    writeFileSync(join(home, 'client', 'key.json'), '{}', { mode: 0o644 })
    const { code, value } = await json(['doctor'])
    assert.equal(code, 1)
    const of = (what: string) => value.findings.find((one: { what: string }) => one.what === what)?.state
    assert.deepEqual([of('Node.js'), of('key of client'), of('daemon')], ['ok', 'wrong', 'info'])
  })
})

describe('the terminal', () => {
  test('has colour and folded lines on a terminal, and plain whole lines elsewhere or with NO_COLOR', async () => {
    const args = ['verify', 'a.receipt', '--policy', 'recorded', '--offline']
    const onTerminal = (await run(args, { isTTY: true })).stdout
    assert.ok(onTerminal.includes('\x1b[32m'))
    const escape = /\x1b\[\d+m/g
    const words = onTerminal.replace(escape, '').split('\n')
    assert.ok(
      words.filter((line) => line.length > 72).every((line) => !line.trim().includes(' ') || / \S{40,}/.test(line)),
    )
    assert.ok(!(await run(args)).stdout.includes('\x1b['))
    assert.ok(!(await run(args, { isTTY: true, env: { NO_COLOR: '1' } })).stdout.includes('\x1b['))
  })

  test('what others write cannot drive it', () => {
    assert.equal(Terminal.printable('a\x1b[2Jb\x07c\r\u202ed\u009b31m'), 'ab\ufffdc\ufffd\ufffdd')
  })
})
