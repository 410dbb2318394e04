/** doctor.ts - `assay doctor`: what is there, what is missing, and what stands in for it. Changes nothing. */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import * as ModelFolder from '@assay/node/engine/ModelFolder'
import { findAnvil } from '@assay/node/settle/anvil-binary'
import { lockFolder } from '@assay/node/settle/folder-lock'
import { Bytes, errors } from 'assay/protocol'
import { type Context, type GlobalOptions, homeOf } from '../Context.ts'
import * as Home from '../Home.ts'
import * as Network from '../Network.ts'
import { table } from '../Terminal.ts'
import { findContracts } from './doctor-contracts.ts'

/** `info`: neither good nor bad. `stands-in`: something else does its work, and what that means is said. */
type State = 'ok' | 'info' | 'stands-in' | 'missing' | 'wrong'
type Finding = { readonly what: string; readonly state: State; readonly says: string }

const minMajor = 24

/** `assay doctor`. Ends with 0 when nothing is missing or wrong. */
export async function doctor(context: Context, options: GlobalOptions): Promise<number> {
  const { terminal } = context
  const home = homeOf(context, options)
  const findings = [
    node(),
    ...packages(),
    ...(await models(context)),
    ...folders(home),
    ...(await names(home)),
    ...(await network(home)),
    ...(await pending(home)),
  ]
  const isWell = findings.every(({ state }) => state !== 'missing' && state !== 'wrong')
  if (options.json === true) terminal.print(JSON.stringify({ well: isWell, findings }))
  else {
    const style = { ok: 'green', info: 'dim', 'stands-in': 'yellow', missing: 'red', wrong: 'red' } as const
    for (const line of table(
      findings.map(({ what, state, says }) => [terminal.style(style[state], state), what, says]),
    ))
      terminal.print(line, 12)
  }
  return isWell ? 0 : 1
}

function node(): Finding {
  const major = Number(process.versions.node.split('.')[0])
  return {
    what: 'Node.js',
    state: major >= minMajor ? 'ok' : 'wrong',
    says: `${process.version} on ${process.platform}-${process.arch}${major >= minMajor ? '' : `; ${minMajor} or newer is needed`}`,
  }
}

/** Packages with one binary for each platform. */
function packages(): Finding[] {
  const require = createRequire(join(import.meta.dirname, '..', '..', '..', 'node', 'package.json'))
  const find = (name: string) => {
    try {
      return require.resolve(name)
    } catch {
      return undefined
    }
  }
  const anvil = anvilPath()
  const isChainNamed = (process.env.ASSAY_CHAIN_RPC ?? '') !== ''
  const native = find('onnxruntime-node')
  const hasNative =
    native !== undefined && existsSync(join(dirname(native), '..', 'bin', 'napi-v6', process.platform, process.arch))
  return [
    anvil !== undefined
      ? { what: 'anvil', state: 'ok', says: 'the embedded development chain can run' }
      : isChainNamed
        ? { what: 'anvil', state: 'stands-in', says: 'not for this machine; ASSAY_CHAIN_RPC names the chain instead' }
        : {
            what: 'anvil',
            state: 'missing',
            says: 'not for this machine; name a chain with ASSAY_CHAIN_RPC, or verify files only',
          },
    find('onnxruntime-web') === undefined
      ? {
          what: 'onnx-wasm',
          state: 'missing',
          says: 'no exact runtime: models cannot run, and nothing can be recomputed',
        }
      : { what: 'onnx-wasm', state: 'ok', says: 'exact runtime' },
    hasNative
      ? { what: 'onnx', state: 'ok', says: 'native runtime' }
      : {
          what: 'onnx',
          state: 'stands-in',
          says: 'no native runtime for this machine; the exact one serves every model, more slowly',
        },
  ]
}

function anvilPath(): string | undefined {
  try {
    return findAnvil()
  } catch {
    return undefined
  }
}

async function models(context: Context): Promise<Finding[]> {
  const found: Finding[] = []
  for (const folder of await ModelFolder.listModels(context.modelsFolder)) {
    try {
      const { manifest, manifestHash } = await ModelFolder.readModel(folder)
      found.push({
        what: `model ${manifest.name}`,
        state: 'ok',
        says: `manifest ${Bytes.toHex(manifestHash)}, files as it says`,
      })
    } catch (error) {
      if (!errors.BaseError.isInstance(error)) throw error
      found.push({ what: 'model', state: 'wrong', says: `${error.shortMessage} ${error.facts.join(' ')}` })
    }
  }
  return found.length > 0 ? found : [{ what: 'models', state: 'missing', says: 'no model folder with a manifest' }]
}

