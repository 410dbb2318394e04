/**
 * keys.ts - `assay keys`: which keys there are, and making, replacing, ending and sealing them. Whatever changes a key needs the
 * home for itself, so it refuses while a daemon runs.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as KeyFile from '@assay/node/keys/KeyFile'
import * as Passphrase from '@assay/node/keys/Passphrase'
import * as Rotation from '@assay/node/keys/Rotation'
import * as SqliteReceiptStore from '@assay/node/receipts/SqliteReceiptStore'
import { lockFolder } from '@assay/node/settle/folder-lock'
import { findKey, findLog, registerKey } from '@assay/node/settle/register'
import { convertWallet, openWallet, readAddress } from '@assay/node/settle/wallet'
import { crypto } from 'assay/crypto/node'
import { Bytes, Checkpoint, Cose, errors, Note } from 'assay/protocol'
import { type Context, type GlobalOptions, homeOf } from '../Context.ts'
import * as Home from '../Home.ts'
import * as KeyRing from '../KeyRing.ts'
import * as Secret from '../Secret.ts'
import { table } from '../Terminal.ts'
import { retireLog } from './keys-log.ts'

export type KeysOptions = GlobalOptions & { readonly yes?: boolean }

/** One line of `assay keys list`. */
type Row = {
  readonly key: string
  readonly id: string
  readonly epoch: number | null
  readonly since: string | null
  readonly until: string | null
  readonly file: string | null
  readonly encrypted: boolean | null
}

/** `assay keys list`: without a chain that answers, what the chain knows is left out. */
export async function list(context: Context, options: GlobalOptions): Promise<number> {
  const { terminal } = context
  const home = homeOf(context, options)
  const chain = KeyRing.view(context, home)
  const rows: Row[] = []
  for (const ring of KeyRing.rings(home)) {
    for (const name of ['key.json', 'outgoing.json'] as const) {
      const found = KeyFile.readPublic(ring.folder, ring.role, name)
      if (found === undefined) continue
      const label = name === 'key.json' ? ring.name : `${ring.name} (on its way out)`
      const file = join(ring.folder, name)
      rows.push({ ...(await rowOf(chain, ring, label, found.publicKey)), file, encrypted: found.isSealed })
    }
    const isOut = (one: Uint8Array) => rows.every(({ id }) => id !== Bytes.toHex(Cose.keyId(crypto, one)))
    for (const publicKey of KeyFile.retiredKeys(ring.folder).filter(isOut))
      rows.push({ ...(await rowOf(chain, ring, `${ring.name} (replaced)`, publicKey)), file: null, encrypted: null })
  }
  for (const { name, path } of KeyRing.accounts(home)) {
    const found = readAddress(path)
    if (found === undefined) continue
    const none = { epoch: null, since: null, until: null }
    rows.push({ key: name, id: Bytes.to0x(found.address), ...none, file: path, encrypted: found.isSealed })
  }
  if (options.json === true) terminal.print(JSON.stringify({ chainAsked: chain !== undefined, keys: rows }))
  else {
    const cell = (value: unknown) => (value === null ? '-' : String(value))
    const sealed = (value: boolean | null) => (value === null ? '-' : value ? 'encrypted' : 'open')
    const head = ['KEY', 'ID', 'EPOCH', 'SINCE', 'UNTIL', 'FILE', '']
    const lines = rows.map((row) =>
      [row.key, row.id, row.epoch, row.since, row.until, row.file, sealed(row.encrypted)].map(cell),
    )
    terminal.rows(table([head, ...lines]))
  }
  return 0
}

async function rowOf(chain: ReturnType<typeof KeyRing.view>, ring: KeyRing.Ring, key: string, publicKey: Uint8Array) {
  const row = { key, id: Bytes.toHex(Cose.keyId(crypto, publicKey)), epoch: null, since: null, until: null }
  if (chain === undefined) return row
  try {
    const role = KeyRing.registryRole[ring.role]
    if (role === undefined) {
      if (ring.role !== 'log') return row
      const logId = await findLog(chain, { publicKey })
      return { ...row, since: logId === undefined ? null : `log ${Bytes.toHex(logId).slice(0, 16)}` }
    }
    const found = await findKey(chain, { nodeId: chain.nodeId, role, signer: { publicKey } })
    if (found === undefined) return row
    const { validFromBlock, validUntilBlock } = found.record
    const until = validUntilBlock === 0n ? null : String(validUntilBlock)
    return { ...row, epoch: found.keyEpoch, since: String(validFromBlock), until }
  } catch (error) {
    if (errors.BaseError.isInstance(error)) return row
    throw error
  }
}

/** `assay keys create`: makes the key files that are missing, as the first start would. */
export function create(context: Context, options: GlobalOptions): Promise<number> {
  const home = homeOf(context, options)
  const passphrase = Passphrase.ofEnvironment(context.env)
  return alone(home, () => {
    const made: string[] = []
    for (const { name, role, folder } of KeyRing.rings(home)) {
      if (KeyFile.readPublic(folder, role) !== undefined) continue
      KeyFile.openKey(folder, role, passphrase)
      made.push(name)
    }
    if (readAddress(join(home.folder, 'operator.key')) === undefined) {
      openWallet(home.folder, 'operator.key', passphrase)
      made.push('operator')
    }
    tell(context, options, { created: made, encrypted: passphrase !== undefined })
    return 0
  })
}

