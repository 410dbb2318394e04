/**
 * scene.t.ts - what the tests of this folder stand on: a chain whose blocks come when the test says so, all contracts, a
 * node with receipts in a real store, a log in memory whose steps are really anchored, and somebody who opens cases.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AnchorLogContract, ContractCall, FaultCasesContract, Rpc } from 'assay/chain'
import { createP256Signer, crypto } from 'assay/crypto/node'
import {
  Bytes,
  Checkpoint,
  Claims,
  ClaimsTree,
  Cose,
  Dcbor,
  Head,
  LogEntry,
  Merkle,
  Pledge,
  Slot,
} from 'assay/protocol'
import type { Entry } from '../log/LogStore.ts'
import type { StoredReceipt } from '../receipts/ReceiptStore.ts'
import * as SqliteReceiptStore from '../receipts/SqliteReceiptStore.ts'
import { findAnvil } from '../settle/anvil-binary.ts'
import { deploy } from '../settle/deploy.ts'
import { registerKey, registerLog, registerNode, roles } from '../settle/register.ts'
import { until } from '../settle/scene.ts'
import { createSender } from '../settle/sender.ts'
import { openWallet } from '../settle/wallet.ts'
import { type Event, startAnswering } from './Answering.ts'
import * as CasesView from './CasesView.ts'
import type { LogPort, Place } from './Places.ts'

const hex = Bytes.to0x
const chainId = 31337n
const filled = (length: number, value: number) => new Uint8Array(length).fill(value)
const { abi } = FaultCasesContract

/** Said in a claim; must be in no line and no file of the service. */
export const marker = 'kingfisher'

/** Starts anvil with a block for each transaction and none without. */
async function startChain() {
  const child = spawn(findAnvil(), ['--host', '127.0.0.1', '--port', '0', '--chain-id', String(chainId)], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const url = await new Promise<string>((resolve, reject) => {
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk
      const [, address] = /Listening on (127\.0\.0\.1:\d+)/.exec(output) ?? []
      if (address !== undefined) resolve(`http://${address}`)
    })
    child.once('exit', () => reject(new Error('no chain')))
  })
  const stop = () => {
    child.kill()
    return ended
  }
  return { url, stop }
}

