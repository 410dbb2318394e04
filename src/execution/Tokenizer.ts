/**
 * Tokenizer.ts - `longest-match-bytes/1`: text to token ids and back, without regular expressions or Unicode tables. Source: spec/execution.md section 2.2.
 *
 * At each position of the UTF-8 bytes the longest piece wins. Every single byte is a piece, so every text has one
 * encoding. Special tokens have the ids before the pieces, never come from text and stand for no bytes.
 */
import * as Bytes from '../protocol/Bytes.ts'
import { UsageError } from '../protocol/errors.ts'
import * as Json from './Json.ts'

/** Most tokens, special ones and pieces together. */
export const maxTokens = 1 << 20
/** Longest piece in bytes; it bounds the work per position of the text. */
export const maxPieceBytes = 256

/** A loaded tokenizer. */
export type Tokenizer = {
  /** Number of token ids; ids are 0..size-1. */
  readonly size: number
  /** Number of special tokens, ids 0..specialCount-1. */
  readonly specialCount: number
  /** The token ids of a text; throws `Bytes.EncodingError` for a lone surrogate. */
  readonly encode: (text: string) => number[]
  /** The bytes of a token, none for a special one; throws `Tokenizer.TokenError` for an id that does not exist. */
  readonly bytesOf: (id: number) => Uint8Array
}

/**
 * Reads a tokenizer file: JSON `{"kind":"longest-match-bytes/1","special":[name...],"pieces":[base64...]}`.
 *
 * Throws: `Tokenizer.TokenizerFileError`, `Json.JsonError`, `Bytes.EncodingError`.
 */
export function load(bytes: Uint8Array): Tokenizer {
  const file = Json.parse(bytes)
  if (!Json.isObject(file) || file.size !== 3) throw new TokenizerFileError('not-a-tokenizer')
  if (file.get('kind') !== 'longest-match-bytes/1') throw new TokenizerFileError('unknown-kind')
  const special = file.get('special')
  const texts = file.get('pieces')
  if (!Json.isArray(special) || !Json.isArray(texts)) throw new TokenizerFileError('not-a-tokenizer')
  if (special.some((name) => typeof name !== 'string')) throw new TokenizerFileError('not-a-tokenizer')
  if (special.length + texts.length > maxTokens) throw new TokenizerFileError('too-many-tokens')
  const pieces = texts.map((text) => {
    if (typeof text !== 'string') throw new TokenizerFileError('not-a-tokenizer')
    const piece = Bytes.fromBase64(text)
    if (piece.length === 0 || piece.length > maxPieceBytes) throw new TokenizerFileError('piece-length')
    return piece
  })
  return create(special.length, pieces)
}

/** Makes a tokenizer from its pieces; throws `Tokenizer.TokenizerFileError`. */
export function create(specialCount: number, pieces: readonly Uint8Array[]): Tokenizer {
  // A trie over bytes: node * 256 + byte -> node, and the token that ends at a node.
  const children = new Map<number, number>()
  const endOf: (number | undefined)[] = [undefined]
  for (const [index, piece] of pieces.entries()) {
    let node = 0
    for (const byte of piece) {
      const key = node * 256 + byte
      let next = children.get(key)
      if (next === undefined) {
        next = endOf.length
        endOf.push(undefined)
        children.set(key, next)
      }
      node = next
    }
    if (endOf[node] !== undefined) throw new TokenizerFileError('duplicate-piece')
    endOf[node] = specialCount + index
  }
  for (let byte = 0; byte < 256; byte++) {
    const node = children.get(byte)
    if (node === undefined || endOf[node] === undefined) throw new TokenizerFileError('missing-byte')
  }

  function encode(text: string): number[] {
    const bytes = Bytes.fromUtf8(text)
    const tokens: number[] = []
    let start = 0
    while (start < bytes.length) {
      let node: number | undefined = 0
      let token = -1
      let end = start
      for (let offset = start; offset < bytes.length; offset++) {
        node = children.get(node * 256 + (bytes[offset] as number))
        if (node === undefined) break
        const ending = endOf[node]
        if (ending !== undefined) {
          token = ending
          end = offset + 1
        }
      }
      tokens.push(token)
      start = end
    }
    return tokens
  }

  const size = specialCount + pieces.length
  const none = new Uint8Array(0)
  function bytesOf(id: number): Uint8Array {
    if (!Number.isInteger(id) || id < 0 || id >= size) throw new TokenError(id, size)
    return id < specialCount ? none : (pieces[id - specialCount] as Uint8Array).slice()
  }

  return { size, specialCount, encode, bytesOf }
}

/** Codes of `Tokenizer.TokenizerFileError`. */
export type TokenizerFileErrorCode =
  | 'not-a-tokenizer'
  | 'unknown-kind'
  | 'too-many-tokens'
  | 'piece-length'
  | 'duplicate-piece'
  | 'missing-byte'

/** A tokenizer file breaks a rule of `longest-match-bytes/1`. */
export class TokenizerFileError extends UsageError<TokenizerFileErrorCode> {
  override readonly name = 'Tokenizer.TokenizerFileError'
  constructor(code: TokenizerFileErrorCode) {
    super(code, `The tokenizer file is not usable (${code}).`)
  }
}

/** A token id is outside the vocabulary. */
export class TokenError extends UsageError<'unknown-token'> {
  override readonly name = 'Tokenizer.TokenError'
  constructor(id: number, size: number) {
    super('unknown-token', 'A token id is not in the vocabulary.', { facts: [`Id: ${id}`, `Vocabulary: ${size}`] })
  }
}
