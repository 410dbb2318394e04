/**
 * Rpc.ts - asks an Ethereum JSON-RPC endpoint and believes only what can be checked. Source: spec/contracts.md section 5,
 * spec/bundle.md sections 1 and 4; EIP-1474, EIP-1186.
 *
 * Headers are rebuilt from the answer's fields and must have the answer's hash; records come with their state proofs.
 * That a word or a record is not there is believed by a proof of absence only. Not checked, because nothing here could: that a
 * header is the chain's (see `Finality`).
 * Every call is bounded in time, attempts and bytes. Errors never hold the endpoint's URL, which may carry a key.
 */
import { http } from 'viem'
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto, Hash } from '../protocol/Crypto.ts'
import { BaseError } from '../protocol/errors.ts'
import * as AnswerForm from './AnswerForm.ts'
import * as ChainPiece from './ChainPiece.ts'
import * as Header from './Header.ts'
import * as Layout from './Layout.ts'
import * as Rlp from './Rlp.ts'
import { LieError, type Missing, NotOnChainError, RequestError } from './RpcErrors.ts'
import * as StakeFetch from './StakeFetch.ts'
import type { StakePiece } from './StakePiece.ts'
import type { Proof } from './StateProof.ts'
import * as StateProof from './StateProof.ts'
import type { Contract, StakeContracts, TrustedHeader } from './TrustAnchors.ts'

export type { LieErrorCode, RequestErrorCode } from './RpcErrors.ts'
export { LieError, type Missing, NotOnChainError, RequestError }

/** An endpoint of one chain. */
export type Rpc = {
  readonly chainId: bigint
  /** Sends one call; throws `Rpc.RequestError`. */
  readonly request: (method: string, params?: readonly unknown[]) => Promise<unknown>
  /** Asserts that the endpoint serves `chainId`; asked again after every failure. Throws `Rpc.RequestError`, `Rpc.LieError`. */
  readonly assertChain: () => Promise<void>
  /** Set where several endpoints decide together which header is final; see `Quorum`. */
  readonly trustedHeader?: (number: bigint) => Promise<TrustedHeader>
}

/** A header with its bytes. */
export type FetchedHeader = Header.Header & {
  readonly rlp: Uint8Array /** 32 bytes, recomputed. */
  readonly hash: Hash
}

/** A block by number, or by the tag of an endpoint. */
export type Block = bigint | 'latest' | 'finalized'

/** What a chain piece is wanted for. */
export type PieceRequest = {
  readonly nodeRegistry: Contract
  readonly nodeId: Uint8Array
  readonly keyEpoch: number
  readonly block: Block
  /** The log's record, and with `size` the step anchored at that size. */
  readonly log?:
    | { readonly anchorLog: Contract; readonly logId: Uint8Array; readonly size?: bigint | undefined }
    | undefined
  /** With `log`: the stake of node and log in these contracts, left out where there is none or it cannot be had. */
  readonly stake?: StakeContracts | undefined
}

// A header is below 1 kB, a proof of 6 slots below 50 kB; more is not an answer.
const maxAnswerBytes = 4 * 1024 * 1024

// Fields of a block in the order of the header's RLP; from the first that an answer lacks on, none may follow.
const headerFields: readonly (readonly [name: string, kind: 'bytes' | 'integer'])[] = [
  ['parentHash', 'bytes'],
  ['sha3Uncles', 'bytes'],
  ['miner', 'bytes'],
  ['stateRoot', 'bytes'],
  ['transactionsRoot', 'bytes'],
  ['receiptsRoot', 'bytes'],
  ['logsBloom', 'bytes'],
  ['difficulty', 'integer'],
  ['number', 'integer'],
  ['gasLimit', 'integer'],
  ['gasUsed', 'integer'],
  ['timestamp', 'integer'],
  ['extraData', 'bytes'],
  ['mixHash', 'bytes'],
  ['nonce', 'bytes'],
  ['baseFeePerGas', 'integer'],
  ['withdrawalsRoot', 'bytes'],
  ['blobGasUsed', 'integer'],
  ['excessBlobGas', 'integer'],
  ['parentBeaconBlockRoot', 'bytes'],
  ['requestsHash', 'bytes'],
]

