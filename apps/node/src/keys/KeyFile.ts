/**
 * KeyFile.ts - the private key of one role in its own folder: made once, whole or not there, readable by its owner alone.
 *
 * With a passphrase the private half is sealed (`Sealed.ts`); the public half stays readable.
 *
 * A key that may sign no more leaves its public half in `retired.json`, so that receipts which it signed can still be
 * served with their key; the private half is gone.
 */
import { lstatSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createEd25519Signer, createP256Signer, crypto, generateEd25519, generateP256 } from 'assay/crypto/node'
import { Bytes, Cose, errors, type Note } from 'assay/protocol'
import { createFile, readFileIfThere, replaceFile } from '../settle/files.ts'
import * as Passphrase from './Passphrase.ts'
import * as Sealed from './Sealed.ts'

/** Who signs with a key file; the operator's key belongs to the chain's side. */
export type Role = 'node' | 'log' | 'witness' | 'client'

/** A loaded key. */
export type RoleKey = {
  readonly role: Role
  readonly signer: Cose.Signer
  /** 32 bytes. */
  readonly keyId: Uint8Array
  /** For signed notes; logs and witnesses have one. */
  readonly ed25519: Note.Ed25519Signer | undefined
}

/** Most bytes of a key file: two keys in hex. */
const maxKeyFileLength = 4_096

const hasEd25519: { readonly [role in Role]: boolean } = { node: false, log: true, witness: true, client: false }

/** What a key file says without a passphrase. */
export type PublicKey = {
  readonly role: Role
  /** 64 bytes. */
  readonly publicKey: Uint8Array
  /** 32 bytes; of sealed and open files of logs and witnesses. */
  readonly ed25519: Uint8Array | undefined
  readonly isSealed: boolean
}

/** Names of the key files of a folder: the one that signs, and the one whose last heads are on their way to a log. */
export type FileName = 'key.json' | 'outgoing.json'

/**
 * The role's key in `folder`, made if there is none.
 *
 * - `passphrase`: opens a sealed file, and seals one that is made here; default: the environment's
 *
 * Throws: `ExposedKeyError` when others may read the file, `Sealed.LockedError`, `Sealed.WrongPassphraseError`,
 * `MalformedKeyError` for anything that is not such a file.
 */
export function openKey(folder: string, role: Role, passphrase = Passphrase.ofEnvironment()): RoleKey {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  if (readFileIfThere(pathOf(folder, 'key.json')) === undefined) {
    // Another process may have been first; what lies there then is read below.
    createFile(pathOf(folder, 'key.json'), serialize(newSecrets(role), passphrase))
  }
  return readKey(folder, role, passphrase) as RoleKey
}

/** A key of a folder, undefined if the file is not there; throws as `openKey`. */
export function readKey(
  folder: string,
  role: Role,
  passphrase = Passphrase.ofEnvironment(),
  name: FileName = 'key.json',
): RoleKey | undefined {
  const path = pathOf(folder, name)
  const text = readFileIfThere(path)
  if (text === undefined) return undefined
  assertPrivate(path, role)
  return toKey(parse(text, role, passphrase))
}

/** What is known of a folder's key without a passphrase; throws as `openKey`. */
export function readPublic(folder: string, role: Role, name: FileName = 'key.json'): PublicKey | undefined {
  const path = pathOf(folder, name)
  const text = readFileIfThere(path)
  if (text === undefined) return undefined
  assertPrivate(path, role)
  const file = parseFile(text, role)
  if (file.version === 1) {
    const { signer, ed25519 } = toKey(parse(text, role, undefined))
    return { role, publicKey: signer.publicKey, ed25519: ed25519?.publicKey, isSealed: false }
  }
  try {
    const publicKey = Bytes.fromHex(String(file.publicKey))
    Cose.assertKey(publicKey)
    const ed25519 = file.ed25519 === undefined ? undefined : Bytes.fromHex(String(file.ed25519))
    return { role, publicKey, ed25519, isSealed: true }
  } catch {
    throw new MalformedKeyError(role)
  }
}