/** `assay keys rotate node|witness`: a new key in the next epoch; the old one ends when it has nothing left to sign. */
export async function rotate(context: Context, name: string, options: GlobalOptions): Promise<number> {
  const home = homeOf(context, options)
  const ring = KeyRing.find(home, name)
  const role = KeyRing.registryRole[ring.role]
  if (role === undefined) throw new NoRotationError(name)
  return alone(home, async () => {
    const passphrase = await passphraseFor(context, home)
    const old = KeyFile.openKey(ring.folder, ring.role, passphrase)
    const next = KeyFile.rotateKey(ring.folder, ring.role, passphrase)
    if (ring.role === 'witness') renameWitness(home, old.keyId, next.keyId)
    const done = await KeyRing.withRegistrar(context, home, passphrase, async (registrar, nodeId) => {
      const { keyEpoch } = await registerKey(registrar, { nodeId, role, signer: next.signer })
      const pending = ring.role === 'node' ? await pendingOf(ring.folder, old.keyId) : 0
      if (pending > 0) return { keyEpoch, pending, endedEpoch: null }
      const endedEpoch = (await Rotation.endKey(registrar, { nodeId, role, signer: old.signer })) ?? null
      KeyFile.endRotation(ring.folder)
      return { keyEpoch, pending, endedEpoch }
    })
    // A home without contracts never used the old key.
    if (done === undefined) KeyFile.endRotation(ring.folder)
    tell(context, options, { rotated: name, keyId: Bytes.toHex(next.keyId), ...done })
    if ((done?.pending ?? 0) > 0)
      context.terminal.say(
        `${done?.pending} receipts of the old key are in no log yet: the next start puts them there and ends the key`,
      )
    return 0
  })
}

/** `assay keys retire node|witness|log|log2`: ends a key now; what it has not brought into a log is lost with it. */
export async function retire(context: Context, name: string, options: KeysOptions): Promise<number> {
  const home = homeOf(context, options)
  const ring = KeyRing.find(home, name)
  const role = KeyRing.registryRole[ring.role]
  if (role === undefined && ring.role !== 'log') throw new NoRotationError(name)
  const found = KeyFile.readPublic(ring.folder, ring.role)
  if (found === undefined) throw new KeyRing.UnknownKeyError(name)
  if (options.yes !== true) throw new ConfirmationError(name, whatEnds(ring))
  return alone(home, async () => {
    const passphrase = await passphraseFor(context, home)
    if (role === undefined) {
      tell(context, options, { retired: name, ...(await retireLog(context, home, ring, found.publicKey, passphrase)) })
      return 0
    }
    const endedEpoch = await KeyRing.withRegistrar(context, home, passphrase, (registrar, nodeId) =>
      Rotation.endKey(registrar, { nodeId, role, signer: found }),
    )
    KeyFile.removeKey(ring.folder, found)
    tell(context, options, { retired: name, endedEpoch: endedEpoch ?? null })
    return 0
  })
}

/** `assay keys export`: public parts only. */
export function exportKeys(context: Context, options: GlobalOptions): number {
  const home = homeOf(context, options)
  const keys = KeyRing.rings(home).flatMap(({ name, role, folder }) => {
    const found = KeyFile.readPublic(folder, role)
    if (found === undefined) return []
    const { publicKey, ed25519 } = found
    const keyId = Bytes.toHex(Cose.keyId(crypto, publicKey))
    return {
      ...{ key: name, role, keyId, x: Bytes.toHex(publicKey.subarray(0, 32)), y: Bytes.toHex(publicKey.subarray(32)) },
      ...(ed25519 === undefined ? {} : { ed25519: Bytes.toHex(ed25519), vkey: noteKey(home, role, keyId, ed25519) }),
    }
  })
  context.terminal.print(JSON.stringify({ version: 1, keys }, null, options.json === true ? 0 : 2), 0)
  return 0
}

/** The line by which outside witnesses and monitors know the key; a log's needs its logId, which its published checkpoint names. */
function noteKey(home: Home.Home, role: KeyFile.Role, keyId: string, publicKey: Uint8Array): string | null {
  if (role === 'witness')
    return Note.serializeKey(crypto, { type: 'cosignature', name: `assay-witness/${keyId.slice(0, 16)}`, publicKey })
  const logId = logIdOf(home, publicKey)
  return logId === undefined
    ? null
    : Note.serializeKey(crypto, { type: 'ed25519', name: Checkpoint.origin(logId), publicKey })
}

