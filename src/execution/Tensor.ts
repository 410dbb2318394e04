/**
 * Tensor.ts - Open Inference Protocol requests to tensors and back. Source: spec/execution.md sections 2.3 and 5.
 */
import * as Bytes from '../protocol/Bytes.ts'
import type * as Claims from '../protocol/Claims.ts'
import * as Dcbor from '../protocol/Dcbor.ts'
import { UsageError } from '../protocol/errors.ts'
import type * as Manifest from '../protocol/Manifest.ts'
import { assertFields, BadRequestError, parseObject } from './BadRequest.ts'
import * as Json from './Json.ts'
import { quote } from './Render.ts'

/** Most elements of all tensors of a call together, 2^20: 4 MiB of FP32. */
export const maxElements = 1 << 20
/** Most UTF-8 bytes of a request's `id`. */
export const maxIdBytes = 64

/** An element's type, in the words of the Open Inference Protocol. */
export type Datatype = Manifest.Port['datatype']

/** A tensor; `data` is raw little-endian bytes in row order, 4 (FP32) or 8 (INT64) per element. */
export type Tensor = {
  readonly name: string
  readonly datatype: Datatype
  readonly shape: readonly number[]
  readonly data: Uint8Array
}

/** The parts of a model manifest that tensor calls need. */
export type TensorModel = {
  readonly name: string
  readonly inputs?: readonly Manifest.Port[] | undefined
  readonly outputs?: readonly Manifest.Port[] | undefined
}

/** What `prepareInfer` makes of a request. */
export type PreparedInfer = {
  readonly requestModel: string
  readonly id?: string
  readonly tensors: readonly Tensor[]
  /** The outputs that the answer shows, in the manifest's order. */
  readonly outputs: readonly string[]
  readonly rewrites: readonly Claims.Rewrite[]
  readonly leaves: readonly Uint8Array[]
}

const requestFields = new Set(['id', 'inputs', 'outputs'])
const knownFields = new Set([...requestFields, 'parameters'])
const inputFields = new Set(['name', 'shape', 'datatype', 'data'])
const knownInputFields = new Set([...inputFields, 'parameters'])
const outputFields = new Set(['name'])
const knownOutputFields = new Set([...outputFields, 'parameters'])

/**
 * Turns the exact bytes of an inference request into tensors.
 *
 * - `modelName`: the name in the request's path; another name than the manifest's is recorded as an alias
 *
 * Throws: `BadRequestError`, `Tensor.UnfitModelError`.
 */
export function prepareInfer(
  body: Uint8Array,
  manifest: TensorModel,
  modelName: string = manifest.name,
): PreparedInfer {
  if (manifest.inputs === undefined || manifest.outputs === undefined) throw new UnfitModelError()
  const request = parseObject(body)
  assertFields(request, '', requestFields, knownFields)
  const id = readId(request)
  const tensors = readInputs(request, manifest.inputs)
  const outputs = readOutputs(request, manifest.outputs)
  const rewrites: Claims.Rewrite[] =
    modelName === manifest.name ? [] : [{ code: 'alias', path: '', detail: manifest.name }]
  return {
    requestModel: modelName,
    ...(id === undefined ? {} : { id }),
    tensors,
    outputs,
    rewrites,
    leaves: toLeaves(tensors),
  }
}

/** The leaves of tensors: dCBOR `[[name, datatype, [dim ...]] ...]`, then the raw bytes of each. */
export function toLeaves(tensors: readonly Tensor[]): Uint8Array[] {
  const description = tensors.map(({ name, datatype, shape }) => [name, datatype, [...shape]])
  return [Dcbor.encode(description), ...tensors.map((tensor) => tensor.data)]
}

/** The leaves of an output: all outputs of the manifest, in its order; throws `Tensor.TensorError`. */
export function outputLeaves(tensors: readonly Tensor[], manifest: TensorModel): Uint8Array[] {
  if (manifest.outputs === undefined) throw new UnfitModelError()
  if (tensors.length !== manifest.outputs.length) throw new TensorError()
  for (const [index, port] of manifest.outputs.entries()) {
    const tensor = tensors[index] as Tensor
    if (tensor.name !== port.name || tensor.datatype !== port.datatype || !isShapeOf(tensor.shape, port.shape)) {
      throw new TensorError()
    }
    assertFinite(tensor)
  }
  return toLeaves(tensors)
}

/** Reads the leaves of tensors; throws `Tensor.TensorError`. */
export function fromLeaves(leaves: readonly Uint8Array[]): Tensor[] {
  const [first, ...rest] = leaves
  if (first === undefined) throw new TensorError()
  const description = Dcbor.decode(first)
  if (!Array.isArray(description) || description.length !== rest.length) throw new TensorError()
  let elements = 0
  return description.map((item: Dcbor.Value, index: number) => {
    if (!Array.isArray(item) || item.length !== 3) throw new TensorError()
    const [name, datatype, shape] = item as readonly Dcbor.Value[]
    if (typeof name !== 'string' || (datatype !== 'FP32' && datatype !== 'INT64') || !Array.isArray(shape)) {
      throw new TensorError()
    }
    const dims = shape.map((dim: Dcbor.Value) => {
      if (typeof dim !== 'number' || dim < 1 || dim > maxElements) throw new TensorError()
      return dim
    })
    const data = rest[index] as Uint8Array
    const count = countOf(dims)
    elements += count
    if (elements > maxElements || data.length !== count * widthOf(datatype)) throw new TensorError()
    return { name, datatype, shape: dims, data }
  })
}