/** Replaces a key that may sign no more by a new one; the public half of the old one stays in `retired.json`. */
export function replaceKey(folder: string, old: RoleKey, passphrase = Passphrase.ofEnvironment()): RoleKey {
  // First the note, then the key: a crash between the two leaves a key that is listed twice, never one that is lost.
  noteRetired(folder, old.signer.publicKey)
  replaceFile(pathOf(folder, 'key.json'), serialize(newSecrets(old.role), passphrase))
  return openKey(folder, old.role, passphrase)
}

/** Takes the private half away and leaves the public one in `retired.json`; the next `openKey` makes a new key. */
export function removeKey(folder: string, { role, publicKey }: Pick<PublicKey, 'role' | 'publicKey'>): void {
  noteRetired(folder, publicKey)
  const found = readPublic(folder, role)
  if (found !== undefined && Bytes.equal(found.publicKey, publicKey)) rmSync(pathOf(folder, 'key.json'))
}

/**
 * Begins to replace a key that is well: a new one signs from now on, and the old one is kept as `outgoing.json` until the
 * heads that it persisted are in a log.
 *
 * Throws: `RotationError` while the one before has not ended.
 */
export function rotateKey(folder: string, role: Role, passphrase = Passphrase.ofEnvironment()): RoleKey {
  const old = openKey(folder, role, passphrase)
  if (outgoingKey(folder, role, passphrase) !== undefined) throw new RotationError(role)
  createFile(pathOf(folder, 'outgoing.json'), readFileIfThere(pathOf(folder, 'key.json')) as string)
  return replaceKey(folder, old, passphrase)
}

/** The key that is being replaced, if one is. */
export function outgoingKey(folder: string, role: Role, passphrase = Passphrase.ofEnvironment()): RoleKey | undefined {
  const outgoing = readKey(folder, role, passphrase, 'outgoing.json')
  if (outgoing === undefined) return undefined
  const current = openKey(folder, role, passphrase)
  if (!Bytes.equal(outgoing.keyId, current.keyId)) return outgoing
  // A crash came before the new key was in its place: nothing is being replaced.
  endRotation(folder)
  return undefined
}

/** The old key has nothing left to sign: its private half goes. */
export function endRotation(folder: string): void {
  rmSync(pathOf(folder, 'outgoing.json'), { force: true })
}

/** Seals a folder's open key files or opens sealed ones for good, each whole; says how many were changed. */
export function convert(
  folder: string,
  role: Role,
  change: { readonly from: string | undefined; readonly to: string | undefined },
): number {
  let count = 0
  for (const name of ['key.json', 'outgoing.json'] as const) {
    const found = readPublic(folder, role, name)
    if (found === undefined || found.isSealed === (change.to !== undefined)) continue
    const path = pathOf(folder, name)
    const secrets = parse(readFileIfThere(path) ?? '', role, change.from)
    replaceFile(path, serialize(secrets, change.to))
    count++
  }
  return count
}

/** Public keys (64 bytes) that were replaced in this folder, oldest first. */
export function retiredKeys(folder: string): readonly Uint8Array[] {
  const text = readFileIfThere(join(folder, 'retired.json'))
  if (text === undefined) return []
  try {
    const { publicKeys } = JSON.parse(text) as { readonly publicKeys: readonly string[] }
    return publicKeys.map((hex) => {
      const publicKey = Bytes.fromHex(hex)
      Bytes.assertLength(publicKey, 64, 'Public key')
      return publicKey
    })
  } catch {
    throw new MalformedKeyError('retired')
  }
}

function noteRetired(folder: string, publicKey: Uint8Array): void {
  const retired = [...retiredKeys(folder).map(Bytes.toHex), Bytes.toHex(publicKey)]
  replaceFile(join(folder, 'retired.json'), `${JSON.stringify({ version: 1, publicKeys: [...new Set(retired)] })}\n`)
}

function pathOf(folder: string, name: FileName): string {
  return join(folder, name)
}

/** Private halves in hex. */
type Secrets = { readonly role: Role; readonly privateKey: string; readonly ed25519Seed?: string }

function newSecrets(role: Role): Secrets {
  const privateKey = Bytes.toHex(generateP256().privateKey)
  return { role, privateKey, ...(hasEd25519[role] ? { ed25519Seed: Bytes.toHex(generateEd25519().seed) } : {}) }
}