/**
 * Opens an endpoint; sends nothing yet.
 *
 * - `timeoutMs`: of one attempt, default 4,000; `retries`: further attempts, default 2, first after 100 ms
 */
export function create(options: {
  readonly url: string
  readonly chainId: bigint
  readonly timeoutMs?: number
  readonly retries?: number
}): Rpc {
  const transport = http(options.url, {
    timeout: options.timeoutMs ?? 4_000,
    retryCount: options.retries ?? 2,
    retryDelay: 100,
    fetchOptions: { redirect: 'error' },
    maxResponseBodySize: maxAnswerBytes,
  })({})
  let checked = false
  const request = async (method: string, params: readonly unknown[] = []) => {
    try {
      return asFormed(method, (await transport.request({ method, params })) as unknown)
    } catch (error) {
      if (error instanceof LieError) throw error
      const failure = RequestError.from(method, error)
      if (failure.code === 'rpc-unreachable') checked = false
      throw failure
    }
  }
  const assertChain = async () => {
    if (checked) return
    const chainId = quantity(await request('eth_chainId'), 'eth_chainId')
    if (chainId !== options.chainId) {
      throw new LieError('rpc-chain-id', [`Expected: ${options.chainId}`, `Got: ${chainId}`])
    }
    checked = true
  }
  return { chainId: options.chainId, request, assertChain }
}

/**
 * Fetches a header, rebuilds its RLP and checks it against the hash that the endpoint names.
 *
 * Throws: `Rpc.RequestError`, `Rpc.NotOnChainError` for a block that the endpoint does not have, `Rpc.LieError`.
 */
export async function fetchHeader(crypto: Crypto, rpc: Rpc, block: Block): Promise<FetchedHeader> {
  await rpc.assertChain()
  const tag = typeof block === 'bigint' ? `0x${block.toString(16)}` : block
  const answer = await rpc.request('eth_getBlockByNumber', [tag, false])
  if (answer === null) throw new NotOnChainError('block')
  const fields = object(answer, 'eth_getBlockByNumber')
  const { rlp, header } = asAnswer('eth_getBlockByNumber', () => {
    const bytes = Rlp.encode(headerItems(fields))
    return { rlp: bytes, header: Header.parse(bytes) }
  })
  const hash = Header.hash(crypto, rlp)
  const claimed = bytesOf(fields.hash, 'eth_getBlockByNumber')
  if (!Bytes.equal(hash, claimed)) {
    throw new LieError('rpc-header-hash', [`Expected: ${Bytes.to0x(claimed)}`, `Got: ${Bytes.to0x(hash)}`])
  }
  if (typeof block === 'bigint' && header.number !== block) {
    throw new LieError('rpc-header-number', [`Expected: ${block}`, `Got: ${header.number}`])
  }
  return { ...header, rlp, hash }
}

/** The newest block that the endpoint has; throws as `fetchHeader`. */
export function newest(crypto: Crypto, rpc: Rpc): Promise<FetchedHeader> {
  return fetchHeader(crypto, rpc, 'latest')
}

/** The newest block at the endpoint's finalized tag; throws as `fetchHeader`. */
export function finalized(crypto: Crypto, rpc: Rpc): Promise<FetchedHeader> {
  return fetchHeader(crypto, rpc, 'finalized')
}

/**
 * The pair for a reader's trust anchors, if the block is at or below the endpoint's finalized tag.
 *
 * Throws: as `fetchHeader`; `Rpc.NotOnChainError` with `what` = 'finality' while the block is above the tag.
 */
