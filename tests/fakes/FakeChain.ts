/** FakeChain.ts - the chain of the fake gateway: facts as a test wants them, and pieces with real tries. */
import { Header, Layout } from 'assay/chain'
import type { ChainAccess } from 'assay/client'
import { Bytes, errors, Merkle } from 'assay/protocol'
import { createState, headerRlp } from './Trie.ts'
import {
  anchorLog,
  anchorLogCode,
  chainId,
  crypto,
  digestOf,
  keyIdOf,
  logId,
  logOperator,
  nodeId,
  nodeOperator,
  registry,
  registryCode,
  signers,
} from './World.ts'

/** What a test says of the chain. */
export type Seen = {
  /** From now on blocks count as final. */
  isFinal: boolean
  /** What the chain says of the node's key; undefined = nothing. */
  keyRecord: { readonly keyId: Uint8Array; readonly role: number; readonly validUntilBlock: bigint } | undefined
  /** The block in which a size was anchored; undefined = the chain passed over it. */
  stepBlock: (size: bigint) => bigint | undefined
  /** Number of the newest block. */
  height: bigint
  /** Sizes of the log's head that the court wrote down, by block. */
  readonly observed: Map<bigint, bigint>
  /** Last blocks of the cases of the log's entries that expired unanswered, by index. */
  readonly withheld: Map<bigint, bigint>
  readonly hints: {
    anchored: bigint[]
    observed: bigint[]
    conflicts: { size: bigint; root: Uint8Array; signature: Uint8Array }[]
  }
}

export const issuedAt = { number: 100n, hash: digestOf('block 100') }
export const anchoredAt = 105n

/** The chain; `anchoredLeaves`: of the one log. */
export function createChain(seen: () => Seen, anchoredLeaves: () => readonly Uint8Array[]): ChainAccess.ChainAccess {
  const headers = new Map<bigint, Uint8Array>([[issuedAt.number, issuedAt.hash]])
  return {
    chainId,
    async view(numbers) {
      const blocks = numbers.flatMap((number) => {
        const hash = headers.get(number)
        return hash === undefined ? [] : [{ number, hash }]
      })
      return { chainId, newest: seen().height, blocks }
    },
    contracts: { nodeRegistry: registry, anchorLog },
    async newest() {
      return seen().height
    },
    async logRecord(id) {
      if (!Bytes.equal(id, logId)) return undefined
      return { keyId: keyIdOf(signers.log), operator: logOperator, pledgeBlocks: 600n }
    },
    async logHead(id) {
      if (!Bytes.equal(id, logId)) return undefined
      const anchored = anchoredLeaves()
      return { size: BigInt(anchored.length), root: Merkle.root(crypto, anchored), block: seen().height }
    },
    async step(id, size) {
      const anchored = anchoredLeaves()
      if (!Bytes.equal(id, logId) || size < 1n || size > BigInt(anchored.length)) return undefined
      const root = Merkle.root(crypto, anchored.slice(0, Number(size)))
      const blockNumber = seen().stepBlock(size)
      return blockNumber === undefined ? undefined : { root, blockNumber }
    },
    async registrationOf(keyId) {
      if (!Bytes.equal(keyId, keyIdOf(signers.witness))) return undefined
      return { nodeId: digestOf('witness node'), keyEpoch: 0, role: 3 }
    },
    async courtTerms() {
      return { graceBlocks: 50n, incidentBlocks: 100n }
    },
    async observed(id, block) {
      return Bytes.equal(id, logId) ? seen().observed.get(block) : undefined
    },
    async withheld(id, index) {
      const lastBlock = Bytes.equal(id, logId) ? seen().withheld.get(index) : undefined
      return lastBlock === undefined ? undefined : { block: seen().height, lastBlock }
    },
    async hints() {
      return seen().hints
    },
    async keyRecord(query) {
      if (Bytes.equal(query.nodeId, digestOf('witness node')))
        return {
          keyId: keyIdOf(signers.witness),
          operator: nodeOperator,
          role: 3,
          validFromBlock: 90n,
          validUntilBlock: 0n,
        }
      const { keyRecord } = seen()
      return keyRecord === undefined ? undefined : { ...keyRecord, operator: nodeOperator, validFromBlock: 90n }
    },
    async piece({ log }) {
      seen().height++
      const { height } = seen()
      const word = (value: bigint) => Bytes.u256(value)
      const keySlots = Layout.keyRecordSlots(crypto, nodeId, 0)
      const logSlots = Layout.logRecordSlots(crypto, logId)
      const stepSlots = log?.size === undefined ? undefined : Layout.stepSlots(crypto, logId, log.size)
      const state = await createState([
        {
          ...{ address: registry, codeHash: registryCode },
          storage: new Map([
            [Bytes.toHex(keySlots[0]), keyIdOf(signers.node)],
            [Bytes.toHex(keySlots[1]), word(Bytes.toBigInt(nodeOperator) | (1n << 160n) | (90n << 168n))],
          ]),
        },
        {
          ...{ address: anchorLog, codeHash: anchorLogCode },
          storage: new Map([
            [Bytes.toHex(logSlots[0]), keyIdOf(signers.log)],
            [Bytes.toHex(logSlots[1]), word(Bytes.toBigInt(logOperator) | (600n << 160n))],
            ...(stepSlots === undefined
              ? []
              : ([
                  [Bytes.toHex(stepSlots[0]), Merkle.root(crypto, anchoredLeaves().slice(0, Number(log?.size)))],
                  [Bytes.toHex(stepSlots[1]), word(anchoredAt)],
                ] as const)),
          ]),
        },
      ])
      const header = headerRlp({ stateRoot: state.root, number: height, timestampSeconds: 1_900_000_000n })
      const hash = Header.hash(crypto, header)
      headers.set(height, hash)
      const of = (slot: Uint8Array) => state.storage(anchorLog, slot)
      return {
        piece: {
          ...{ header, blockHash: hash },
          registry: {
            account: await state.account(registry),
            word0: await state.storage(registry, keySlots[0]),
            word1: await state.storage(registry, keySlots[1]),
          },
          anchorLog: {
            ...{
              account: await state.account(anchorLog),
              record0: await of(logSlots[0]),
              record1: await of(logSlots[1]),
            },
            ...(stepSlots === undefined ? {} : { step0: await of(stepSlots[0]), step1: await of(stepSlots[1]) }),
          },
        },
        header: { number: height, hash },
        isFinal: seen().isFinal,
      }
    },
  }
}

/** The chain does not answer. */
export class ChainSilence extends errors.UnavailableError<'silence'> {
  override readonly name = 'ChainSilence'
  constructor() {
    super('silence', 'The chain does not answer.')
  }
}
