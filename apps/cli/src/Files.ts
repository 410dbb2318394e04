/** Files.ts - reads the files that a person names, and never more of them than they may have. */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { Bundle, errors } from 'assay/protocol'

/** A receipt or fault file; throws `Files.FileError`. One byte more than allowed is read as too long by the parser. */
export function readReceipt(path: string): Uint8Array {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (error) {
    throw new FileError(
      path,
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'it is not there' : 'it cannot be opened',
    )
  }
  try {
    const stats = fstatSync(file)
    if (!stats.isFile()) throw new FileError(path, 'it is no plain file')
    if (stats.size > Bundle.maxBytes) throw new FileError(path, `it has more than ${Bundle.maxBytes} bytes`)
    return Uint8Array.from(readFileSync(file))
  } finally {
    closeSync(file)
  }
}

/** A file that was named cannot be read. */
export class FileError extends errors.UsageError<'file-unreadable'> {
  override readonly name = 'Files.FileError'
  constructor(path: string, problem: string) {
    super('file-unreadable', `The file cannot be read: ${problem}.`, { facts: [`File: ${path}`] })
  }
}