export async function fetchTrustedHeader(crypto: Crypto, rpc: Rpc, number: bigint): Promise<TrustedHeader> {
  if (rpc.trustedHeader !== undefined) return rpc.trustedHeader(number)
  const tip = await finalized(crypto, rpc)
  if (tip.number < number) throw new NotOnChainError('finality')
  const header = tip.number === number ? tip : await fetchHeader(crypto, rpc, number)
  return { number: header.number, hash: header.hash }
}

/**
 * Reads storage words of a contract by state proofs under a header; a word that the proof shows to be zero is undefined.
 *
 * - `slots`: 32 bytes each, at most 16
 *
 * Throws: `Rpc.RequestError`, `Rpc.LieError`.
 */
export async function readWords(
  crypto: Crypto,
  rpc: Rpc,
  request: { readonly contract: Contract; readonly slots: readonly Uint8Array[]; readonly header: FetchedHeader },
): Promise<readonly (Uint8Array | undefined)[]> {
  const { contract, header, slots } = request
  const proofs = await fetchProofs(rpc, contract.address, slots, header.number)
  return asProof(() => {
    const account = StateProof.verifyAccount(crypto, {
      stateRoot: header.stateRoot,
      address: contract.address,
      proof: proofs.account,
    })
    assertCode(contract, account.codeHash)
    const { storageRoot } = account
    return proofs.words.map(({ proof }, i) => {
      const word = StateProof.verifyWord(crypto, { storageRoot, slot: slots[i] as Uint8Array, proof })
      return Bytes.toBigInt(word) === 0n ? undefined : word
    })
  })
}

/** A piece with what it shows. `isStakeOpen`: stake was asked for, and neither it nor its absence is shown. */
export type FetchedPiece = {
  readonly piece: ChainPiece.ChainPiece
  readonly facts: ChainPiece.Facts
  readonly isStakeOpen: boolean
}

/**
 * Fetches and checks the chain piece of a bundle; returns it with what it shows.
 *
 * A reorganisation between the calls looks like a lie, so a piece that does not hold is fetched once more.
 * Throws: `Rpc.RequestError`, `Rpc.NotOnChainError` while a record is not there yet, `Rpc.LieError`.
 */
export async function fetchChainPiece(crypto: Crypto, rpc: Rpc, request: PieceRequest): Promise<FetchedPiece> {
  try {
    return await fetchChainPieceOnce(crypto, rpc, request)
  } catch (error) {
    if (!(error instanceof LieError) || (error.code !== 'rpc-proof' && error.code !== 'rpc-header-hash')) throw error
    return await fetchChainPieceOnce(crypto, rpc, request)
  }
}

async function fetchChainPieceOnce(crypto: Crypto, rpc: Rpc, request: PieceRequest): Promise<FetchedPiece> {
  const { nodeRegistry, nodeId, keyEpoch, log } = request
  const header = await fetchHeader(crypto, rpc, request.block)
  const keySlots = Layout.keyRecordSlots(crypto, nodeId, keyEpoch)
  const logSlots: Uint8Array[] = []
  if (log !== undefined) {
    logSlots.push(...Layout.logRecordSlots(crypto, log.logId))
    if (log.size !== undefined) logSlots.push(...Layout.stepSlots(crypto, log.logId, log.size))
  }
  const { stake } = request
  const ask: StakeFetch.Ask = (address, slots) => fetchProofs(rpc, address, slots, header.number)
  const [ofRegistry, ofLog, ofStake] = await Promise.all([
    ask(nodeRegistry.address, keySlots),
    log === undefined ? undefined : ask(log.anchorLog.address, logSlots),
    log === undefined || stake === undefined
      ? undefined
      : StakeFetch.fetchStake(crypto, ask, { stake, nodeId, logId: log.logId, stateRoot: header.stateRoot }),
  ])
  const registry = presenceIn(crypto, header, nodeRegistry.address, keySlots, ofRegistry)
  const base = {
    header: header.rlp,
    blockHash: header.hash,
    registry: { account: ofRegistry.account, word0: registry(0, 'key-record'), word1: registry(1, 'key-record') },
  }
  let piece: ChainPiece.ChainPiece = base
  if (ofLog !== undefined && log !== undefined) {
    const present = presenceIn(crypto, header, log.anchorLog.address, logSlots, ofLog)
    const record = { account: ofLog.account, record0: present(0, 'log-record'), record1: present(1, 'log-record') }
    const step = log.size === undefined ? {} : { step0: present(2, 'step'), step1: present(3, 'step') }
    piece = { ...base, anchorLog: { ...record, ...step } }
  }
  const subject = {
    registry: { address: nodeRegistry.address, nodeId, keyEpoch },
    ...(log === undefined ? {} : { log: { address: log.anchorLog.address, logId: log.logId, size: log.size } }),
  }
  const facts = asProof(() => ChainPiece.read(crypto, piece, subject))
  assertCode(nodeRegistry, facts.registry.codeHash)
  if (log !== undefined && facts.anchorLog !== undefined) assertCode(log.anchorLog, facts.anchorLog.codeHash)
  if (ofStake === undefined || stake === undefined) return { piece, facts, isStakeOpen: false }
  if (ofStake.piece === undefined) return { piece, facts, isStakeOpen: !ofStake.isAbsent }
  const staked = withStake(crypto, { piece, subject, stake, ofStake: ofStake.piece })
  return staked === undefined ? { piece, facts, isStakeOpen: true } : { ...staked, isStakeOpen: false }
}

