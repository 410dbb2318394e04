/** Profiles.ts - the ways to run a model that a receipt may name, and which of them are exact. Source: spec/execution.md section 3. */

/** onnxruntime-web, wasm backend, one thread, no relaxed SIMD, graph optimisation `all`. */
export const onnxWasm = 'onnx-wasm/1'
/** onnxruntime-node, native CPU, one thread: results differ between processors within a tolerance. */
export const onnx = 'onnx/1'

/** The closed list of profiles for which running again must give the same output. */
export const exact: readonly string[] = Object.freeze([onnxWasm])

/** Says whether a profile is on the exact list. */
export function isExact(profile: string): boolean {
  return exact.includes(profile)
}

/** What may differ under a profile that is not exact: FP32 values by `absolute + relative * |claimed value|`. */
export const tolerance = Object.freeze({ absolute: 1e-4, relative: 1e-4 })
