/** OwnEvidence.test.ts - evidence in the home counts in verdicts from the command line, and what shows nothing does not get there. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { TrustAnchors } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes, Cose, Fault, Head } from 'assay/protocol'
import * as World from '../../../tests/fakes/World.ts'
import { modelsFolder } from './Context.ts'
import { execute } from './execute.ts'
import * as Terminal from './Terminal.ts'

let root: string
let home: string
let world: World.World
before(async () => {
  root = mkdtempSync(join(tmpdir(), 'assay-cli-'))
  world = await World.create()
  writeFileSync(join(root, 'a.receipt'), world.bytes)
})
after(() => rmSync(root, { recursive: true }))
beforeEach(() => {
  home = mkdtempSync(join(root, 'home-'))
  writeFileSync(join(home, 'anchors.json'), TrustAnchors.serialize(world.reader.anchors))
  const { operators, witnesses } = world.reader
  const names = { operators: operators.map(Bytes.to0x), witnesses: witnesses.map(Bytes.toHex), rewrites: [] }
  // Nobody listens on port 1.
  const urls = { chainRpcUrl: 'http://127.0.0.1:1', gatewayUrl: 'http://127.0.0.1:1' }
  writeFileSync(join(home, 'reader.json'), JSON.stringify({ ...urls, ...names }))
})

async function run(args: readonly string[]) {
  const out = { stdout: '', stderr: '' }
  const output = (name: 'stdout' | 'stderr') => ({
    write: (text: string) => {
      out[name] += text
    },
    ...{ isTTY: false, columns: 72 },
  })
  const env = { ASSAY_HOME: home }
  const terminal = Terminal.create({ stdout: output('stdout'), stderr: output('stderr'), env })
  const code = await execute({ terminal, env, cwd: root, stopped: new AbortController().signal, modelsFolder }, args)
  return { code, ...out }
}
const json = async (args: readonly string[]) => {
  const { code, stdout } = await run([...args, '--json'])
  return { code, value: JSON.parse(stdout.trim().split('\n').at(-1) ?? '') }
}

/** The head of the receipt, and another one in its place. */
async function twoHeads(signer = World.signers.node): Promise<Uint8Array> {
  const { head, signature } = world.bundle.receipt
  const twin = Head.serialize({ ...Head.parse(head), claimsRoot: World.digestOf('another answer') })
  const sign = (bytes: Uint8Array) => Cose.sign(crypto, signer, 'receipt', Head.payload(crypto, bytes))
  const signatureA = signer === World.signers.node ? signature : await sign(head)
  const evidence = { headA: head, signatureA, headB: twin, signatureB: await sign(twin), publicKey: signer.publicKey }
  return Fault.serialize({ class: 1, evidence })
}

const faultsFolder = () => join(home, 'client', 'faults')
function keep(file: Uint8Array) {
  mkdirSync(faultsFolder(), { recursive: true, mode: 0o700 })
  writeFileSync(join(faultsFolder(), `${Bytes.toHex(crypto.sha256(file))}.fault`), file)
}

describe('the verdict of a home', () => {
  const verify = ['verify', 'a.receipt', '--policy', 'embedded', '--offline']

  test('counts the evidence that lies in it, as it counts a file that is named', async () => {
    const file = await twoHeads()
    writeFileSync(join(root, 'x.fault'), file)
    const named = await json([...verify, '--fault', 'x.fault'])
    assert.deepEqual([named.code, named.value.outcome], [3, 'FAULT'])
    assert.ok(!existsSync(join(home, 'client')), 'a verdict makes no folder')
    keep(file)
    const { code, value } = await json(verify)
    assert.deepEqual([code, value.outcome], [3, 'FAULT'])
    const unanswered = await json(verify.slice(0, -1))
    assert.deepEqual([unanswered.code, unanswered.value.outcome], [3, 'FAULT'])
    const told = await json(['explain', 'a.receipt', '--policy', 'embedded'])
    assert.deepEqual([told.code, told.value.verdict.outcome], [0, 'FAULT'])
  })

  test('counts none that accuses somebody else, or shows nothing', async () => {
    keep(await twoHeads(World.signers.stranger))
    const file = await twoHeads()
    const bent = Fault.parse(file)
    assert.ok(bent.class === 1)
    keep(Fault.serialize({ class: 1, evidence: { ...bent.evidence, signatureB: bent.evidence.signatureA } }))
    const { code, value } = await json(verify)
    assert.deepEqual([code, value.outcome], [0, 'MEETS'])
  })

  test('takes as many as fit beside those that are named, true ones first', async () => {
    for (let i = 0; i < 70; i++) {
      const fault = Fault.parse(await twoHeads())
      assert.ok(fault.class === 1)
      const signatureB = new Uint8Array(64).fill(i + 1)
      keep(Fault.serialize({ class: 1, evidence: { ...fault.evidence, signatureB } }))
    }
    keep(await twoHeads())
    writeFileSync(join(root, 'other.fault'), await twoHeads(World.signers.stranger))
    const others = Array.from({ length: 63 }, () => ['--fault', 'other.fault']).flat()
    const { code, value } = await json([...verify, ...others])
    assert.deepEqual([code, value.outcome], [3, 'FAULT'])
    assert.equal((await json([...verify, ...others, '--fault', 'other.fault'])).code, 0)
  })
})

test('a file whose own bytes show nothing is not kept, whether or not the chain can be asked', async () => {
  const fault = Fault.parse(await twoHeads())
  assert.ok(fault.class === 1)
  const nobody = new Uint8Array(64).fill(1)
  const forged = Fault.serialize({ class: 1, evidence: { ...fault.evidence, signatureA: nobody, signatureB: nobody } })
  writeFileSync(join(root, 'forged.fault'), forged)
  const { code, value } = await json(['fault', 'submit', 'forged.fault'])
  assert.deepEqual([code, value.outcome, value.code], [2, 'refused', 'bad-signature'])
  writeFileSync(join(root, 'true.fault'), await twoHeads())
  assert.notEqual((await run(['fault', 'submit', 'true.fault'])).code, 2)
  assert.deepEqual(existsSync(faultsFolder()) ? readdirSync(faultsFolder()) : [], [], 'nor what was not judged yet')
})
