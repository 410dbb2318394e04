#!/usr/bin/env node
/** main.ts - the `assay` command as a process: streams, signals, exit codes. */
import { type Context, modelsFolder } from './Context.ts'
import { execute } from './execute.ts'
import * as Failure from './Failure.ts'
import * as Terminal from './Terminal.ts'

const terminal = Terminal.create({ stdout: process.stdout, stderr: process.stderr, env: process.env })
const stopping = new AbortController()
const models = process.env.ASSAY_MODELS
const context: Context = {
  terminal,
  env: process.env,
  cwd: process.cwd(),
  stopped: stopping.signal,
  modelsFolder: models === undefined || models === '' ? modelsFolder : models,
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    // The second time the person means it.
    if (stopping.signal.aborted) process.exit(Failure.exitCodes.stopped)
    stopping.abort()
  })
// A reader that goes away (`assay explain x | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

process.exitCode = await execute(context, process.argv.slice(2))
