/** inspect.ts - `assay inspect`: every piece of a file with its size and its bytes, nothing judged. */
import { resolve } from 'node:path'
import { crypto } from 'assay/crypto/node'
import { Bundle, Bytes, Cose, Dcbor, Head, Slot } from 'assay/protocol'
import type { Context, GlobalOptions } from '../Context.ts'
import * as Files from '../Files.ts'
import * as Story from '../Story.ts'
import { printable, table } from '../Terminal.ts'

export type InspectOptions = GlobalOptions & { readonly raw?: boolean }

/** A piece: where it stands, how long it is, what it holds. */
type Piece = { readonly piece: string; readonly bytes: number; readonly content: string }

/** `assay inspect FILE`. Bodies show as sizes; `--raw` shows every byte, prompt and answer included. */
export function inspect({ terminal, cwd }: Context, file: string, options: InspectOptions): number {
  const bytes = Files.readReceipt(resolve(cwd, file))
  if (options.raw === true) {
    terminal.print(diagnostic(Dcbor.decode(bytes)), 0)
    return 0
  }
  const bundle = Bundle.parse(bytes)
  const pieces = piecesOf(bundle)
  if (options.json === true) {
    terminal.print(
      JSON.stringify({ receipt: Bytes.toHex(Head.hash(crypto, bundle.receipt.head)), bytes: bytes.length, pieces }),
    )
    return 0
  }
  terminal.print(
    terminal.style('bold', `${bytes.length} bytes, receipt ${Bytes.toHex(Head.hash(crypto, bundle.receipt.head))}`),
  )
  terminal.rows(table(pieces.map((one) => [one.piece, `${one.bytes} B`, printable(one.content)])))
  return 0
}

function piecesOf(bundle: Bundle.Bundle): Piece[] {
  const pieces: Piece[] = []
  const add = (piece: string, bytes: Uint8Array, content = Bytes.toHex(bytes)) =>
    pieces.push({ piece, bytes: bytes.length, content })
  const nodes = (piece: string, proof: readonly Uint8Array[] | undefined) => {
    if (proof !== undefined) add(piece, Bytes.concat(...proof), `${proof.length} trie nodes`)
  }
  const { receipt, order, pledge, checkpoint, keys, chain, manifest } = bundle
  add('head', receipt.head)
  add('head signature', receipt.signature)
  const claims = Story.claimsOf(bundle) as Readonly<Record<string, unknown>>
  for (const [slot, { value }] of bundle.disclosed) {
    const name = Slot.nameOf(slot)
    add(`slot ${slot} ${name}`, value, claims[name] === undefined ? Bytes.toHex(value) : claimText(claims[name]))
  }
  for (const [slot, leaf] of bundle.hidden) add(`slot ${slot} ${Slot.nameOf(slot)} (hidden)`, leaf)
  if (order !== undefined) {
    add('order', order.words)
    add('order signature', order.signature)
    add('order key', order.publicKey, `keyId ${Bytes.toHex(Cose.keyId(crypto, order.publicKey))}`)
    if (order.terms !== undefined) add('order terms', order.terms)
    if (order.requestSalt !== undefined) add('order request salt', order.requestSalt)
  }
  if (pledge !== undefined) {
    add('pledge', pledge.words)
    add('pledge signature', pledge.signature)
  }
  if (checkpoint !== undefined) {
    add('checkpoint root', checkpoint.root, `size ${checkpoint.size}, root ${Bytes.toHex(checkpoint.root)}`)
    add('checkpoint signature', checkpoint.signature)
    add('inclusion proof', Bytes.concat(...checkpoint.proof), `${checkpoint.proof.length} hashes`)
    for (const line of checkpoint.cosignatures)
      add('cosignature', line.signature, `by keyId ${Bytes.toHex(Cose.keyId(crypto, line.publicKey))}`)
  }
  add('node key', keys.node, `keyId ${Bytes.toHex(Cose.keyId(crypto, keys.node))}`)
  if (keys.log !== undefined) add('log key', keys.log, `keyId ${Bytes.toHex(Cose.keyId(crypto, keys.log))}`)
  if (chain !== undefined) {
    add('block header', chain.header, `hash ${Bytes.toHex(chain.blockHash)}`)
    nodes('registry account proof', chain.registry.account)
    nodes('key record proofs', [...chain.registry.word0, ...chain.registry.word1])
    nodes('anchor log account proof', chain.anchorLog?.account)
    if (chain.anchorLog !== undefined)
      nodes('log record proofs', [...chain.anchorLog.record0, ...chain.anchorLog.record1])
    if (chain.anchorLog?.step0 !== undefined && chain.anchorLog.step1 !== undefined)
      nodes('anchored step proofs', [...chain.anchorLog.step0, ...chain.anchorLog.step1])
    if (chain.stake !== undefined) {
      const { stakeManager, faultCourt, faultCases, node, log } = chain.stake
      nodes('stake manager proofs', [...stakeManager.account, ...stakeManager.terms])
      nodes('court proofs', [...faultCourt.account, ...faultCourt.penalties, ...faultCourt.cases])
      nodes('cases account proof', faultCases.account)
      nodes('stake of the node proofs', Object.values(node).flat())
      nodes('stake of the log proofs', Object.values(log).flat())
    }
  }
  for (const [name, body] of Object.entries(bundle.bodies ?? {}))
    if (body !== undefined)
      add(`body ${name}`, Bytes.concat(...body.leaves), `${body.leaves.length} leaves, salt ${Bytes.toHex(body.salt)}`)
  if (manifest !== undefined) add('manifest', manifest)
  return pieces
}

function claimText(claim: unknown): string {
  return JSON.stringify(claim, (_, value: unknown) => {
    if (value instanceof Uint8Array) return Bytes.toHex(value)
    return typeof value === 'bigint' ? String(value) : value
  })
}

/** CBOR diagnostic notation. Source: RFC 8949 section 8. */
function diagnostic(value: Dcbor.Value): string {
  if (value instanceof Uint8Array) return `h'${Bytes.toHex(value)}'`
  if (typeof value === 'string') return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map((item: Dcbor.Value) => diagnostic(item)).join(', ')}]`
  if (Dcbor.isMap(value))
    return `{${[...value].map(([key, item]) => `${diagnostic(key)}: ${diagnostic(item)}`).join(', ')}}`
  return String(value)
}
