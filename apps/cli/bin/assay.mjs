#!/usr/bin/env node
// The `assay` command: runs apps/cli/src/main.ts under Node.js 24 (plain syntax, so that an older Node.js can start it).
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fail, find, run } from '../../../scripts/node24.mjs'

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))))
let node
try {
  node = find(root)
} catch (error) {
  fail(error.message)
}
run(node, join(root, 'apps', 'cli', 'src', 'main.ts'), process.argv.slice(2))
