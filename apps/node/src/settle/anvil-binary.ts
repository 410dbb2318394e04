/** anvil-binary.ts - where the npm package of this platform keeps the development chain's program. */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { errors } from 'assay/protocol'

const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }

/** The path of the program; throws `AnvilMissingError` when the optional package is not installed or does not exist. */
export function findAnvil(platform: string = process.platform, architecture: string = process.arch): string {
  const name = `@foundry-rs/anvil-${platform}-${architectures[architecture] ?? architecture}`
  try {
    const folder = dirname(createRequire(import.meta.url).resolve(`${name}/package.json`))
    const path = join(folder, 'bin', platform === 'win32' ? 'anvil.exe' : 'anvil')
    if (existsSync(path)) return path
  } catch (cause) {
    throw new AnvilMissingError(name, cause)
  }
  throw new AnvilMissingError(name)
}

/** The development chain's program is not installed. */
export class AnvilMissingError extends errors.UsageError<'anvil-missing'> {
  override readonly name = 'AnvilMissingError'
  constructor(packageName: string, cause?: unknown) {
    super(
      'anvil-missing',
      'The development chain is not installed; install optional packages or name a chain endpoint.',
      {
        facts: [`Package: ${packageName}`],
        cause,
      },
    )
  }
}
