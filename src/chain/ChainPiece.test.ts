// A chain of one block, made here with a second implementation of the tries, so that each step can be broken alone.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createMerkleProof, createMPT } from '@ethereumjs/mpt'
import { crypto } from '../crypto/noble.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as ChainPiece from './ChainPiece.ts'
import * as Header from './Header.ts'
import * as Layout from './Layout.ts'
import * as Rlp from './Rlp.ts'

const fill = (byte: number, length = 32) => new Uint8Array(length).fill(byte)
const packed = (...fields: readonly (readonly [value: bigint, offset: bigint])[]) =>
  Bytes.u256(fields.reduce((sum, [value, offset]) => sum | (value << offset), 0n))

const operator = fill(0xaa, 20)
const expected = { nodeKeyId: fill(1), logKeyId: fill(2), root: fill(3) }
const subject: ChainPiece.Subject = {
  registry: { address: fill(0x10, 20), nodeId: fill(4), keyEpoch: 6 },
  log: { address: fill(0x20, 20), logId: fill(5), size: 42n },
}
const log = subject.log as NonNullable<ChainPiece.Subject['log']>
const keyWord = packed([Bytes.toBigInt(operator), 0n], [1n, 160n], [11n, 168n], [0n, 208n])
const logWord = packed([Bytes.toBigInt(operator), 0n], [600n, 160n])
const stepWord = packed([17n, 0n])

async function makePiece(words: { keyWord: Uint8Array; logWord: Uint8Array; stepWord: Uint8Array }) {
  const keySlots = Layout.keyRecordSlots(crypto, subject.registry.nodeId, subject.registry.keyEpoch)
  const recordSlots = Layout.logRecordSlots(crypto, log.logId)
  const stepSlots = Layout.stepSlots(crypto, log.logId, 42n)
  const contract = async (slots: readonly (readonly [Uint8Array, Uint8Array])[]) => {
    const trie = await createMPT({ useKeyHashing: true })
    for (const [slot, word] of slots) await trie.put(slot, Rlp.encode(Rlp.fromInteger(Bytes.toBigInt(word))))
    return trie
  }
  const registry = await contract([
    [keySlots[0], expected.nodeKeyId],
    [keySlots[1], words.keyWord],
  ])
  const anchorLog = await contract([
    [recordSlots[0], expected.logKeyId],
    [recordSlots[1], words.logWord],
    [stepSlots[0], expected.root],
    [stepSlots[1], words.stepWord],
  ])
  const state = await createMPT({ useKeyHashing: true })
  const account = (storageRoot: Uint8Array, code: number) =>
    Rlp.encode([Uint8Array.of(1), new Uint8Array(0), storageRoot, fill(code)])
  await state.put(subject.registry.address, account(registry.root(), 0xc1))
  await state.put(log.address, account(anchorLog.root(), 0xc2))
  const zero = new Uint8Array(0)
  const header = Rlp.encode([
    fill(7),
    fill(0),
    fill(0, 20),
    state.root(),
    fill(0),
    fill(0),
    fill(0, 256),
    zero,
    Uint8Array.of(20),
    zero,
    zero,
    Uint8Array.of(99),
    zero,
    fill(0),
    fill(0, 8),
    Uint8Array.of(9),
  ])
  const piece = {
    header,
    blockHash: Header.hash(crypto, header),
    registry: {
      account: await createMerkleProof(state, subject.registry.address),
      word0: await createMerkleProof(registry, keySlots[0]),
      word1: await createMerkleProof(registry, keySlots[1]),
    },
    anchorLog: {
      account: await createMerkleProof(state, log.address),
      record0: await createMerkleProof(anchorLog, recordSlots[0]),
      record1: await createMerkleProof(anchorLog, recordSlots[1]),
      step0: await createMerkleProof(anchorLog, stepSlots[0]),
      step1: await createMerkleProof(anchorLog, stepSlots[1]),
    },
  }
  return piece satisfies ChainPiece.ChainPiece
}

const piece = await makePiece({ keyWord, logWord, stepWord })
const breaks = (
  changed: ChainPiece.ChainPiece,
  step: ChainPiece.StepName,
  of = subject,
  against: ChainPiece.Expected = expected,
) =>
  assert.throws(() => ChainPiece.verify(crypto, changed, of, against), { name: 'ChainPiece.ContradictionError', step })

