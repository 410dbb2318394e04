/** Engine.ts - a loaded model with the runtime that runs it: what a node serves and what a reader runs again. */
import type { Generate, Recompute, Tokenizer } from 'assay/execution'
import type { Manifest } from 'assay/protocol'

/** The runtimes there are. */
export const runtimes = Object.freeze(['onnx-wasm', 'onnx'] as const)

/** `onnx-wasm` is exact; `onnx` is faster and only within tolerance. */
export type RuntimeName = (typeof runtimes)[number]

/** A model that is ready to run. */
export type Engine = {
  /** The name under which a node serves it. */
  readonly id: string
  readonly manifest: Manifest.Manifest
  readonly manifestBytes: Uint8Array
  /** 32 bytes, slot 6. */
  readonly manifestHash: Uint8Array
  /** 32 bytes, slot 7, computed from the bytes that the runtime was given. */
  readonly weightsRoot: Uint8Array
  /** Slot 8: `profile`, `name`, `version`, `build` (32 bytes). */
  readonly profile: string
  readonly isExact: boolean
  readonly name: string
  readonly version: string
  readonly build: Uint8Array
  readonly kind: 'causal-lm' | 'tensor'
  /** For `causal-lm`. */
  readonly lm?: Generate.CausalLm
  readonly tokenizer?: Tokenizer.Tokenizer
  readonly tokenizerBytes?: Uint8Array
  /** For `tensor`: inputs and outputs in the manifest's order. */
  readonly infer?: (tensors: Parameters<Recompute.Infer>[0], signal?: AbortSignal) => ReturnType<Recompute.Infer>
  /** Calls that wait for their turn now. */
  readonly waiting: () => number
  /** Frees the runtime's memory; running calls end first. */
  readonly close: () => Promise<void>
}