function folders(home: Home.Home): Finding[] {
  const stats = statSync(home.folder, { throwIfNoEntry: false })
  if (stats === undefined)
    return [{ what: 'home', state: 'info', says: `${home.folder} is not there yet; \`npm start\` makes it` }]
  const findings: Finding[] = [
    isClosed(stats.mode)
      ? { what: 'home', state: 'ok', says: `${home.folder}, readable by you alone` }
      : { what: 'home', state: 'wrong', says: `${home.folder} can be entered by others: chmod 700` },
  ]
  for (const name of [...Home.daemonFolders, 'client'] as const) {
    const key = join(home.folder, name, 'key.json')
    const keyStats = statSync(key, { throwIfNoEntry: false })
    if (keyStats === undefined) continue
    findings.push(
      isClosed(keyStats.mode)
        ? { what: `key of ${name}`, state: 'ok', says: 'there, readable by you alone' }
        : { what: `key of ${name}`, state: 'wrong', says: 'others can read it: whoever did may sign with it' },
    )
  }
  const aside = readdirSync(home.folder).filter((name) => name.includes('.before-'))
  if (aside.length > 0)
    findings.push({ what: 'put aside', state: 'info', says: `${aside.length} folders or files of before a reset` })
  return findings
}

function isClosed(mode: number): boolean {
  return process.platform === 'win32' || (mode & 0o077) === 0
}

async function names(home: Home.Home): Promise<Finding[]> {
  try {
    const reader = Home.readReader(home)
    const anchors = await Home.anchorStore(home).read()
    return [
      reader === undefined
        ? { what: 'reader.json', state: 'info', says: 'nobody is named: `strict` and `embedded` stay UNCHECKED' }
        : {
            what: 'reader.json',
            state: 'ok',
            says: `${reader.operators.length} operators, ${reader.witnesses.length} witnesses, ${reader.rewrites.length} rewrites named`,
          },
      anchors.length === 0
        ? {
            what: 'anchors.json',
            state: 'info',
            says: 'no chain is trusted: every receipt answers `no trusted header`',
          }
        : {
            what: 'anchors.json',
            state: 'ok',
            says: anchors
              .map((one) => `chain ${one.chainId} (${one.finality}) with ${one.headers.length} headers`)
              .join(', '),
          },
    ]
  } catch (error) {
    if (!errors.BaseError.isInstance(error)) throw error
    return [{ what: 'names', state: 'wrong', says: `${error.shortMessage} ${error.facts.join(' ')}` }]
  }
}

async function network(home: Home.Home): Promise<Finding[]> {
  if (!existsSync(home.readerFile)) return []
  const findings: Finding[] = []
  try {
    const reader = Home.readReader(home)
    const isRunning = isHeld(home)
    const chain = await Network.openChain(reader, await Home.anchorStore(home).read())
    if (reader?.chainRpcUrl !== null)
      findings.push(
        chain !== undefined
          ? { what: 'chain', state: 'ok', says: `${reader?.chainRpcUrl} answers` }
          : {
              what: 'chain',
              state: isRunning ? 'wrong' : 'info',
              says: `${reader?.chainRpcUrl} does not answer; verdicts rest on files alone`,
            },
      )
    findings.push(...(await findContracts(home, chain?.rpc)))
    const ready = await isReady(reader?.gatewayUrl)
    findings.push(
      ready
        ? { what: 'daemon', state: 'ok', says: `${reader?.gatewayUrl} is ready` }
        : {
            what: 'daemon',
            state: isRunning ? 'wrong' : 'info',
            says: isRunning ? 'runs in this home, but its gateway is not ready' : 'not running; `npm start` starts it',
          },
    )
  } catch (error) {
    if (!errors.BaseError.isInstance(error)) throw error
    findings.push({ what: 'network', state: 'wrong', says: error.shortMessage })
  }
  return findings
}

/** True while a daemon works in the home. */
function isHeld(home: Home.Home): boolean {
  try {
    lockFolder(home.folder)()
    return false
  } catch {
    return true
  }
}

async function isReady(gatewayUrl: string | null | undefined): Promise<boolean> {
  if (gatewayUrl === null || gatewayUrl === undefined) return false
  try {
    const response = await fetch(new URL('/v2/health/ready', gatewayUrl), { signal: AbortSignal.timeout(3_000) })
    await response.body?.cancel()
    return response.ok
  } catch {
    return false
  }
}

async function pending(home: Home.Home): Promise<Finding[]> {
  const findings: Finding[] = []
  const left = [...(await Home.pendingStore(home).list()), ...(await Home.callStore(home).list())]
  if (left.length > 0)
    findings.push({
      what: 'pending',
      state: 'info',
      says: `${left.length} of your receipts are not final yet (\`assay log pending\`)`,
    })
  const interrupted = await interruptedCalls(home)
  if (interrupted !== undefined && interrupted > 0)
    findings.push({
      what: 'interrupted',
      state: 'info',
      says: `${interrupted} calls were cut off by an end of the daemon and have no receipt`,
    })
  return findings
}

/** Calls that a crash cut off; unknown while a daemon holds the store. */
async function interruptedCalls(home: Home.Home): Promise<number | undefined> {
  const path = join(home.folder, 'node', 'receipts.sqlite')
  if (!existsSync(path) || isHeld(home)) return undefined
  const { DatabaseSync } = await import('node:sqlite')
  const database = new DatabaseSync(path, { readOnly: true })
  try {
    const row = database.prepare("SELECT count(*) AS count FROM intents WHERE state = 'interrupted'").get()
    return Number((row as { count?: number | bigint } | undefined)?.count ?? 0)
  } catch {
    return undefined
  } finally {
    database.close()
  }
}
