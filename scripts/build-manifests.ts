/**
 * build-manifests.ts - writes models/<name>/manifest.dcbor from models/<name>/model.json and the files that it lists.
 *
 *     node scripts/build-manifests.ts            writes
 *     node scripts/build-manifests.ts --check    says what is stale, writes nothing
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crypto } from 'assay/crypto/node'
import { Json } from 'assay/execution'
import { Bytes, Manifest } from 'assay/protocol'

const modelsFolder = join(import.meta.dirname, '..', 'models')

/** Models by name: folders that have a model.json. */
export function listModels(folder: string = modelsFolder): string[] {
  return readdirSync(folder)
    .filter((name) => existsSync(join(folder, name, 'model.json')))
    .sort()
}

/** The manifest's bytes for the model in `folder`; throws for a description that makes no manifest. */
function buildManifest(folder: string): Uint8Array {
  const description = Json.parse(readFileSync(join(folder, 'model.json')))
  if (!Json.isObject(description)) throw new Error('model.json is no object')
  const kind = text(description, 'kind')
  if (kind !== 'causal-lm' && kind !== 'tensor') throw new Error('model.json has an unknown kind')
  const paths = list(description, 'files').map((path) => {
    if (typeof path !== 'string') throw new Error('a file of model.json is no text')
    return path
  })
  const files = paths
    .map((path) => ({ path, bytes: new Uint8Array(readFileSync(join(folder, path))) }))
    .sort((left, right) => Bytes.compare(Bytes.fromUtf8(left.path), Bytes.fromUtf8(right.path)))
  const graphs = paths.filter((path) => path.endsWith('.onnx'))
  if (graphs.length !== 1) throw new Error('model.json needs exactly one .onnx file')
  return Manifest.serialize({
    version: 1,
    name: text(description, 'name'),
    kind,
    weightsRoot: Manifest.weightsRoot(crypto, files),
    files: files.map(({ path, bytes }) => ({ path, bytes: BigInt(bytes.length), sha256: crypto.sha256(bytes) })),
    licence: text(description, 'licence'),
    graph: graphs[0] as string,
    ...(kind === 'causal-lm' ? causal(description, paths) : tensor(description)),
  })
}

function causal(description: Json.JsonObject, paths: readonly string[]) {
  const architecture = object(description, 'architecture')
  const template = object(description, 'template')
  const defaults = object(description, 'defaults')
  const tokenizer = paths.find((path) => path === 'tokenizer.json')
  if (text(template, 'kind') !== 'role-tokens/1' || tokenizer === undefined) {
    throw new Error('a chat model needs the template role-tokens/1 and a tokenizer.json')
  }
  return {
    architecture: {
      layers: integer(architecture, 'layers'),
      heads: integer(architecture, 'heads'),
      headDim: integer(architecture, 'headDim'),
      vocab: integer(architecture, 'vocab'),
      context: integer(architecture, 'context'),
    },
    template: {
      name: 'role-tokens/1' as const,
      bos: integer(template, 'bos'),
      system: integer(template, 'system'),
      user: integer(template, 'user'),
      assistant: integer(template, 'assistant'),
      end: integer(template, 'end'),
    },
    defaults: {
      temperature: numberText(defaults, 'temperature'),
      topP: numberText(defaults, 'topP'),
      maxTokens: integer(defaults, 'maxTokens'),
    },
    tokenizer,
  }
}

function tensor(description: Json.JsonObject) {
  const ports = (field: string) =>
    list(description, field).map((port) => {
      if (!Json.isObject(port)) throw new Error(`${field} of model.json is malformed`)
      const datatype = text(port, 'datatype')
      if (datatype !== 'FP32' && datatype !== 'INT64') throw new Error(`${field} of model.json has an unknown datatype`)
      const shape = list(port, 'shape').map((dim) => (Json.isNumber(dim) ? Number(dim.number) : Number.NaN))
      return { name: text(port, 'name'), datatype: datatype as 'FP32' | 'INT64', shape }
    })
  return { inputs: ports('inputs'), outputs: ports('outputs') }
}

function text(from: Json.JsonObject, field: string): string {
  const value = from.get(field)
  if (typeof value !== 'string') throw new Error(`model.json needs the text ${field}`)
  return value
}

function object(from: Json.JsonObject, field: string): Json.JsonObject {
  const value = from.get(field)
  if (!Json.isObject(value)) throw new Error(`model.json needs the object ${field}`)
  return value
}

function list(from: Json.JsonObject, field: string): readonly Json.Value[] {
  const value = from.get(field)
  if (!Json.isArray(value)) throw new Error(`model.json needs the list ${field}`)
  return value
}

function numberText(from: Json.JsonObject, field: string): string {
  const value = from.get(field)
  if (!Json.isNumber(value)) throw new Error(`model.json needs the number ${field}`)
  return value.number
}

function integer(from: Json.JsonObject, field: string): number {
  return Number(numberText(from, field))
}

/** What this script writes, by path from the project's root. */
export async function outputs(): Promise<Record<string, Uint8Array>> {
  return Object.fromEntries(
    listModels().map((name) => [`models/${name}/manifest.dcbor`, buildManifest(join(modelsFolder, name))]),
  )
}

async function main(): Promise<number> {
  const isCheck = process.argv.includes('--check')
  let stale = 0
  for (const [path, bytes] of Object.entries(await outputs())) {
    const target = join(modelsFolder, '..', path)
    const isFresh = existsSync(target) && Bytes.equal(new Uint8Array(readFileSync(target)), bytes)
    if (!isFresh && !isCheck) writeFileSync(target, bytes)
    if (!isFresh) stale++
    console.log(
      `${path} ${Bytes.toHex(Manifest.hash(crypto, bytes))} ${isFresh ? 'fresh' : isCheck ? 'STALE' : 'written'}`,
    )
  }
  return isCheck && stale > 0 ? 1 : 0
}

if (import.meta.main) process.exitCode = await main()
