/**
 * pack-library.ts - builds the library as it is published: JavaScript and type declarations in dist/library.
 *
 * Node.js does not strip types from files under node_modules, so the package must not carry TypeScript sources.
 * The manifest is src/package.json with its `.ts` targets rewritten; nothing else is added.
 *
 *     npm run pack:library        build, then show what `npm pack` would publish
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

type Manifest = { readonly exports: Readonly<Record<string, string>>; readonly [key: string]: unknown }

const root = join(import.meta.dirname, '..')
const target = join(root, 'dist/library')

/** The published manifest: each `./x.ts` export becomes its declaration and its JavaScript. */
export function publishedManifest(manifest: Manifest): Manifest {
  const exports: Record<string, unknown> = {}
  for (const [subpath, file] of Object.entries(manifest.exports)) {
    exports[subpath] = file.endsWith('.ts')
      ? { types: file.replace(/\.ts$/, '.d.ts'), default: file.replace(/\.ts$/, '.js') }
      : file
  }
  return {
    ...manifest,
    exports: exports as Record<string, string>,
    files: ['**/*.js', '**/*.d.ts', 'LICENSE', 'README.md'],
  }
}

/** Declarations keep `.ts` in relative imports; a published one names the JavaScript file beside it. */
export function rewriteDeclaration(text: string): string {
  return text.replace(/((?:from|import)\s*\(?\s*['"])(\.{1,2}\/[^'"]*?)\.ts(['"])/g, '$1$2.js$3')
}

function run(command: string, args: readonly string[], cwd: string): void {
  const { status } = spawnSync(command, args, { cwd, stdio: 'inherit' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}`)
}

function build(): void {
  rmSync(target, { recursive: true, force: true })
  run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.library.json'], root)
  for (const file of globSync('**/*.d.ts', { cwd: target })) {
    const path = join(target, file)
    writeFileSync(path, rewriteDeclaration(readFileSync(path, 'utf8')))
  }
  const manifest = publishedManifest(JSON.parse(readFileSync(join(root, 'src/package.json'), 'utf8')))
  writeFileSync(join(target, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  for (const [name, source] of [
    ['LICENSE', 'LICENSE'],
    ['README.md', existsSync(join(root, 'src/README.md')) ? 'src/README.md' : 'README.md'],
  ] as const) {
    if (existsSync(join(root, source))) copyFileSync(join(root, source), join(target, name))
  }
  const missing = Object.values(manifest.exports as unknown as Record<string, string | Record<string, string>>)
    .flatMap((entry) => (typeof entry === 'string' ? [entry] : Object.values(entry)))
    .filter((file) => !existsSync(join(target, file)))
  if (missing.length > 0) throw new Error(`src/package.json exports what the build lacks: ${missing.join(', ')}`)
  const sources = globSync('**/*.ts', { cwd: target }).filter((file) => !file.endsWith('.d.ts'))
  if (sources.length > 0) throw new Error(`TypeScript sources in the package: ${sources.join(', ')}`)
}

if (import.meta.main) {
  build()
  run('npm', ['pack', '--dry-run', '--ignore-scripts', '--loglevel=notice'], target)
  console.log('pack-library: dist/library is ready for `npm publish`')
}