/** The body of an inference answer; `output` has all outputs of the manifest. */
export function renderInfer(prepared: PreparedInfer, output: readonly Tensor[]): Uint8Array {
  const id = prepared.id === undefined ? '' : `,"id":${quote(prepared.id)}`
  const shown = prepared.outputs.map((name) => {
    const tensor = output.find((candidate) => candidate.name === name)
    if (tensor === undefined) throw new TensorError()
    const head = `"name":${quote(name)},"datatype":"${tensor.datatype}","shape":[${tensor.shape.join(',')}]`
    return `{${head},"data":[${texts(tensor).join(',')}]}`
  })
  const model = quote(prepared.requestModel)
  return Bytes.fromUtf8(`{"model_name":${model},"model_version":"1"${id},"outputs":[${shown.join(',')}]}`)
}

/** The values of a FP32 tensor. */
export function toFloats(tensor: Tensor): Float32Array {
  const view = new DataView(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength)
  return Float32Array.from({ length: tensor.data.length / 4 }, (_, i) => view.getFloat32(4 * i, true))
}

/** The values of an INT64 tensor. */
export function toIntegers(tensor: Tensor): BigInt64Array {
  const view = new DataView(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength)
  return BigInt64Array.from({ length: tensor.data.length / 8 }, (_, i) => view.getBigInt64(8 * i, true))
}

/** Raw little-endian bytes of FP32 values. */
export function fromFloats(values: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(values.length * 4)
  const view = new DataView(bytes.buffer)
  for (let i = 0; i < values.length; i++) view.setFloat32(4 * i, values[i] as number, true)
  return bytes
}

/** Raw little-endian bytes of INT64 values. */
export function fromIntegers(values: ArrayLike<bigint>): Uint8Array {
  const bytes = new Uint8Array(values.length * 8)
  const view = new DataView(bytes.buffer)
  for (let i = 0; i < values.length; i++) view.setBigInt64(8 * i, values[i] as bigint, true)
  return bytes
}

/** Refuses NaN and the infinities, which JSON cannot write; throws `Tensor.TensorError`. */
export function assertFinite(tensor: Tensor): void {
  if (tensor.datatype === 'FP32' && !toFloats(tensor).every(Number.isFinite)) throw new TensorError()
}

function texts(tensor: Tensor): string[] {
  assertFinite(tensor)
  return tensor.datatype === 'FP32' ? Array.from(toFloats(tensor), String) : Array.from(toIntegers(tensor), String)
}

function readId(request: Json.JsonObject): string | undefined {
  const id = request.get('id')
  if (id === undefined) return undefined
  if (typeof id !== 'string') throw new BadRequestError('invalid-type', '/id')
  if (Bytes.fromUtf8(id).length > maxIdBytes)
    throw new BadRequestError('too-large', '/id', [`Limit: ${maxIdBytes} bytes`])
  return id
}

function readInputs(request: Json.JsonObject, ports: readonly Manifest.Port[]): Tensor[] {
  const list = request.get('inputs')
  if (list === undefined) throw new BadRequestError('missing-field', '/inputs')
  if (!Json.isArray(list)) throw new BadRequestError('invalid-type', '/inputs')
  const byName = new Map<string, { readonly input: Json.JsonObject; readonly at: string }>()
  for (const [index, input] of list.entries()) {
    const at = `/inputs/${index}`
    if (!Json.isObject(input)) throw new BadRequestError('invalid-type', at)
    assertFields(input, at, inputFields, knownInputFields)
    const name = input.get('name')
    if (typeof name !== 'string') throw new BadRequestError('invalid-type', `${at}/name`)
    if (byName.has(name)) throw new BadRequestError('invalid-value', `${at}/name`)
    byName.set(name, { input, at })
  }
  if (byName.size !== ports.length)
    throw new BadRequestError('invalid-value', '/inputs', [`Expected: ${ports.length} inputs`])
  let elements = 0
  return ports.map((port) => {
    const found = byName.get(port.name)
    if (found === undefined) throw new BadRequestError('invalid-value', '/inputs', [`Missing input: ${port.name}`])
    const { input, at } = found
    if (input.get('datatype') !== port.datatype) {
      throw new BadRequestError('invalid-value', `${at}/datatype`, [`Expected: ${port.datatype}`])
    }
    const shape = readShape(input.get('shape'), port.shape, `${at}/shape`)
    elements += countOf(shape)
    if (elements > maxElements)
      throw new BadRequestError('too-large', `${at}/shape`, [`Limit: ${maxElements} elements`])
    const numbers = readData(input.get('data'), shape, `${at}/data`)
    const data = port.datatype === 'FP32' ? floatsOf(numbers, `${at}/data`) : integersOf(numbers, `${at}/data`)
    return { name: port.name, datatype: port.datatype, shape, data }
  })
}

