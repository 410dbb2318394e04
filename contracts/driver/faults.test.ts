/**
 * Fault files, judged by the library and by FaultCourt: on every vector and on changed files both accept or both refuse,
 * and both give a fault the same name. FaultCourt's own code runs at an address of its own over registries whose storage is
 * written as the vectors say; StakeManager is a stand-in that takes every call, for stake is no part of the question.
 *
 *     ASSAY_FAULT_FILES=100000 node --test contracts/driver/faults.test.ts     more changed files than the 1,000 of every run
 *     ASSAY_SEED=7 ...                                                         others
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { decodeErrorResult, encodeFunctionData } from 'viem'
import * as World from '../../scripts/vector-files/world.ts'
import * as CaseCalls from '../../src/chain/CaseCalls.ts'
import * as FaultCalls from '../../src/chain/FaultCalls.ts'
import * as AnchorLog from '../../src/chain/generated/AnchorLog.ts'
import * as FaultCases from '../../src/chain/generated/FaultCases.ts'
import * as FaultCourt from '../../src/chain/generated/FaultCourt.ts'
import * as NodeRegistry from '../../src/chain/generated/NodeRegistry.ts'
import * as Layout from '../../src/chain/Layout.ts'
import { crypto } from '../../src/crypto/node.ts'
import * as Bytes from '../../src/protocol/Bytes.ts'
import * as Cose from '../../src/protocol/Cose.ts'
import * as Dcbor from '../../src/protocol/Dcbor.ts'
import * as Fault from '../../src/protocol/Fault.ts'
import * as Pledge from '../../src/protocol/Pledge.ts'
import * as Anvil from './Anvil.ts'

const skip = Anvil.isAvailable ? false : '!! no anvil among the installed packages: Solidity is not compared'
const files = Number(process.env.ASSAY_FAULT_FILES ?? 1000)
const firstSeed = Number(process.env.ASSAY_SEED ?? 20_260_101)
/** `node:test` remembers every promise that a process makes: a long comparison slows down, so its parts are processes of their own. */
const perProcess = 5_000
const hex = Bytes.to0x
const word = Bytes.u256
const { chainId, registry, anchorLog, logId, node, log, witness } = World
const court = World.digest('fault court').slice(0, 20)
const faultCases = World.digest('fault cases').slice(0, 20)
const answerBlocks = 300n
const stakeManager = World.digest('stake manager').slice(0, 20)
const reporter = World.digest('reporter').slice(0, 20)
const salt = World.digest('salt')
const incidentBlocks = 600n

type Terms = Readonly<Record<'pledgeBlocks' | 'graceBlocks' | 'block' | 'size', string>> & {
  readonly lastBlock?: string
}
type Vector = {
  readonly name: string
  readonly input: string
  readonly anchored?: { readonly logId: string; readonly size: string; readonly root: string } | null
  readonly terms?: Terms | null
  readonly mustFail?: string
}
type Words = Map<string, Anvil.Hex>

const { cases } = JSON.parse(readFileSync(join(import.meta.dirname, '../../vectors/fault.json'), 'utf8')) as {
  readonly cases: readonly Vector[]
}
const good = cases.filter(({ mustFail }) => mustFail === undefined)

/** What the contract may answer where the library gives a code: it looks at registered keys, and asks in its own order. */
const answers: { readonly [code: string]: readonly string[] } = {
  malformed: ['MalformedHead'],
  'same-head': ['SameHead'],
  'fields-differ': ['FieldsDiffer'],
  'link-correct': ['LinkCorrect'],
  'not-contradictory': ['NotContradictory'],
  'leaf-equal': ['LeafEqual'],
  'other-receipt': ['OtherReceipt'],
  'entry-correct': ['EntryCorrect'],
  'bad-signature': ['BadSignature', 'UnknownSigner', 'UnknownLog'],
  'not-included': ['NotIncluded', 'NotAnchored'],
  'not-anchored': ['NotAnchored', 'NotIncluded'],
  'not-seen': ['NotAnchored', 'NotObserved', 'NotWithheld'],
  kept: ['Kept'],
  'not-due': ['NotDue'],
}