/** A stake that does not hold, or of other contracts, is no reason to go without the rest. */
function withStake(
  crypto: Crypto,
  given: {
    readonly piece: ChainPiece.ChainPiece
    readonly subject: ChainPiece.Subject
    readonly stake: StakeContracts
    readonly ofStake: StakePiece
  },
) {
  const piece = { ...given.piece, stake: given.ofStake }
  try {
    const facts = ChainPiece.read(crypto, piece, given.subject)
    for (const name of ['stakeManager', 'faultCourt', 'faultCases'] as const)
      if (facts.stake !== undefined) assertCode(given.stake[name], facts.stake[name].codeHash)
    return { piece, facts }
  } catch (error) {
    if (BaseError.isInstance(error)) return undefined
    throw error
  }
}

type Proofs = StakeFetch.Answers

async function fetchProofs(
  rpc: Rpc,
  address: Uint8Array,
  slots: readonly Uint8Array[],
  blockNumber: bigint,
): Promise<Proofs> {
  const params = [Bytes.to0x(address), slots.map(Bytes.to0x), `0x${blockNumber.toString(16)}`]
  return parseProofs(await rpc.request('eth_getProof', params), slots.length)
}

/** Reads an answer of `eth_getProof` for so many slots; nothing of it is checked. Throws `Rpc.LieError`. */
export function parseProofs(given: unknown, count: number): Proofs {
  const method = 'eth_getProof'
  const answer = object(given, method)
  const storage = list(answer.storageProof, method)
  if (storage.length !== count) throw new LieError('rpc-malformed', [`Method: ${method}`, 'Other slots than asked for'])
  const words = storage.map((item) => {
    const { value, proof } = object(item, method)
    return { isZero: quantity(value, method) === 0n, proof: nodesOf(proof ?? [], method) }
  })
  return { account: nodesOf(answer.accountProof, method), words }
}

/**
 * Nodes of less than 32 bytes stand inside their parents, but some endpoints list them as well: left out here, as is the root of
 * nothing (one byte 0x80), which leads nowhere.
 */
function nodesOf(value: unknown, method: string): Proof {
  return list(value, method)
    .map((node) => bytesOf(node, method))
    .filter((node, position) => (position === 0 && node.length > 1) || node.length >= 32)
}

function headerItems(fields: Readonly<Record<string, unknown>>): Uint8Array[] {
  const method = 'eth_getBlockByNumber'
  const count = headerFields.findIndex(([name]) => fields[name] === undefined || fields[name] === null)
  const names = count < 0 ? headerFields : headerFields.slice(0, count)
  return names.map(([name, kind]) =>
    kind === 'integer' ? Rlp.fromInteger(quantity(fields[name], method)) : bytesOf(fields[name], method),
  )
}

