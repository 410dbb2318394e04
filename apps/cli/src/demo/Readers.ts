/** Readers.ts - the default client of one party's gateway: file stores in a folder of its own, and the library's defaults. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Party } from '@assay/node/demo/Party'
import type { Account, Stage } from '@assay/node/demo/Stage'
import { openKey } from '@assay/node/keys/KeyFile'
import { trustAnchorsOf } from '@assay/node/settle/deploy'
import { ChainAccess, Client, Court, type Stores } from 'assay/client'
import * as FileStores from 'assay/client/node'
import { crypto } from 'assay/crypto/node'

/** A client with what it keeps; it is told nothing about the party but whom its reader names. */
export type Reader = {
  readonly folder: string
  readonly client: Client.Client
  readonly pending: Stores.PendingStore
  readonly faults: Stores.FaultStore
  readonly cases: Stores.CaseStore
  readonly court: Court.Court
  readonly account: Account
  readonly close: () => void
}

/** Opens a client in a folder, with an account that has coin for transactions and no tokens. */
export async function openReader(stage: Stage, party: Party, folder: string): Promise<Reader> {
  const account = await stage.account(folder, 0n)
  const trusted = trustAnchorsOf(stage.book)
  const anchors = FileStores.fileAnchorStore(join(folder, 'anchors.json'))
  await anchors.trust(trusted)
  const faults = FileStores.fileFaultStore(join(folder, 'faults'))
  const pending = FileStores.filePendingStore(join(folder, 'pending'))
  const cases = FileStores.fileCaseStore(join(folder, 'cases'))
  const watch = FileStores.fileWatchStore(join(folder, 'watch'))
  const court = Court.from(trusted, account.sender, stage.rpc)
  const client = Client.create({
    ...{ baseUrl: party.url, crypto, anchors, pending, faults, cases, watch, court },
    signer: openKey(join(folder, 'key'), 'client').signer,
    random: (length) => new Uint8Array(randomBytes(length)),
    names: { witnesses: [party.witness], operators: [party.operator], rewrites: [] },
    chain: ChainAccess.overRpc(crypto, stage.rpc, trusted),
  })
  return { folder, client, pending, faults, cases, court, account, close: watch.close }
}
