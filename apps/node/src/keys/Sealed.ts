/**
 * Sealed.ts - a private key in a file under a passphrase: scrypt (N = 2^17, r = 8, p = 1: 128 MiB and a few tenths of a
 * second for each guess) and AES-256-GCM. What the file says openly is bound to it as associated data.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes, scryptSync } from 'node:crypto'
import { Bytes, errors } from 'assay/protocol'

/** What stands in the file; hex. */
export type Sealed = { readonly kdf: string; readonly salt: string; readonly nonce: string; readonly sealed: string }

const kdf = 'scrypt-131072-8-1'
const cost = { N: 2 ** 17, r: 8, p: 1, maxmem: 160 * 1024 * 1024 }
const cipherName = 'aes-256-gcm'
const tagLength = 16

/** Seals a text; `about` is what must not be changed beside it. */
export function seal(passphrase: string, text: string, about: string): Sealed {
  const salt = randomBytes(16)
  const nonce = randomBytes(12)
  const cipher = createCipheriv(cipherName, keyOf(passphrase, salt), nonce)
  cipher.setAAD(Bytes.fromUtf8(about))
  const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
  return { kdf, salt: salt.toString('hex'), nonce: nonce.toString('hex'), sealed: body.toString('hex') }
}

/** Opens it again; throws `LockedError` without a passphrase and `WrongPassphraseError` for any doubt. */
export function open(passphrase: string | undefined, { salt, nonce, sealed, ...rest }: Sealed, about: string): string {
  if (passphrase === undefined) throw new LockedError()
  try {
    if (rest.kdf !== kdf) throw new WrongPassphraseError()
    const [saltBytes, nonceBytes, body] = [salt, nonce, sealed].map(Bytes.fromHex) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ]
    Bytes.assertLength(saltBytes, 16, 'Salt')
    Bytes.assertLength(nonceBytes, 12, 'Nonce')
    const end = body.length - tagLength
    const decipher = createDecipheriv(cipherName, keyOf(passphrase, saltBytes), nonceBytes, {
      authTagLength: tagLength,
    })
    decipher.setAAD(Bytes.fromUtf8(about))
    decipher.setAuthTag(body.subarray(end))
    return Buffer.concat([decipher.update(body.subarray(0, end)), decipher.final()]).toString('utf8')
  } catch {
    // Which of the two it was, wrong words or a changed file, is not told.
    throw new WrongPassphraseError()
  }
}

/** Derived keys of this process: a start opens the same files several times, and holds the private keys themselves anyway. */
const derived = new Map<string, Buffer>()
const maxDerived = 32

function keyOf(passphrase: string, salt: Uint8Array): Buffer {
  const name = createHash('sha256').update(salt).update(passphrase).digest('hex')
  const known = derived.get(name)
  if (known !== undefined) return known
  // The same words typed on another keyboard may come as other code points.
  const key = scryptSync(passphrase.normalize('NFKC'), salt, 32, cost)
  if (derived.size >= maxDerived) derived.delete(derived.keys().next().value as string)
  derived.set(name, key)
  return key
}

/** The file is sealed and no passphrase was given. */
export class LockedError extends errors.UsageError<'key-locked'> {
  override readonly name = 'Sealed.LockedError'
  constructor() {
    super('key-locked', 'The key file is under a passphrase; set ASSAY_PASSPHRASE.')
  }
}

/** The passphrase does not open the file, or the file was changed. */
export class WrongPassphraseError extends errors.UsageError<'key-passphrase'> {
  override readonly name = 'Sealed.WrongPassphraseError'
  constructor() {
    super('key-passphrase', 'The passphrase does not open the key file.')
  }
}
