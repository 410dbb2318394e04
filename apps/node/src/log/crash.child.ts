/**
 * crash.child.ts - a log with its witness under load, in a process made to be killed. Started by crash.test.ts and the bench.
 *
 * Argument: JSON `{folder, head: {size, root}, kill: {step, count}, width}`. At the `count`th time that it comes to `step` (see
 * Hooks.ts) it kills itself; without `kill` the parent does. Every answer is one line on stdout before the next thing happens: what is printed, somebody
 * outside has.
 */
import { writeSync } from 'node:fs'
import { crypto } from 'assay/crypto/node'
import { Bytes, Cose } from 'assay/protocol'
import * as scene from './scene.ts'

const options = JSON.parse(process.argv[2] as string) as {
  folder: string
  head: { size: string; root: string }
  kill?: { step: string; count: number }
  width: number
}
const chain = scene.createChain()
chain.head = { size: BigInt(options.head.size), root: Bytes.fromHex(options.head.root) }

let count = 0
const reached = (step: string): void => {
  if (step === options.kill?.step && ++count === options.kill.count) process.kill(process.pid, 'SIGKILL')
}
const witness = await scene.openWitness(options.folder, chain, { hooks: { reached } })
const log = await scene.openLog(options.folder, chain, { mirror: witness.mirror, hooks: { reached } })
print({ ready: true })

let next = (log.highest(Cose.keyId(crypto, scene.signers.node.publicKey))?.sequence ?? -1n) + 1n
await Promise.all([...Array.from({ length: options.width }, appendForEver), anchorForEver()])

async function appendForEver(): Promise<void> {
  for (;;) {
    const sequence = next++
    const { index, pledge } = await log.append(await scene.request(sequence))
    const { words, signature } = pledge
    print({ sequence: `${sequence}`, index: `${index}`, words: Bytes.toHex(words), signature: Bytes.toHex(signature) })
  }
}

async function anchorForEver(): Promise<void> {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 2))
    submit()
    const size = log.mirroredSize()
    if (size <= (chain.head?.size ?? 0n)) continue
    const { root, signature } = await log.signCheckpoint(size)
    print({ signed: `${size}`, root: Bytes.toHex(root) })
    const proof = await log.consistency(witness.last()?.size ?? 0n, size)
    const { chainId, anchorLog, logId } = scene.identity
    const statement = { chainId, anchorLog, logId, size, root }
    const cosignature = await witness.cosign({ statement, logSignature: signature, proof })
    print({ cosigned: `${size}`, root: Bytes.toHex(root) })
    await log.addCosignature(size, cosignature)
    submit()
  }
}

/** As the contract does with a submission: all that wait, ascending. */
function submit(): void {
  for (const waiting of log.unanchored()) {
    chain.block += 1n
    if (waiting.size > (chain.head?.size ?? 0n)) chain.head = { size: waiting.size, root: waiting.root }
    print({ anchored: `${chain.head?.size}`, root: Bytes.toHex(chain.head?.root as Uint8Array) })
    log.markAnchored(waiting.size, chain.block)
  }
}

function print(line: object): void {
  writeSync(1, `${JSON.stringify(line)}\n`)
}
