/**
 * Home.ts - the folder of one person: `ASSAY_HOME` or `~/.assay`. The daemon owns node, log, witness and chain in it; the
 * command line owns client, anchors.json and reader.json.
 */
import { homedir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { openKey } from '@assay/node/keys/KeyFile'
import * as FileStores from 'assay/client/node'
import type { Cose } from 'assay/protocol'
import * as ReaderFile from './ReaderFile.ts'

export type Home = {
  readonly folder: string
  readonly anchorsFile: string
  readonly readerFile: string
  readonly clientFolder: string
  readonly pendingFolder: string
}

/** Folders of the daemon, by what they hold. */
export const daemonFolders = ['node', 'log', 'log2', 'witness', 'witness2', 'chain'] as const

/** Finds the home; makes nothing. */
export function find(options: {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly home?: string | undefined
}): Home {
  const named = options.home ?? options.env.ASSAY_HOME
  const folder =
    named === undefined || named === ''
      ? join(homedir(), '.assay')
      : isAbsolute(named)
        ? named
        : resolve(options.cwd, named)
  const clientFolder = join(folder, 'client')
  return {
    folder,
    anchorsFile: join(folder, 'anchors.json'),
    readerFile: join(folder, 'reader.json'),
    clientFolder,
    pendingFolder: join(clientFolder, 'pending'),
  }
}

export function anchorStore(home: Home): FileStores.FileAnchorStore {
  return FileStores.fileAnchorStore(home.anchorsFile)
}

export function pendingStore(home: Home): ReturnType<typeof FileStores.filePendingStore> {
  return FileStores.filePendingStore(home.pendingFolder)
}

/** Calls of this client whose receipt no log has pledged yet. */
export function callStore(home: Home): ReturnType<typeof FileStores.fileCallStore> {
  return FileStores.fileCallStore(home.pendingFolder)
}

/** Evidence of this client, and how far its filing has come. */
export function faultStore(home: Home): ReturnType<typeof FileStores.fileFaultStore> {
  return FileStores.fileFaultStore(join(home.clientFolder, 'faults'))
}

/** What this client saw parties sign. */
export function watchStore(home: Home): ReturnType<typeof FileStores.fileWatchStore> {
  return FileStores.fileWatchStore(join(home.clientFolder, 'watch'))
}

/** Cases that this client opened. */
export function caseStore(home: Home): ReturnType<typeof FileStores.fileCaseStore> {
  return FileStores.fileCaseStore(join(home.clientFolder, 'cases'))
}

/** The names that the reader keeps; undefined if there are none yet. */
export function readReader(home: Home): ReaderFile.ReaderFile | undefined {
  const text = FileStores.readSmallFile(home.readerFile, ReaderFile.maxBytes)
  return text === undefined ? undefined : ReaderFile.parse(text)
}

export function writeReader(home: Home, reader: ReaderFile.ReaderFile): void {
  FileStores.writeWholeFile(home.readerFile, new TextEncoder().encode(ReaderFile.serialize(reader)))
}

/** A small file of the home as text, undefined if there is none. */
export function readText(path: string): string | undefined {
  return FileStores.readSmallFile(path, ReaderFile.maxBytes)
}

/** The key that signs orders, made if there is none; its file is readable by its owner alone. */
export function clientSigner(home: Home): Cose.Signer {
  return openKey(home.clientFolder, 'client').signer
}
