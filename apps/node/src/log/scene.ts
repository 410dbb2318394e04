/**
 * scene.ts - a log, a witness and a chain for tests and measurements: real keys, real folders, a chain that is a variable.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createEd25519Signer, createP256Signer, crypto } from 'assay/crypto/node'
import { Cose, Head, Identity, Merkle } from 'assay/protocol'
import * as Witness from '../witness/Witness.ts'
import type { Identity as LogIdentity } from './Appending.ts'
import type { ChainView, KeyRecord } from './ChainView.ts'
import type { Request } from './Intake.ts'
import * as Log from './Log.ts'

const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)

export const signers = {
  node: createP256Signer(filled(32, 1)),
  otherNode: createP256Signer(filled(32, 2)),
  log: createP256Signer(filled(32, 3)),
  witness: createP256Signer(filled(32, 4)),
  logNote: createEd25519Signer(filled(32, 5)),
  witnessNote: createEd25519Signer(filled(32, 6)),
}

const chainId = 31337n
const registry = filled(20, 0x11)
const anchorLog = filled(20, 0x22)
const operator = filled(20, 0x33)

export const nodeId = Identity.nodeId(crypto, { chainId, registry, operator, n: 0n })
export const identity: LogIdentity = {
  ...{ chainId, registry, anchorLog, pledgeBlocks: 600n },
  logId: Identity.logId(crypto, { chainId, anchorLog, instance: filled(32, 0x44), operator, n: 0n }),
}

/** A chain whose every answer a test can set. */
export type Chain = ChainView & {
  block: bigint
  seenAtMs: number
  head: { size: bigint; root: Uint8Array } | undefined
  record: KeyRecord | undefined
  isReachable: boolean
}

export function createChain(): Chain {
  const chain: Chain = {
    block: 100n,
    seenAtMs: Date.now(),
    head: { size: 0n, root: Merkle.emptyRoot(crypto) },
    record: {
      ...{ keyId: Cose.keyId(crypto, signers.node.publicKey), operator, role: Identity.roles.node },
      ...{ validFromBlock: 1n, validUntilBlock: 0n },
    },
    isReachable: true,
    newest: () => ({ number: chain.block, hash: blockHash(chain.block), seenAtMs: chain.seenAtMs }),
    keyRecord: async () => reached(chain, chain.record),
    logHead: async () => reached(chain, chain.head),
    stepRoot: async (_, size) => reached(chain, chain.head?.size === size ? chain.head.root : undefined),
  }
  return chain
}

export function blockHash(number: bigint): Uint8Array {
  return crypto.sha256(new TextEncoder().encode(`block ${number}`))
}

function reached<T>(chain: Chain, value: T): T {
  if (!chain.isReachable) throw new Error('connect ECONNREFUSED')
  return value
}

/** A signed head; `salt` makes another head of the same place. */
export async function request(
  sequence: bigint,
  options: { salt?: number; change?: Partial<Head.Head>; signer?: Cose.Signer } = {},
): Promise<Request> {
  const { salt = 0, signer = signers.node } = options
  const head = Head.serialize({
    ...{ chainId, registry, nodeId, keyEpoch: 0, sequence, modeBits: 4, flags: 0 },
    previous: sequence === 0n ? filled(32, 0) : crypto.sha256(new TextEncoder().encode(`previous ${sequence}`)),
    claimsRoot: crypto.sha256(new TextEncoder().encode(`claims ${sequence} ${salt}`)),
    ...options.change,
  })
  const payload = Head.payload(crypto, head)
  return { head, signature: await Cose.sign(crypto, signer, 'receipt', payload), publicKey: signer.publicKey }
}

/** A folder that is gone when the test is over. */
export function temporaryFolder(test: { after: (work: () => void) => void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'assay-log-'))
  test.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export function openWitness(
  folder: string,
  chain: Chain,
  options: Partial<Parameters<typeof Witness.createWitness>[0]> = {},
) {
  return Witness.createWitness({
    recheckMs: 10,
    folder: join(folder, 'witness'),
    log: { chainId, anchorLog, logId: identity.logId, publicKey: signers.log.publicKey },
    ...{ signer: signers.witness, ed25519: signers.witnessNote, chain, crypto },
    ...options,
  })
}

export function openLog(
  folder: string,
  chain: Chain,
  options: Partial<Parameters<typeof Log.createLog>[0]> & Pick<Parameters<typeof Log.createLog>[0], 'mirror'>,
) {
  return Log.createLog({
    folder: join(folder, 'log'),
    ...{ identity, signer: signers.log, ed25519: signers.logNote, chain, crypto },
    ...options,
  })
}

/** A log with its witness. */
export async function openBoth(
  folder: string,
  chain: Chain,
  options: Partial<Parameters<typeof Log.createLog>[0]> = {},
) {
  const witness = await openWitness(folder, chain)
  try {
    const log = await openLog(folder, chain, { mirror: witness.mirror, ...options })
    return {
      log,
      witness,
      close: async () => {
        await log.close()
        await witness.close()
      },
    }
  } catch (error) {
    await witness.close()
    throw error
  }
}