function assertCode(contract: Contract, codeHash: Uint8Array): void {
  if (Bytes.equal(contract.codeHash, codeHash)) return
  throw new LieError('rpc-code-hash', [
    `Contract: ${Bytes.to0x(contract.address)}`,
    `Expected: ${Bytes.to0x(contract.codeHash)}`,
    `Got: ${Bytes.to0x(codeHash)}`,
  ])
}

/**
 * Gives the proof of a word that is there; for one that is not throws `NotOnChainError` if the state shows that, `LieError` if only
 * the endpoint says so.
 */
function presenceIn(
  crypto: Crypto,
  header: FetchedHeader,
  address: Uint8Array,
  slots: readonly Uint8Array[],
  { account, words }: Proofs,
): (position: number, what: Missing) => Proof {
  return (position, what) => {
    const [word, slot] = [words[position], slots[position]]
    if (word === undefined || slot === undefined) throw new NotOnChainError(what)
    if (!word.isZero) return word.proof
    asProof(() => {
      const storageRoot = storageRootOf(crypto, { stateRoot: header.stateRoot, address, proof: account })
      if (storageRoot === undefined) return
      const shown = StateProof.verifyWord(crypto, { storageRoot, slot, proof: word.proof })
      if (Bytes.toBigInt(shown) !== 0n) throw new LieError('rpc-proof', ['A word that is there is said to be zero'])
    })
    throw new NotOnChainError(what)
  }
}

/** Undefined where the state shows that there is no such account: before the contract was made. */
function storageRootOf(crypto: Crypto, subject: Parameters<typeof StateProof.verifyAccount>[1]): Hash | undefined {
  try {
    return StateProof.verifyAccount(crypto, subject).storageRoot
  } catch (error) {
    if (error instanceof StateProof.ProofError && error.code === 'proof-absent') return undefined
    throw error
  }
}

function asProof<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof LieError || !(cause instanceof BaseError)) throw cause
    throw new LieError('rpc-proof', [cause.shortMessage, ...cause.facts], cause)
  }
}

/** An answer of the form that its method has, as it came; throws `Rpc.LieError`. */
export function asFormed(method: string, answer: unknown): unknown {
  const problem = AnswerForm.problemOf(method, answer)
  if (problem !== undefined) throw malformed(method, problem)
  return answer
}

/** A number that the endpoint says; throws `Rpc.RequestError`, `Rpc.LieError`. */
export async function askNumber(rpc: Rpc, method: string, params: readonly unknown[] = []): Promise<bigint> {
  return quantity(asFormed(method, await rpc.request(method, params)), method)
}

/** What only a library of others reads of an answer; whatever it throws is the answer's doing. */
export function asDecoded<T>(method: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new LieError('rpc-malformed', [`Method: ${method}`], cause)
  }
}

function asAnswer<T>(method: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof LieError || !(cause instanceof BaseError)) throw cause
    throw new LieError('rpc-malformed', [`Method: ${method}`, ...cause.facts], cause)
  }
}

function object(value: unknown, method: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(method, 'an object')
  return value as Readonly<Record<string, unknown>>
}

function list(value: unknown, method: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length > 80) throw malformed(method, 'a list of at most 80 items')
  return value
}

function quantity(value: unknown, method: string): bigint {
  if (typeof value !== 'string' || !/^0x[0-9a-fA-F]{1,64}$/.test(value)) throw malformed(method, 'a quantity')
  return BigInt(value)
}

function bytesOf(value: unknown, method: string): Uint8Array {
  if (typeof value !== 'string' || !/^0x([0-9a-fA-F]{2})*$/.test(value)) throw malformed(method, 'hex data')
  return Bytes.from0x(value)
}

function malformed(method: string, expected: string): LieError {
  return new LieError('rpc-malformed', [`Method: ${method}`, `Expected: ${expected}`])
}