function serialize(secrets: Secrets, passphrase: string | undefined): string {
  const { role, ...privateParts } = secrets
  const { signer, ed25519 } = toKey(secrets)
  const publicKey = Bytes.toHex(signer.publicKey)
  if (passphrase === undefined) return `${JSON.stringify({ version: 1, role, publicKey, ...privateParts })}\n`
  const open = { version: 2, role, publicKey, ...(ed25519 ? { ed25519: Bytes.toHex(ed25519.publicKey) } : {}) }
  const sealed = Sealed.seal(passphrase, JSON.stringify(privateParts), JSON.stringify(open))
  return `${JSON.stringify({ ...open, ...sealed })}\n`
}

function parseFile(text: string, role: Role): Record<string, unknown> {
  try {
    if (text.length > maxKeyFileLength) throw new MalformedKeyError(role)
    const file = JSON.parse(text) as Record<string, unknown>
    if ((file.version !== 1 && file.version !== 2) || file.role !== role) throw new MalformedKeyError(role)
    return file
  } catch {
    // The cause could quote the file, and the file is a secret.
    throw new MalformedKeyError(role)
  }
}

function parse(text: string, role: Role, passphrase: string | undefined): Secrets {
  const file = parseFile(text, role)
  const { kdf, salt, nonce, sealed, ...open } = file as Record<string, string>
  const isSealed = file.version === 2
  if (isSealed && typeof sealed !== 'string') throw new MalformedKeyError(role)
  const opened = isSealed
    ? Sealed.open(passphrase, { kdf, salt, nonce, sealed } as Sealed.Sealed, JSON.stringify(open))
    : undefined
  try {
    const parts = (opened === undefined ? file : JSON.parse(opened)) as Partial<Secrets>
    const { privateKey, ed25519Seed: seed } = parts
    if ((seed !== undefined) !== hasEd25519[role] || typeof privateKey !== 'string') throw new MalformedKeyError(role)
    const secrets = { role, privateKey, ...(seed === undefined ? {} : { ed25519Seed: String(seed) }) }
    if (Bytes.toHex(toKey(secrets).signer.publicKey) !== file.publicKey) throw new MalformedKeyError(role)
    return secrets
  } catch {
    throw new MalformedKeyError(role)
  }
}

function toKey({ role, privateKey, ed25519Seed }: Secrets): RoleKey {
  const signer = createP256Signer(Bytes.fromHex(privateKey))
  const ed25519 = ed25519Seed === undefined ? undefined : createEd25519Signer(Bytes.fromHex(ed25519Seed))
  return { role, signer, keyId: Cose.keyId(crypto, signer.publicKey), ed25519 }
}

/** A link could lead to a file that others control, so only a plain file counts. */
function assertPrivate(path: string, role: string): void {
  const stats = lstatSync(path)
  if (!stats.isFile()) throw new MalformedKeyError(role)
  if (process.platform !== 'win32' && (stats.mode & 0o077) !== 0) throw new ExposedKeyError(role, stats.mode)
}

/** Others than the owner may read or write a key file; whoever did may sign with it. */
export class ExposedKeyError extends errors.UsageError<'key-exposed'> {
  override readonly name = 'KeyFile.ExposedKeyError'
  constructor(role: string, mode: number) {
    super('key-exposed', `The key file of the ${role} can be read or changed by others.`, {
      facts: [
        `Mode: ${(mode & 0o777).toString(8)}, expected 600`,
        'If nobody had access: chmod 600. Otherwise: replace the key.',
      ],
    })
  }
}

/** The key file is damaged or of another role; nothing of it is quoted. */
export class MalformedKeyError extends errors.UsageError<'key-malformed'> {
  override readonly name = 'KeyFile.MalformedKeyError'
  constructor(role: string) {
    super('key-malformed', `The key file of the ${role} cannot be used.`, { facts: [`Role: ${role}`] })
  }
}

/** The key before is still on its way out. */
export class RotationError extends errors.UsageError<'rotation-under-way'> {
  override readonly name = 'KeyFile.RotationError'
  constructor(role: string) {
    super('rotation-under-way', `The key of the ${role} is being replaced already; start the daemon once to end that.`)
  }
}
