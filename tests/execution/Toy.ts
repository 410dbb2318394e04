/**
 * Toy.ts - a small tokenizer, a manifest and a language model without weights, for tests and vectors of src/execution.
 *
 * The model's logits are a hash of the tokens fed so far: deterministic, different at every position, and as good as
 * any model's for checking what happens around a model.
 */
import { createHash } from 'node:crypto'
import * as Chat from '../../src/execution/Chat.ts'
import type { CausalLm } from '../../src/execution/Generate.ts'
import * as Tokenizer from '../../src/execution/Tokenizer.ts'
import * as Bytes from '../../src/protocol/Bytes.ts'
import type { Crypto } from '../../src/protocol/Crypto.ts'
import * as Manifest from '../../src/protocol/Manifest.ts'

/** Hashing from node:crypto; nothing in src/execution checks a signature. */
export const crypto: Crypto = {
  sha256: (bytes) => new Uint8Array(createHash('sha256').update(bytes).digest()),
  keccak256: () => unused(),
  p256Verify: () => unused(),
  ed25519Verify: () => unused(),
}

function unused(): never {
  throw new Error('not needed here')
}

export const special = ['<|bos|>', '<|system|>', '<|user|>', '<|assistant|>', '<|end|>']
export const end = 4

/** All single bytes, then words, parts of words, and parts of characters. */
const words = ['th', 'the', ' the', 'he', 'ere', 'there', 'hello', ' world', '\n\n', '  ', 'STOP', 'é', '€', '😀']
const parts = [
  [0xf0, 0x9f],
  [0x98, 0x80],
  [0xe2, 0x82],
  [0xac, 0x41],
  [0x80, 0xf0],
  [0xed, 0xa0, 0x80],
  [0xc3, 0xc3],
]
export const pieces: readonly Uint8Array[] = [
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...words.map(Bytes.fromUtf8),
  ...parts.map((bytes) => Uint8Array.from(bytes)),
]

/** The tokenizer's file. */
export const tokenizerText: string = JSON.stringify({
  kind: 'longest-match-bytes/1',
  special,
  pieces: pieces.map(Bytes.toBase64),
})
export const tokenizerBytes = Bytes.fromUtf8(tokenizerText)
export const tokenizer = Tokenizer.load(tokenizerBytes)

const graphBytes = Bytes.fromUtf8('no graph')
const files = [
  { path: 'model.onnx', bytes: graphBytes },
  { path: 'tokenizer.json', bytes: tokenizerBytes },
]

export const weightsRoot = Manifest.weightsRoot(crypto, files)

export const manifest: Manifest.Manifest = {
  version: 1,
  name: 'toy',
  kind: 'causal-lm',
  weightsRoot,
  files: files.map(({ path, bytes }) => ({ path, bytes: BigInt(bytes.length), sha256: crypto.sha256(bytes) })),
  licence: 'Apache-2.0',
  architecture: { layers: 1, heads: 1, headDim: 1, vocab: tokenizer.size, context: 96 },
  template: { name: 'role-tokens/1', bos: 0, system: 1, user: 2, assistant: 3, end },
  defaults: { temperature: '0', topP: '1', maxTokens: 24 },
  graph: 'model.onnx',
  tokenizer: 'tokenizer.json',
}
export const manifestBytes = Manifest.serialize(manifest)
export const manifestHash = Manifest.hash(crypto, manifestBytes)
export const localModel = { manifest, manifestBytes, tokenizer: tokenizerBytes }

/** A model with two inputs and two outputs: sum and count. */
export const tensorManifest: Manifest.Manifest = {
  version: 1,
  name: 'adder',
  kind: 'tensor',
  weightsRoot: Manifest.weightsRoot(crypto, [files[0] as (typeof files)[0]]),
  files: [{ path: 'model.onnx', bytes: BigInt(graphBytes.length), sha256: crypto.sha256(graphBytes) }],
  licence: 'Apache-2.0',
  inputs: [
    { name: 'a', datatype: 'FP32', shape: [-1, 2] },
    { name: 'b', datatype: 'INT64', shape: [2] },
  ],
  outputs: [
    { name: 'sum', datatype: 'FP32', shape: [-1] },
    { name: 'count', datatype: 'INT64', shape: [1] },
  ],
  graph: 'model.onnx',
}
export const tensorManifestBytes = Manifest.serialize(tensorManifest)

/** Logits from a hash of all tokens so far; `endBonus` makes the end token likelier. */
export function createLm(endBonus = 0): CausalLm & { readonly open: () => number } {
  let open = 0
  return {
    open: () => open,
    async start() {
      open++
      let isOpen = true
      let state = new Uint8Array(32)
      return {
        async forward(tokens) {
          if (!isOpen) throw new Error('disposed')
          for (const token of tokens) {
            state = new Uint8Array(crypto.sha256(Bytes.concat(state, Bytes.u32(token))))
          }
          return logitsOf(state, endBonus)
        },
        dispose() {
          if (isOpen) open--
          isOpen = false
        },
      }
    },
  }
}

/** As many logits as tokens, in [-8, 8), multiples of 1/4096. */
export function logitsOf(state: Uint8Array, endBonus = 0): Float32Array {
  const logits = new Float32Array(tokenizer.size)
  let block = state
  for (let id = 0; id < logits.length; id++) {
    if (id % 16 === 0) block = crypto.sha256(Bytes.concat(state, Bytes.u32(id)))
    const word = ((block[(id % 16) * 2] as number) << 8) | (block[(id % 16) * 2 + 1] as number)
    logits[id] = word / 4096 - 8
  }
  logits[end] = (logits[end] as number) + endBonus
  return logits
}

/** `Chat.prepare` of a JSON value or text for the toy model. */
export function prepare(request: unknown, drawnSeed = 7n): Chat.Prepared {
  const text = typeof request === 'string' ? request : JSON.stringify(request)
  return Chat.prepare(crypto, { body: Bytes.fromUtf8(text), manifest, tokenizer, drawnSeed })
}
