/** `assay fault` and `assay settle`, the steps that matter as processes, on a chain with contracts, against subjects with stake. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { trustAnchorsOf } from '@assay/node/settle/deploy'
import * as Evidence from '@assay/node/settle/evidence'
import { openScene } from '@assay/node/settle/scene'
import { CaseCalls, CourtCalls, Rpc, Sender, TrustAnchors } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes, Checkpoint, Cose, Fault, Merkle, Note } from 'assay/protocol'
import { privateKeyToAccount } from 'viem/accounts'
import { modelsFolder } from './Context.ts'
import { execute } from './execute.ts'
import * as Terminal from './Terminal.ts'

const main = join(import.meta.dirname, 'main.ts')
const bytesOf = (name: string) => new Uint8Array(createHash('sha256').update(name).digest())

describe('the court from the command line', () => {
  let scene: Evidence.Scene
  let work: string
  let home: string
  const children = new Set<ChildProcess>()
  before(async () => {
    scene = await openScene({ blockTimeSeconds: 0.2 })
    work = mkdtempSync(join(tmpdir(), 'assay-court-'))
    home = newHome('home')
  })
  after(async () => {
    for (const child of children) child.kill('SIGKILL')
    await scene?.close()
    rmSync(work, { recursive: true, force: true })
  })

  function newHome(name: string, chainRpcUrl = scene.chain.url): string {
    const folder = join(work, name)
    mkdirSync(folder)
    writeFileSync(join(folder, 'anchors.json'), TrustAnchors.serialize([trustAnchorsOf(scene.book)]))
    const reader = { chainRpcUrl, gatewayUrl: null, operators: [], witnesses: [], rewrites: [] }
    writeFileSync(join(folder, 'reader.json'), JSON.stringify(reader))
    return folder
  }

  function start(args: readonly string[], of = home) {
    const env = { ...process.env, ASSAY_HOME: of, NO_COLOR: '1' }
    const child = spawn(process.execPath, [main, ...args], { cwd: work, env, stdio: ['ignore', 'pipe', 'pipe'] })
    children.add(child)
    const out = { stdout: '', stderr: '' }
    child.stdout.on('data', (data: Buffer) => {
      out.stdout += data
    })
    child.stderr.on('data', (data: Buffer) => {
      out.stderr += data
    })
    const ended = new Promise<{ code: number; stdout: string; stderr: string }>((resolve) =>
      child.on('close', (code) => {
        children.delete(child)
        resolve({ code: code ?? -1, ...out })
      }),
    )
    return { child, ended }
  }

  /** The command in this process: a start costs most of a second. */
  async function run(args: readonly string[], of = home) {
    const out = { stdout: '', stderr: '' }
    const output = (name: 'stdout' | 'stderr') => ({
      write: (text: string) => {
        out[name] += text
      },
    })
    const env = { ASSAY_HOME: of }
    const terminal = Terminal.create({ stdout: output('stdout'), stderr: output('stderr'), env })
    const stopped = new AbortController().signal
    return { code: await execute({ terminal, env, cwd: work, stopped, modelsFolder }, args), ...out }
  }
  async function json(args: readonly string[], of?: string, as: 'process' | 'call' = 'call') {
    const ran = await (as === 'process' ? start([...args, '--json'], of).ended : run([...args, '--json'], of))
    const last = ran.stdout.trim().split('\n').at(-1) ?? ''
    assert.ok(last.startsWith('{') || last.startsWith('['), ran.stderr + ran.stdout)
    return { ...ran, value: JSON.parse(last) }
  }

  const put = (name: string, file: Uint8Array) => {
    writeFileSync(join(work, name), file)
    return name
  }

  test('verify: accepted, conditional, refused', async () => {
    const node = await Evidence.newNode(scene, Evidence.roleOf.node)
    const log = await Evidence.newLog(scene)
    const heads = await Evidence.ofHeads(scene, node, 1, 3n)
    put('heads.fault', heads)
    const good = await json(['fault', 'verify', 'heads.fault'], home, 'process')
    assert.deepEqual([good.code, good.value.outcome, good.value.class], [0, 'accepted', 1])
    assert.equal(good.value.accused, `node ${Bytes.toHex(node.nodeId)}`)
    assert.deepEqual([good.value.recorded, good.value.staked], [false, '1,000 ASY'])
    assert.match((await run(['fault', 'verify', 'heads.fault'])).stdout, /ACCEPTED {2}two receipts in one place/)

    put('leaf.fault', await Evidence.ofLeaf(scene, log))
    const alone = await json(['fault', 'verify', 'leaf.fault', '--offline'])
    assert.deepEqual([alone.code, alone.value.outcome], [1, 'conditional'])
    assert.match(alone.value.holdsIf, /^the log has anchored [0-9a-f]{64} at size 3$/)
    const seen = await json(['fault', 'verify', 'leaf.fault'])
    assert.deepEqual([seen.code, seen.value.outcome], [0, 'accepted'])

    const parsed = Fault.parse(heads) as Fault.Fault & { class: 1 }
    const evidence = { ...parsed.evidence, signatureB: parsed.evidence.signatureA }
    put('bent.fault', Fault.serialize({ class: 1, evidence }))
    const bent = await json(['fault', 'verify', 'bent.fault'])
    assert.deepEqual([bent.code, bent.value.outcome, bent.value.code], [2, 'refused', 'bad-signature'])
    const stranger = { ...node, nodeId: bytesOf('stranger') }
    put('stranger.fault', await Evidence.ofHeads(scene, stranger, 1, 3n))
    const other = await json(['fault', 'verify', 'stranger.fault'])
    assert.deepEqual([other.code, other.value.code], [2, 'accuses-nobody-here'])
    assert.equal((await run(['fault', 'verify', 'stranger.fault', '--offline'])).code, 0)
    put('no.fault', Uint8Array.of(1))
    assert.equal((await run(['fault', 'verify', 'no.fault'])).code, 2)
    const submitted = await json(['fault', 'submit', 'bent.fault'])
    assert.deepEqual([submitted.code, submitted.value.code], [2, 'bad-signature'])
    // Whom the chain does not know now it may know later: not kept, and not refused for good.
    const unknown = await json(['fault', 'submit', 'stranger.fault'])
    assert.deepEqual([unknown.code, unknown.value.code], [75, 'accuses-nobody-here'])
    assert.match((await run(['fault', 'list'])).stdout, /your evidence \(0\)/)
  })

  test('submit: killed on the way, then on record, listed, and the reporter paid; a second reporter is told', async () => {
    const node = await Evidence.newNode(scene, Evidence.roleOf.node)
    put('double.fault', await Evidence.ofHeads(scene, node, 1, 3n))
    const own = newHome('killed')
    const { child, ended } = start(['fault', 'submit', 'double.fault'], own)
    const faults = join(own, 'client', 'faults')
    for (let tries = 0; tries < 600; tries++) {
      try {
        if (readdirSync(faults).some((name) => name.endsWith('.filing'))) break
      } catch {}
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    child.kill('SIGKILL')
    await ended
    const { code, value } = await json(['fault', 'submit', 'double.fault'], own, 'process')
    assert.deepEqual([code, value.stage, value.class], [0, 'rewarded', 1])
    const { self, isEnded } = await CourtCalls.stakeOf(scene.rpc, scene.book.stake.stakeManager.address, node.nodeId)
    assert.deepEqual([self, isEnded], [0n, true])
    const listed = await json(['fault', 'list'], own, 'process')
    assert.deepEqual([listed.value.own.length, listed.value.own[0].stage], [1, 'rewarded'])
    const record = listed.value.recorded.find((one: { subject: string }) => one.subject === Bytes.toHex(node.nodeId))
    assert.deepEqual(
      [record.penalty, record.reporterReward, record.reporter, record.percent],
      ['1,000 ASY', '250 ASY', value.account, 100],
    )
    const second = await json(['fault', 'submit', 'double.fault'], newHome('second'))
    assert.deepEqual([second.code, second.value.stage, second.value.reporter], [0, 'recorded', value.account])
    assert.equal((await json(['fault', 'submit', 'double.fault'], own)).value.stage, 'rewarded')
    assert.match((await run(['fault', 'list'], own)).stdout, /your evidence \(1\)/)
  })

  test('settle: a log that does not bring its states to the chain is anchored by a stranger', async () => {
    const log = await Evidence.newLog(scene)
    const leaves = Array.from({ length: 5 }, (_, i) => bytesOf(`leaf ${i}`))
    const signed = async (size: bigint) => {
      const root = Merkle.root(crypto, leaves.slice(0, Number(size)))
      const statement = {
        chainId: scene.book.chainId,
        anchorLog: scene.book.anchorLog.address,
        logId: log.logId,
        size,
        root,
      }
      const payload = Checkpoint.payload(crypto, Checkpoint.words(statement))
      return { statement, signature: await Cose.sign(crypto, log.signer, 'checkpoint', payload) }
    }
    const [three, five] = [await signed(3n), await signed(5n)]
    const note = Checkpoint.toNote(crypto, five.statement, {
      log: { publicKey: log.signer.publicKey, signature: five.signature },
    })
    const files = new Map<string, Uint8Array | string>([
      ['/logs/a/checkpoint', Note.serialize(note)],
      ['/logs/a/tile/0/000.p/5', Bytes.concat(...leaves)],
      [
        '/logs/a/unanchored',
        JSON.stringify({
          checkpoints: [
            { size: '3', root: Bytes.toBase64url(three.statement.root), signature: Bytes.toBase64url(three.signature) },
            { size: '4', root: Bytes.toBase64url(three.statement.root), signature: Bytes.toBase64url(three.signature) },
          ],
        }),
      ],
    ])
    const server: Server = createServer((request, response) => {
      const found = files.get(request.url ?? '')
      response.statusCode = found === undefined ? 404 : 200
      response.end(found)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/logs/a`
    try {
      const dry = await json(['settle', '--log', url, '--dry-run'])
      const sizes = (value: { logs: { states: { size: string }[] }[] }) => value.logs[0]?.states.map(({ size }) => size)
      assert.deepEqual([dry.code, sizes(dry.value)], [0, ['3', '5']])
      const done = await json(['settle', '--log', url], home, 'process')
      assert.deepEqual([done.code, sizes(done.value)], [0, ['3', '5']])
      assert.match(done.value.logs[0].transaction, /^0x[0-9a-f]{64}$/)
      const record = await CourtCalls.logRecord(scene.rpc, scene.book.anchorLog.address, log.logId)
      assert.deepEqual([record?.headSize, record?.headRoot], [5n, five.statement.root])
      const again = await run(['settle', '--log', url])
      assert.deepEqual([again.code, /nothing to do/.test(again.stdout)], [0, true])
      // Files that do not lead to what was signed anchor nothing.
      leaves.push(bytesOf('leaf 5'), bytesOf('leaf 6'))
      const seven = await signed(7n)
      const { publicKey } = log.signer
      const later = Checkpoint.toNote(crypto, seven.statement, { log: { publicKey, signature: seven.signature } })
      files.set('/logs/a/checkpoint', Note.serialize(later))
      files.set('/logs/a/tile/0/000.p/7', Bytes.concat(...leaves.toReversed()))
      assert.equal((await run(['settle', '--log', url])).code, 75)
      assert.equal((await run(['settle', '--log', `${url}/nothing`])).code, 64)
    } finally {
      server.close()
    }
  })

  test('cases nobody answers: looked at, ended, paid back; one that a stranger ended is withdrawn', async () => {
    const log = await Evidence.newLog(scene)
    await Evidence.anchor(scene, log, [bytesOf('leaf 0'), bytesOf('leaf 1')])
    const logId = Bytes.toHex(log.logId)
    const own = newHome('challenger')
    const first = await json(['fault', 'challenge', logId, '0'], own, 'process')
    assert.deepEqual([first.code, first.value[0].stage, first.value[0].index], [0, 'open', '0'])
    const [{ caseId, bond }] = first.value
    assert.deepEqual((await json(['fault', 'challenge', logId, '0'], own)).value, first.value)
    assert.equal((await json(['fault', 'challenge', logId, '1', '--limit', '1'], own)).value.error.code, 'spend-limit')
    assert.equal((await json(['fault', 'challenge', logId, '2'], own)).value.error.code, 'call-reverted')
    assert.equal((await json(['fault', 'challenge', 'log', '0'], own)).value.error.code, 'case-input')
    assert.deepEqual((await json(['fault', 'expire'], own)).value, first.value)
    await Evidence.mine(scene, 301)
    assert.equal((await json(['fault', 'cases'], own, 'process')).value[0].stage, 'open')
    const ended = await json(['fault', 'expire'], own, 'process')
    assert.deepEqual([ended.code, ended.value.length], [0, 1])
    const [{ stage, reward, paid }] = ended.value
    assert.deepEqual([stage, reward, paid], ['expired', '50 ASY', bond])
    assert.deepEqual((await json(['fault', 'cases'], own)).value, ended.value)
    assert.deepEqual((await json(['fault', 'withdraw'], own)).value, { wei: '0' })
    const { recorded } = (await json(['fault', 'list'], own)).value
    const record = recorded.find((one: { faultId: string }) => one.faultId === caseId)
    assert.deepEqual([record.class, record.penalty, record.reporterReward], [17, '200 ASY', '50 ASY'])

    const second = (await json(['fault', 'challenge', logId, '1'], own)).value[0]
    assert.equal(second.stage, 'open')
    await Evidence.mine(scene, 301)
    const data = CaseCalls.expireCase(CaseCalls.entryCase(crypto, log.logId, 1n).incident)
    await scene.sender.send({ to: scene.book.stake.faultCases.address, data })
    const back = await json(['fault', 'withdraw'], own, 'process')
    assert.deepEqual(back.value, { wei: String(Number(second.bond) * 1e18) })
    assert.match((await run(['fault', 'withdraw'], own)).stdout, /nothing to withdraw/)
    const all = (await json(['fault', 'expire'], own)).value
    assert.deepEqual(
      all.map((one: Record<string, string>) => [one.stage, one.paid]),
      [
        ['expired', bond],
        ['expired', second.bond],
      ],
    )
    assert.match((await run(['fault', 'cases'], newHome('idle'))).stdout, /no cases/)
  })

  test('an account without coin is named; help has examples', async () => {
    const rpc = Rpc.create({ url: scene.chain.url, chainId: scene.book.chainId })
    const account = privateKeyToAccount(`0x${'11'.repeat(32)}`)
    const sender = Sender.create({ rpc, account })
    await assert.rejects(
      sender.send({ to: scene.book.anchorLog.address, data: CourtCalls.request(bytesOf('leaf')) }),
      (error: unknown) => error instanceof Sender.NoCoinError && error.address === account.address.toLowerCase(),
    )
    for (const args of [['fault', 'verify'], ['fault', 'submit'], ['fault', 'list'], ['fault', 'demand'], ['settle']]) {
      const { code, stdout } = await run([...args, '--help'])
      assert.deepEqual([code, /Examples:\n {2}assay /.test(stdout)], [0, true])
    }
  })
})