function logIdOf(home: Home.Home, ed25519: Uint8Array): Uint8Array | undefined {
  for (const { folder, role } of KeyRing.rings(home)) {
    if (role !== 'log') continue
    const found = KeyFile.readPublic(folder, role)
    if (found?.ed25519 === undefined || !Bytes.equal(found.ed25519, ed25519)) continue
    const text = Home.readText(join(folder, 'static', 'checkpoint'))
    const origin = text?.split('\n', 1)[0]
    return origin === undefined ? undefined : Note.logIdOf(origin)
  }
  return undefined
}

/** `assay keys protect`: seals every open key file of the home; again after a crash goes on where it stopped. */
export async function protect(context: Context, options: GlobalOptions): Promise<number> {
  const home = homeOf(context, options)
  return alone(home, async () => {
    const passphrase = await Secret.askNew(context)
    assertOpens(home, passphrase)
    tell(context, options, { encrypted: convertAll(home, { from: undefined, to: passphrase }) })
    return 0
  })
}

/** `assay keys unprotect`: opens every sealed key file of the home for good. */
export async function unprotect(context: Context, options: GlobalOptions): Promise<number> {
  const home = homeOf(context, options)
  return alone(home, async () => {
    const passphrase = await Secret.ask(context, 'Passphrase: ')
    assertOpens(home, passphrase)
    tell(context, options, { opened: convertAll(home, { from: passphrase, to: undefined }) })
    return 0
  })
}

/** One passphrase for all: what is sealed already must open with it, before anything is changed. */
function assertOpens(home: Home.Home, passphrase: string): void {
  for (const { folder, role } of KeyRing.rings(home))
    for (const name of ['key.json', 'outgoing.json'] as const) KeyFile.readKey(folder, role, passphrase, name)
  for (const { path } of KeyRing.accounts(home))
    if (readAddress(path)?.isSealed === true) openWallet(join(path, '..'), path.split('/').at(-1), passphrase)
}

function convertAll(home: Home.Home, change: { from: string | undefined; to: string | undefined }): string[] {
  const changed = KeyRing.rings(home).filter(({ folder, role }) => KeyFile.convert(folder, role, change) > 0)
  const accounts = KeyRing.accounts(home).filter(({ path }) => convertWallet(path, change))
  return [...changed, ...accounts].map(({ name }) => name)
}

/** Asks only if a file of the home needs it. */
async function passphraseFor(context: Context, home: Home.Home): Promise<string | undefined> {
  const isSealed =
    KeyRing.rings(home).some(({ folder, role }) => KeyFile.readPublic(folder, role)?.isSealed === true) ||
    KeyRing.accounts(home).some(({ path }) => readAddress(path)?.isSealed === true)
  return isSealed ? Secret.ask(context, 'Passphrase: ') : Passphrase.ofEnvironment(context.env)
}

async function pendingOf(folder: string, keyId: Uint8Array): Promise<number> {
  if (!existsSync(join(folder, 'receipts.sqlite'))) return 0
  const store = SqliteReceiptStore.open({ folder })
  try {
    return store.unreleased(keyId).length
  } finally {
    await store.close()
  }
}

/** The home's own reader names its own witness; the new key is the same witness. */
function renameWitness(home: Home.Home, old: Uint8Array, next: Uint8Array): void {
  const reader = Home.readReader(home)
  if (reader === undefined) return
  const witnesses = reader.witnesses.map((one) => (one === Bytes.toHex(old) ? Bytes.toHex(next) : one))
  Home.writeReader(home, { ...reader, witnesses })
}

function whatEnds({ role }: KeyRing.Ring): string {
  if (role === 'log') return 'The log ends for ever; the next start begins another one with a new identity.'
  if (role === 'witness') return 'Readers who named the witness have to name the new one.'
  return 'Receipts that are in no log yet are lost; `assay keys rotate node` would keep them.'
}

/** Holds the home, so that no daemon starts in between; throws `FolderInUseError` while one runs. */
async function alone<T>(home: Home.Home, work: () => T | Promise<T>): Promise<T> {
  const unlock = lockFolder(home.folder)
  try {
    return await work()
  } finally {
    unlock()
  }
}

function tell({ terminal }: Context, options: GlobalOptions, facts: Readonly<Record<string, unknown>>): void {
  if (options.json === true) {
    terminal.print(JSON.stringify(facts))
    return
  }
  for (const [name, value] of Object.entries(facts)) {
    const text = Array.isArray(value) ? value.join(' ') || 'none' : String(value ?? '-')
    terminal.print(`${name}: ${text}`)
  }
}

/** This kind of key has no successor of its own. */
export class NoRotationError extends errors.UsageError<'key-not-rotated'> {
  override readonly name = 'keys.NoRotationError'
  constructor(name: string) {
    super('key-not-rotated', 'This key cannot be replaced this way.', {
      facts: [`Key: ${name}`, 'A log has one key for life: `assay keys retire log` ends the log.'],
    })
  }
}

/** Ending a key cannot be taken back. */
export class ConfirmationError extends errors.UsageError<'not-confirmed'> {
  override readonly name = 'keys.ConfirmationError'
  constructor(name: string, ends: string) {
    super('not-confirmed', 'This cannot be taken back; say --yes.', { facts: [`Key: ${name}`, ends] })
  }
}
