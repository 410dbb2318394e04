/**
 * KeyFile.ts - the private key of one role in its own folder: made once, whole or not there, readable by its owner alone.
 *
 * A key that may sign no more leaves its public half in `retired.json`, so that receipts which it signed can still be
 * served with their key; the private half is gone.
 */
import { lstatSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createEd25519Signer, createP256Signer, crypto, generateEd25519, generateP256 } from 'assay/crypto/node'
import { Bytes, Cose, errors, type Note } from 'assay/protocol'
import { createFile, readFileIfThere, replaceFile } from '../settle/files.ts'

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

/**
 * The role's key in `folder`, made if there is none.
 *
 * Throws: `ExposedKeyError` when others may read the file, `MalformedKeyError` for anything that is not such a file.
 */
export function openKey(folder: string, role: Role): RoleKey {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const path = keyPath(folder)
  if (readFileIfThere(path) === undefined) {
    // Another process may have been first; what lies there then is read below.
    createFile(path, serialize(role))
  }
  assertPrivate(path, role)
  return parse(readFileIfThere(path) ?? '', role)
}

/** Replaces a key that may sign no more by a new one; the public half of the old one stays in `retired.json`. */
export function replaceKey(folder: string, old: RoleKey): RoleKey {
  const retired = [...retiredKeys(folder).map(Bytes.toHex), Bytes.toHex(old.signer.publicKey)]
  // First the note, then the key: a crash between the two leaves a key that is listed twice, never one that is lost.
  replaceFile(join(folder, 'retired.json'), `${JSON.stringify({ version: 1, publicKeys: [...new Set(retired)] })}\n`)
  replaceFile(keyPath(folder), serialize(old.role))
  return openKey(folder, old.role)
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

function keyPath(folder: string): string {
  return join(folder, 'key.json')
}

function serialize(role: Role): string {
  const { privateKey, signer } = generateP256()
  return `${JSON.stringify({
    version: 1,
    role,
    publicKey: Bytes.toHex(signer.publicKey),
    privateKey: Bytes.toHex(privateKey),
    ...(hasEd25519[role] ? { ed25519Seed: Bytes.toHex(generateEd25519().seed) } : {}),
  })}\n`
}

function parse(text: string, role: Role): RoleKey {
  try {
    if (text.length > maxKeyFileLength) throw new MalformedKeyError(role)
    const file = JSON.parse(text) as Record<string, unknown>
    if (file.version !== 1 || file.role !== role) throw new MalformedKeyError(role)
    const signer = createP256Signer(Bytes.fromHex(String(file.privateKey)))
    if (Bytes.toHex(signer.publicKey) !== file.publicKey) throw new MalformedKeyError(role)
    const seed = file.ed25519Seed
    if ((seed !== undefined) !== hasEd25519[role]) throw new MalformedKeyError(role)
    const ed25519 = seed === undefined ? undefined : createEd25519Signer(Bytes.fromHex(String(seed)))
    return { role, signer, keyId: Cose.keyId(crypto, signer.publicKey), ed25519 }
  } catch {
    // The cause could quote the file, and the file is a secret.
    throw new MalformedKeyError(role)
  }
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