describe('ChainPiece.verify', () => {
  test('returns what header and proofs show', () => {
    assert.deepEqual(ChainPiece.verify(crypto, piece, subject, expected), {
      header: {
        parentHash: fill(7),
        stateRoot: Rlp.decodeList(piece.header)[3],
        number: 20n,
        timestampSeconds: 99n,
        hash: piece.blockHash,
      },
      registry: {
        address: subject.registry.address,
        codeHash: fill(0xc1),
        keyRecord: { keyId: expected.nodeKeyId, operator, role: 1, validFromBlock: 11n, validUntilBlock: 0n },
      },
      anchorLog: {
        address: log.address,
        codeHash: fill(0xc2),
        logRecord: { keyId: expected.logKeyId, operator, pledgeBlocks: 600n },
        step: { root: expected.root, blockNumber: 17n },
      },
    })
  })

  test('does without the log, and without the step', () => {
    const { registry, header, blockHash } = piece
    assert.equal(ChainPiece.verify(crypto, { header, blockHash, registry }, subject, expected).anchorLog, undefined)
    const { step0: _, step1: __, ...record } = piece.anchorLog
    const facts = ChainPiece.verify(crypto, { ...piece, anchorLog: record }, subject, expected)
    assert.equal(facts.anchorLog?.step, undefined)
    assert.equal(facts.anchorLog?.logRecord.pledgeBlocks, 600n)
  })

  test('header: another hash, bytes after it, too few or too many fields', () => {
    breaks({ ...piece, blockHash: fill(0) }, 'header')
    const remade = (header: Uint8Array) => ({ ...piece, header, blockHash: Header.hash(crypto, header) })
    breaks(remade(Bytes.concat(piece.header, Uint8Array.of(0))), 'header')
    const fields = Rlp.decodeList(piece.header)
    breaks(remade(Rlp.encode(fields.slice(0, 14))), 'header')
    breaks(remade(Rlp.encode([...fields, ...fields.slice(0, 10)])), 'header')
    breaks(remade(Rlp.encode(fields.with(8, Uint8Array.of(0, 20)))), 'header')
    breaks(remade(Rlp.encode(fields.with(3, fill(0, 31)))), 'header')
    breaks(remade(Rlp.encode(fields.with(15, []))), 'header')
  })

  test('registry-proof: each proof alone, another place, another key', () => {
    for (const name of ['account', 'word0', 'word1'] as const) {
      breaks({ ...piece, registry: { ...piece.registry, [name]: piece.registry[name].slice(1) } }, 'registry-proof')
      breaks(
        { ...piece, registry: { ...piece.registry, [name]: [...piece.registry[name], fill(0)] } },
        'registry-proof',
      )
    }
    breaks({ ...piece, registry: { ...piece.registry, word0: piece.registry.word1 } }, 'registry-proof')
    breaks(piece, 'registry-proof', { ...subject, registry: { ...subject.registry, keyEpoch: 7 } })
    breaks(piece, 'registry-proof', { ...subject, registry: { ...subject.registry, nodeId: fill(5) } })
    breaks(piece, 'registry-proof', { ...subject, registry: { ...subject.registry, address: log.address } })
    breaks(piece, 'registry-proof', subject, { ...expected, nodeKeyId: fill(9) })
  })

  test('log-proof: each proof alone, half a step, another place, another key or root', () => {
    for (const name of ['account', 'record0', 'record1', 'step0', 'step1'] as const) {
      breaks({ ...piece, anchorLog: { ...piece.anchorLog, [name]: piece.anchorLog[name].slice(1) } }, 'log-proof')
      breaks({ ...piece, anchorLog: { ...piece.anchorLog, [name]: [...piece.anchorLog[name], fill(0)] } }, 'log-proof')
    }
    breaks({ ...piece, anchorLog: { ...piece.anchorLog, step1: undefined } }, 'log-proof')
    breaks({ ...piece, anchorLog: { ...piece.anchorLog, step0: undefined } }, 'log-proof')
    breaks(piece, 'log-proof', { ...subject, log: { ...log, size: 43n } })
    breaks(piece, 'log-proof', { ...subject, log: { ...log, size: undefined } })
    breaks(piece, 'log-proof', { ...subject, log: { ...log, logId: fill(6) } })
    breaks(piece, 'log-proof', { registry: subject.registry })
    breaks(piece, 'log-proof', subject, { ...expected, logKeyId: fill(9) })
    breaks(piece, 'log-proof', subject, { nodeKeyId: expected.nodeKeyId, root: expected.root })
    breaks(piece, 'log-proof', subject, { ...expected, root: fill(9) })
    breaks(piece, 'log-proof', subject, { ...expected, root: undefined })
  })

  test('bits that no field uses are refused, in the step of their word', async () => {
    const high = (word: Uint8Array, bit: bigint) => Bytes.u256(Bytes.toBigInt(word) | (1n << bit))
    breaks(await makePiece({ keyWord: high(keyWord, 248n), logWord, stepWord }), 'registry-proof')
    breaks(await makePiece({ keyWord, logWord: high(logWord, 224n), stepWord }), 'log-proof')
    breaks(await makePiece({ keyWord, logWord, stepWord: high(stepWord, 64n) }), 'log-proof')
  })

  test('any flipped byte of the piece is refused', () => {
    const bytes: Uint8Array[] = [piece.header, piece.blockHash]
    for (const part of [piece.registry, piece.anchorLog]) for (const proof of Object.values(part)) bytes.push(...proof)
    for (const one of new Set(bytes)) {
      for (let at = 0; at < one.length; at += 7) {
        one[at] = (one[at] as number) ^ 0x10
        assert.throws(() => ChainPiece.verify(crypto, piece, subject, expected), ChainPiece.ContradictionError)
        one[at] = (one[at] as number) ^ 0x10
      }
    }
    ChainPiece.verify(crypto, piece, subject, expected)
  })
})