/** Opens everything. */
export async function openScene() {
  const home = mkdtempSync(join(tmpdir(), 'assay-answers-'))
  const chain = await startChain()
  const rpc = Rpc.create({ url: chain.url, chainId })
  // Many blocks take a while, and asking twice would make twice as many.
  const patient = Rpc.create({ url: chain.url, chainId, timeoutMs: 60_000, retries: 0 })
  const wallet = openWallet(home)
  const sender = createSender({ rpc, wallet, pollMs: 10 })
  await rpc.request('anvil_setBalance', [hex(wallet.address), '0x3635c9adc5dea00000'])
  const book = await deploy({ ...{ home, crypto, rpc, sender }, development: true })
  if (book.stake === undefined) throw new Error('no stake contracts')
  const contracts = {
    ...{ anchorLog: book.anchorLog.address, faultCourt: book.stake.faultCourt.address },
    faultCases: book.stake.faultCases.address,
  }
  const registrar = { crypto, rpc, sender, book }
  const signers = { node: createP256Signer(filled(32, 21)), log: createP256Signer(filled(32, 22)) }
  const nodeId = await registerNode(registrar, { endpoint: '' })
  const logKey = { signer: signers.log, ed25519Key: filled(32, 1), pledgeBlocks: 600n }
  const logId = await registerLog(registrar, logKey)
  await registerKey(registrar, { nodeId, role: roles.node, signer: signers.node })
  const [, challenger = ''] = (await rpc.request('eth_accounts')) as string[]
  const view = CasesView.create({ crypto, rpc, contracts, subjects: [nodeId, logId] })
  const store = SqliteReceiptStore.open({ folder: join(home, 'node') })

  const entries: Entry[] = []
  const steps: bigint[] = []
  const leaves = () => entries.map(({ head }) => LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, head)))
  const log = {
    ...{ logId, size: () => BigInt(entries.length), entry: (index) => entries[Number(index)] },
    async proof({ index }) {
      const size = steps.find((one) => one > index)
      if (size === undefined) throw new Rpc.NotOnChainError('step')
      return { size, proof: await this.inclusion(index, size) }
    },
    inclusion: async (index, size) => Merkle.inclusionProof(crypto, leaves().slice(0, Number(size)), index, size),
  } satisfies LogPort

  async function anchorStep(
    of: Uint8Array,
    signer: Cose.Signer,
    all: readonly Uint8Array[],
    before: bigint | undefined,
  ) {
    const size = BigInt(all.length)
    const root = Merkle.root(crypto, all)
    const statement = Checkpoint.words({ chainId, anchorLog: contracts.anchorLog, logId: of, size, root })
    const signature = await Cose.sign(crypto, signer, 'checkpoint', Checkpoint.payload(crypto, statement))
    const proof = before === undefined ? [] : Merkle.consistencyProof(crypto, all, before, size)
    const step = { size, root: hex(root), signature: hex(signature), consistencyProof: proof.map(hex) }
    const args = [hex(of), [step]] as const
    const data = ContractCall.encode({ abi: AnchorLogContract.abi, functionName: 'anchor', args })
    return (await sender.send({ to: contracts.anchorLog, data })).blockNumber
  }

  /** Anchors all entries; gives the block. */
  async function anchor(): Promise<bigint> {
    const block = await anchorStep(logId, signers.log, leaves(), steps.at(-1))
    steps.push(BigInt(entries.length))
    return block
  }

  /** Puts one entry into a log of somebody else, which is young; gives its place there. */
  async function anchorElsewhere(index: bigint, seed = 23) {
    const signer = createP256Signer(filled(32, seed))
    const other = await registerLog(registrar, { signer, ed25519Key: filled(32, 2), pledgeBlocks: 600n })
    await anchorStep(other, signer, [leaves()[Number(index)] as Uint8Array], undefined)
    return { logId: other, index: 0n, size: 1n, proof: [] as readonly Uint8Array[] }
  }

  /** A receipt with slots order, request, model and outcome used, logged and released. */
  async function addReceipt(): Promise<StoredReceipt> {
    const sequence = BigInt(entries.length)
    const secret = crypto.sha256(Bytes.u64(sequence))
    const nonce = secret.slice(0, 16)
    const values = new Map([
      [Slot.indexOf('order'), Claims.encode('order', filled(32, 7))],
      [Slot.indexOf('model'), Claims.encode('model', filled(32, 8))],
      [Slot.indexOf('request'), Dcbor.encode(marker)],
    ])
    const { root } = ClaimsTree.build(crypto, { secret, nonce, modeBits: 4, values })
    const before = entries.at(-1)
    const head = Head.serialize({
      ...{ chainId, registry: book.nodeRegistry.address, nodeId, keyEpoch: 0, sequence, modeBits: 4, flags: 0 },
      previous: before === undefined ? filled(32, 0) : Head.hash(crypto, before.head),
      claimsRoot: root,
    })
    const signature = await Cose.sign(crypto, signers.node, 'receipt', Head.payload(crypto, head))
    const receiptHash = Head.hash(crypto, head)
    const keyId = Cose.keyId(crypto, signers.node.publicKey)
    const receipt: StoredReceipt = {
      ...{ keyId, sequence, receiptHash, head, claims: Dcbor.encode(values), secret, nonce },
      ...{ orderHash: undefined, intent: 0, released: undefined },
    }
    const issued = { issuedAtBlock: 1n, issuedAtBlockHash: filled(32, 1) }
    entries.push({ index: sequence, head, signature, publicKey: signers.node.publicKey, ...issued })
    const leafHash = leaves().at(-1) as Uint8Array
    const pledge = { chainId, anchorLog: contracts.anchorLog, logId, leafHash, leafIndex: sequence, ...issued }
    await store.addHeads([receipt])
    await store.release(receiptHash, {
      ...{ signature, pledgeWords: Pledge.words(pledge), pledgeSignature: filled(64, 1), leafIndex: sequence },
    })
    return receipt
  }

  /** Sends a transaction of the challenger and tells whether the contract took it. */
  async function send(data: Uint8Array, value: bigint): Promise<boolean> {
    const call = { from: challenger, to: hex(contracts.faultCases), data: hex(data), value: `0x${value.toString(16)}` }
    const hash = await rpc.request('eth_sendTransaction', [{ ...call, gas: '0x4c4b40' }])
    const mined = await until('the transaction', async () => {
      return ((await rpc.request('eth_getTransactionReceipt', [hash])) as { status: string } | null) ?? undefined
    })
    return mined.status === '0x1'
  }

  const bond = 10n ** 18n
  const challengeEntry = (index: bigint) =>
    send(ContractCall.encode({ abi, functionName: 'challengeEntry', args: [hex(logId), index] }), bond)

  /** Demands a slot of an entry under the first anchored size; `seenAt` = an anchored size that does not cover it. */
  async function demandOpening(index: bigint, slot: number, seenAt: bigint, elsewhere?: Place): Promise<boolean> {
    const { head, signature, publicKey } = entries[Number(index)] as Entry
    const place = elsewhere ?? { logId, index, ...(await log.proof({ index })) }
    const halves = { x: hex(publicKey.subarray(0, 32)), y: hex(publicKey.subarray(32)) }
    const args = [
      { head: hex(head), signature: hex(signature), ...halves },
      { ...place, logId: hex(place.logId), proof: place.proof.map(hex) },
      ...([1, seenAt, slot] as const),
    ] as const
    return send(ContractCall.encode({ abi, functionName: 'demandOpening', args }), bond)
  }

  async function stateOf(one: { class: number; subject: Uint8Array; incident: Uint8Array }): Promise<string> {
    return (await view.stateOf(CasesView.caseId(crypto, { ...one, keyEpoch: 0 }))).state
  }

  const services: { stop: () => Promise<void> }[] = []
  const events: Event[] = []
  /** Starts the service; a second one is a daemon that was started again. */
  function start(change: Partial<Parameters<typeof startAnswering>[0]> = {}) {
    const service = startAnswering({
      ...{ folder: join(home, 'node'), crypto, rpc, sender, contracts, nodeId, logs: [log], store },
      ...{ pollMs: 20, sweepMs: 20, minKeptBlocks: 0n, confirmMs: 0, onEvent: (event) => events.push(event) },
      ...change,
    })
    services.push(service)
    return service
  }

  return {
    ...{
      home,
      rpc,
      sender,
      contracts,
      nodeRegistry: book.nodeRegistry.address,
      nodeId,
      logId,
      view,
      store,
      log,
      entries,
      steps,
      events,
      challenger,
    },
    ...{ anchor, anchorElsewhere, addReceipt, challengeEntry, demandOpening, send, stateOf, start },
    mine: (blocks: bigint) => patient.request('anvil_mine', [`0x${blocks.toString(16)}`]),
    entryCase: (index: bigint) => ({ class: 17, subject: logId, incident: Bytes.u256(index) }),
    slotCase: (receipt: StoredReceipt, slot: number) => ({
      ...{ class: 18, subject: nodeId, incident: CasesView.demandIncident(crypto, receipt.receiptHash, slot) },
    }),
    close: async () => {
      for (const service of services) await service.stop()
      await store.close()
      sender.close()
      await chain.stop()
      rmSync(home, { recursive: true, force: true })
    },
  }
}