function readShape(value: Json.Value | undefined, wanted: readonly number[], at: string): number[] {
  if (!Json.isArray(value)) throw new BadRequestError('invalid-type', at)
  const shape = value.map((dim) => {
    if (!Json.isNumber(dim)) throw new BadRequestError('invalid-type', at)
    if (!/^[1-9][0-9]{0,6}$/.test(dim.number)) throw new BadRequestError('wrong-shape', at)
    return Number(dim.number)
  })
  if (!isShapeOf(shape, wanted)) throw new BadRequestError('wrong-shape', at, [`Expected: [${wanted.join(', ')}]`])
  if (countOf(shape) > maxElements) throw new BadRequestError('too-large', at, [`Limit: ${maxElements} elements`])
  return shape
}

/** The numbers of a flat array, or of arrays nested exactly as the shape says. */
function readData(value: Json.Value | undefined, shape: readonly number[], at: string): string[] {
  if (!Json.isArray(value)) throw new BadRequestError('invalid-type', at)
  const numbers: string[] = []
  const isNested = shape.length > 1 && Json.isArray(value[0])
  const collect = (items: readonly Json.Value[], dims: readonly number[]) => {
    if (items.length !== dims[0]) throw new BadRequestError('wrong-shape', at)
    for (const item of items) {
      if (dims.length > 1) {
        if (!Json.isArray(item)) throw new BadRequestError('wrong-shape', at)
        collect(item, dims.slice(1))
      } else {
        if (!Json.isNumber(item)) throw new BadRequestError('invalid-type', at)
        numbers.push(item.number)
      }
    }
  }
  collect(value, isNested ? shape : [countOf(shape)])
  return numbers
}

function floatsOf(numbers: readonly string[], at: string): Uint8Array {
  return fromFloats(
    numbers.map((text) => {
      const value = Math.fround(Number(text))
      if (!Number.isFinite(value)) throw new BadRequestError('invalid-value', at)
      return value
    }),
  )
}

function integersOf(numbers: readonly string[], at: string): Uint8Array {
  return fromIntegers(
    numbers.map((text) => {
      if (text.length > 20 || !/^-?[0-9]+$/.test(text)) throw new BadRequestError('invalid-value', at)
      const value = BigInt(text)
      if (value < -(2n ** 63n) || value >= 2n ** 63n) throw new BadRequestError('invalid-value', at)
      return value
    }),
  )
}

function readOutputs(request: Json.JsonObject, ports: readonly Manifest.Port[]): string[] {
  const list = request.get('outputs')
  const names = ports.map((port) => port.name)
  if (list === undefined) return names
  if (!Json.isArray(list)) throw new BadRequestError('invalid-type', '/outputs')
  if (list.length === 0) throw new BadRequestError('invalid-value', '/outputs')
  const wanted = new Set<string>()
  for (const [index, output] of list.entries()) {
    const at = `/outputs/${index}`
    if (!Json.isObject(output)) throw new BadRequestError('invalid-type', at)
    assertFields(output, at, outputFields, knownOutputFields)
    const name = output.get('name')
    if (typeof name !== 'string') throw new BadRequestError('invalid-type', `${at}/name`)
    if (!names.includes(name) || wanted.has(name)) throw new BadRequestError('invalid-value', `${at}/name`)
    wanted.add(name)
  }
  return names.filter((name) => wanted.has(name))
}

function isShapeOf(shape: readonly number[], wanted: readonly number[]): boolean {
  return (
    shape.length === wanted.length &&
    shape.every((dim, i) => Number.isInteger(dim) && dim >= 1 && (wanted[i] === -1 || wanted[i] === dim))
  )
}

function countOf(shape: readonly number[]): number {
  let count = 1
  // Dimensions are below 10^7, so the product is exact until it is far beyond every limit.
  for (const dim of shape) count = Math.min(count * dim, 2 ** 40)
  return count
}

function widthOf(datatype: Datatype): number {
  return datatype === 'FP32' ? 4 : 8
}

/** A manifest describes no tensor model. */
export class UnfitModelError extends UsageError<'unfit-model'> {
  override readonly name = 'Tensor.UnfitModelError'
  constructor() {
    super('unfit-model', 'The manifest describes no tensor model.')
  }
}

/** Tensors are not those of the manifest, do not fit their shape, or hold a value that is not finite. */
export class TensorError extends UsageError<'malformed-tensor'> {
  override readonly name = 'Tensor.TensorError'
  constructor() {
    super('malformed-tensor', 'A tensor does not fit its description or holds a value that is not finite.')
  }
}