/** The code that runs after construction: the end of the creation code that has the generated code hash. */
function runtimeOf({ bytecode, codeHash }: { readonly bytecode: string; readonly codeHash: string }): Anvil.Hex {
  for (let at = bytecode.indexOf('60806040', 10); at > 0; at = bytecode.indexOf('60806040', at + 8)) {
    const code = Bytes.fromHex(bytecode.slice(at))
    if (hex(crypto.keccak256(code)) === codeHash) return hex(code)
  }
  throw new Error('no such end')
}

const caseSlot = Layout.caseSlot(crypto, CaseCalls.entryCase(crypto, logId, World.leafIndex).caseId)
const caseWord = (lastBlock: string, state: bigint) =>
  word(padded(reporter) | ((BigInt(lastBlock) - answerBlocks) << 160n) | (state << 200n) | (1n << 208n))
const mapped = (key: Uint8Array, position: Uint8Array) => crypto.keccak256(Bytes.concat(key, position))
const padded = (address: Uint8Array) => Bytes.toBigInt(address)

describe('fault files before FaultCourt', { skip }, () => {
  let chain: Anvil.Chain
  before(async () => {
    chain = await Anvil.start('osaka')
    const put = async (
      address: Uint8Array,
      code: Anvil.Hex,
      words: readonly (readonly [Uint8Array, bigint | Uint8Array])[],
    ) => {
      await chain.request('anvil_setCode', [hex(address), code])
      for (const [slot, value] of words) {
        const bytes = typeof value === 'bigint' ? word(value) : value
        await chain.request('anvil_setStorageAt', [hex(address), hex(slot), hex(bytes)])
      }
    }
    const keyOf = (nodeId: Uint8Array, keyEpoch: number, role: bigint, signer: Cose.Signer) => {
      const [first, second] = Layout.keyRecordSlots(crypto, nodeId, keyEpoch)
      const record = padded(World.nodeOperator) | (role << 160n) | (1n << 168n)
      return [
        [first, Cose.keyId(crypto, signer.publicKey)],
        [second, record],
      ] as const
    }
    await put(registry, runtimeOf(NodeRegistry), [
      ...keyOf(World.nodeId, 0, 1n, node),
      ...keyOf(World.digest('witness'), 2, 3n, witness),
    ])
    const first = Bytes.toBigInt(Layout.logRecordSlots(crypto, logId)[0])
    await put(anchorLog, runtimeOf(AnchorLog), [
      [word(first), Cose.keyId(crypto, log.publicKey)],
      [word(first + 1n), padded(World.logOperator) | (600n << 160n)],
      [word(first + 3n), log.publicKey.slice(0, 32)],
      [word(first + 4n), log.publicKey.slice(32)],
    ])
    // Two words of zeros for whatever is asked.
    await put(stakeManager, '0x60406000f3', [])
    await put(court, runtimeOf(FaultCourt), [
      [word(1n), padded(stakeManager)],
      [word(2n), padded(anchorLog) | (600n << 160n) | (incidentBlocks << 192n) | (14_400n << 224n)],
      [word(3n), padded(registry) | (600n << 160n) | (answerBlocks << 192n) | (1n << 224n)],
      [word(4n), padded(faultCases)],
    ])
    await put(faultCases, runtimeOf(FaultCases), [])
  })
  after(() => chain.stop())

  /** The words that make the contracts know what the vector's reader knows. */
  function stateOf(vector: Vector): { readonly anchors: Words; readonly records: Words; readonly demands: Words } {
    const [anchors, records, demands]: [Words, Words, Words] = [new Map(), new Map(), new Map()]
    const step = (size: bigint, root: Uint8Array, block: bigint) => {
      const [first, second] = Layout.stepSlots(crypto, logId, size)
      anchors.set(hex(first), hex(root)).set(hex(second), hex(word(block)))
    }
    if (vector.anchored) step(BigInt(vector.anchored.size), Bytes.fromHex(vector.anchored.root), 1n)
    const fault = Fault.parse(Bytes.fromHex(vector.input))
    if (vector.terms && fault.class === 4) {
      const { how, at } = fault.evidence
      const [block, size] = [BigInt(vector.terms.block), BigInt(vector.terms.size)]
      if (how === 0) anchors.set(hex(Layout.logHeadSlots(crypto, logId)[0]), hex(word(size)))
      if (how === 1) step(at, World.root, block)
      if (how === 2) records.set(hex(mapped(word(at), mapped(logId, word(7n)))), hex(word(size + 1n)))
      if (vector.terms.lastBlock !== undefined) demands.set(hex(caseSlot), hex(caseWord(vector.terms.lastBlock, 3n)))
      // A case that is answered, be it late, or still open, is no case that expired.
      else demands.set(hex(caseSlot), hex(caseWord(String(answerBlocks), block % 2n === 0n ? 1n : 2n)))
    }
    return { anchors, records, demands }
  }

  /** Files a call in the vector's block; returns null when it is recorded, else the name and arguments of the error. */
  async function file(vector: Vector, callData: Uint8Array, recordedId?: Uint8Array) {
    const { anchors, records, demands } = stateOf(vector)
    const commitment = FaultCalls.commitment(crypto, { chainId, faultCourt: court, reporter, callData })
    records.set(hex(mapped(commitment, word(6n))), hex(word(1n)))
    if (recordedId !== undefined) records.set(hex(mapped(recordedId, word(5n))), hex(word(1n)))
    const overrides = {
      [hex(anchorLog)]: { stateDiff: Object.fromEntries(anchors) },
      [hex(court)]: { stateDiff: Object.fromEntries(records) },
      [hex(faultCases)]: { stateDiff: Object.fromEntries(demands) },
    }
    const number = vector.terms ? BigInt(vector.terms.block) : 10n
    const call = { from: hex(reporter), to: hex(court), data: hex(callData), gas: '0xffffff' }
    try {
      await chain.request('eth_call', [call, 'latest', overrides, { number: `0x${number.toString(16)}` }])
      return null
    } catch (error) {
      const [data] = /0x[0-9a-f]{8,}$/.exec(String(error).trim()) ?? []
      assert.ok(data !== undefined, `${vector.name}: ${String(error)}`)
      const { errorName, args } = decodeErrorResult({ abi: FaultCourt.abi, data: data as Anvil.Hex })
      return { errorName, args }
    }
  }

  /** The library's finding for the world of the vectors, or the code of the refusal. */
  async function judge(vector: Vector, fault: Fault.Fault): Promise<Fault.Finding | string> {
    const { anchored, terms } = vector
    const own = Fault.parse(Bytes.fromHex(vector.input))
    const isLog = (id: Uint8Array) => Bytes.equal(id, logId)
    try {
      return await Fault.judge(
        crypto,
        fault,
        (id, size) =>
          anchored && isLog(id) && String(size) === anchored.size ? Bytes.fromHex(anchored.root) : undefined,
        {
          pledgeBlocks: (id) => (isLog(id) ? 600n : undefined),
          graceBlocks: 600n,
          seen: (id, how, at) => {
            if (!isLog(id)) return undefined
            const isNamed = own.class === 4 && how === own.evidence.how && at === own.evidence.at
            if (terms && isNamed) return { block: BigInt(terms.block), size: BigInt(terms.size) }
            return how === 0 ? { block: terms ? BigInt(terms.block) : 10n, size: 0n } : undefined
          },
          withheld: (id, index) =>
            isLog(id) && index === World.leafIndex && own.class === 4 && terms?.lastBlock !== undefined
              ? { block: BigInt(terms.block), lastBlock: BigInt(terms.lastBlock) }
              : undefined,
        },
      )
    } catch (error) {
      if (error instanceof Fault.FaultRefusedError) return error.code
      throw error
    }
  }

  /** Where the file is used: names and keys are those of this chain. */
  function isOfThisChain(finding: Fault.Finding): boolean {
    const isKey = (signer: Cose.Signer, keyId: Uint8Array) => Bytes.equal(Cose.keyId(crypto, signer.publicKey), keyId)
    const isNode = (id: Uint8Array, keyEpoch: number, ofNode: Uint8Array, epoch: number) =>
      Bytes.equal(id, ofNode) && keyEpoch === epoch
    if (finding.class === 1 || finding.class === 13) {
      const isHere = finding.chainId === chainId && Bytes.equal(finding.registry, registry)
      return isHere && isKey(node, finding.keyId) && isNode(finding.nodeId, finding.keyEpoch, World.nodeId, 0)
    }
    const isHere = Bytes.equal(finding.anchorLog, anchorLog) && Bytes.equal(finding.logId, logId)
    if (!isHere || finding.class === 5) return isHere
    if (finding.chainId !== chainId) return false
    if (finding.class !== 6) return isKey(log, finding.keyId)
    return isKey(witness, finding.keyId) && isNode(finding.nodeId, finding.keyEpoch, World.digest('witness'), 2)
  }

  /** The evidence as the contract gets it: what a call leaves out is what the contract knows itself. */
  function asSeen(fault: Fault.Fault, { anchored }: Vector): Fault.Fault {
    const names = { chainId, anchorLog }
    const ofLog = { publicKey: log.publicKey }
    const rootAt = (id: Uint8Array, size: bigint, root: Uint8Array) =>
      anchored && Bytes.equal(id, logId) && String(size) === anchored.size ? Bytes.fromHex(anchored.root) : root
    const ownWords = (words: Uint8Array) => Pledge.words({ ...Pledge.parse(words), ...names })
    switch (fault.class) {
      case 1:
      case 13:
        return fault
      case 2:
        return { class: 2, evidence: { ...fault.evidence, ...names, ...ofLog } }
      case 3: {
        const { pledge, size, root } = fault.evidence
        const seen = { pledge: ownWords(pledge), root: rootAt(Pledge.parse(pledge).logId, size, root), ...ofLog }
        return { class: 3, evidence: { ...fault.evidence, ...seen } }
      }
      case 4:
        return { class: 4, evidence: { ...fault.evidence, pledge: ownWords(fault.evidence.pledge), ...ofLog } }
      case 5: {
        const { logId: id, size, root } = fault.evidence
        return { class: 5, evidence: { ...fault.evidence, anchorLog, root: rootAt(id, size, root) } }
      }
      case 6:
        return { class: 6, evidence: { ...fault.evidence, ...names } }
    }
  }

  /** Compares both; returns what both say. */
  async function compare(vector: Vector, fault: Fault.Fault): Promise<'accepted' | 'refused' | 'no call'> {
    const asWritten = await judge(vector, fault)
    let callData: Uint8Array
    try {
      callData = FaultCalls.callDataOf(fault, salt)
    } catch (error) {
      assert.ok(error instanceof Pledge.MalformedPledgeError)
      assert.equal(asWritten, 'malformed')
      return 'no call'
    }
    const refusal = await file(vector, callData)
    const finding = await judge(vector, asSeen(fault, vector))
    const note = `${vector.name}: ${typeof finding === 'string' ? finding : 'a finding'}, ${refusal?.errorName ?? 'recorded'}`
    const isAccepted = typeof finding !== 'string' && isOfThisChain(finding)
    assert.equal(isAccepted, refusal === null, note)
    // The whole file says no more than its call.
    if (typeof asWritten !== 'string' && isOfThisChain(asWritten)) assert.equal(refusal, null, note)
    if (typeof finding === 'string' && vector.mustFail !== undefined)
      assert.ok(answers[finding]?.includes(refusal?.errorName ?? ''), note)
    if (typeof finding === 'string' || !isAccepted) return 'refused'
    const id = Fault.faultId(crypto, Fault.incidentOf(finding, incidentBlocks))
    assert.deepEqual(await file(vector, callData, id), { errorName: 'AlreadyRecorded', args: [hex(id)] }, note)
    return 'accepted'
  }

  test('every vector', async () => {
    const counts = { accepted: 0, refused: 0, 'no call': 0 }
    for (const vector of cases) {
      if (vector.mustFail === 'fault-shape') continue
      counts[await compare(vector, Fault.parse(Bytes.fromHex(vector.input)))]++
    }
    assert.ok(counts.accepted >= good.length)
    assert.ok(counts.refused >= 50)
  })

  test('a call without a commitment, or in the name of another reporter, records nothing', async () => {
    const data = encodeFunctionData({ abi: FaultCourt.abi, functionName: 'committedFrom', args: [hex(salt)] })
    assert.equal(BigInt(await chain.request<Anvil.Hex>('eth_call', [{ to: hex(court), data }, 'latest'])), 0n)
    const callData = FaultCalls.callDataOf(Fault.parse(Bytes.fromHex(good[0]?.input as string)), salt)
    const call = { from: hex(stakeManager), to: hex(court), data: hex(callData) }
    await assert.rejects(chain.request('eth_call', [call, 'latest']))
  })

  // A generator with a fixed start: what failed once fails again.
  let seed = firstSeed
  const below = (limit: number) => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((seed / 2 ** 32) * limit)
  }
  const evidenceOf = ({ input }: Vector) =>
    (Dcbor.decode(Bytes.fromHex(input)) as Dcbor.ValueMap).get(2) as Dcbor.ValueMap
  // Both sides work at the same time.
  const together = 8
  for (let from = 0; from < Math.min(files, perProcess); from += 1_000) {
    const to = Math.min(files, perProcess, from + 1_000)
    test(`files ${from} to ${to} with changed bytes and parts`, async () => {
      const counts = { accepted: 0, refused: 0, 'no call': 0 }
      const compared: Promise<'accepted' | 'refused' | 'no call'>[] = []
      for (let made = from; made < to; ) {
        const vector = good[below(good.length)] as Vector
        let bytes = Bytes.fromHex(vector.input)
        if (below(2) === 0) {
          const evidence = new Map(evidenceOf(vector))
          const keys = [...evidence.keys()]
          const parts = [...evidenceOf(good[below(good.length)] as Vector).values()]
          evidence.set(keys[below(keys.length)] as number, parts[below(parts.length)] as Dcbor.Value)
          bytes = Dcbor.encode(new Map(Dcbor.decode(bytes) as Dcbor.ValueMap).set(2, evidence))
        }
        for (let change = below(3); change > 0; change--) {
          const at = below(bytes.length)
          bytes[at] = below(2) === 0 ? below(256) : (bytes[at] as number) ^ (1 << below(8))
        }
        let fault: Fault.Fault
        try {
          fault = Fault.parse(bytes)
        } catch (error) {
          assert.ok(error instanceof Fault.MalformedFaultError)
          continue
        }
        made++
        compared.push(compare(vector, fault))
        if (compared.length === together || made === to)
          for (const answer of await Promise.all(compared.splice(0))) counts[answer]++
      }
      // Both answers, often: what only refuses compares little, and what only accepts changed nothing.
      assert.ok(Math.min(counts.refused, counts.accepted) > (to - from) / 8, JSON.stringify({ seed, counts }))
    })
  }
})

/** The rest of a long comparison: the same file again, with other seeds. */
describe('more fault files before FaultCourt', { skip }, () => {
  for (let from = perProcess; from < files; from += perProcess) {
    const env = {
      ...process.env,
      ...{ ASSAY_SEED: String(firstSeed + from), ASSAY_FAULT_FILES: String(Math.min(perProcess, files - from)) },
      // It reports to nobody but this test.
      NODE_TEST_CONTEXT: undefined,
    }
    test(`${env.ASSAY_FAULT_FILES} files from seed ${env.ASSAY_SEED}`, async () => {
      const { code, output } = await new Promise<{ code: unknown; output: string }>((resolve) =>
        execFile(process.execPath, [import.meta.filename], { env, maxBuffer: 2 ** 26 }, (error, stdout) =>
          resolve({ code: error?.code ?? (error === null ? 0 : 1), output: stdout }),
        ),
      )
      assert.equal(code, 0, output.slice(-4_000))
    })
  }
})
