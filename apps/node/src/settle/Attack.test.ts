/** Attack.test.ts - a chain endpoint that lies while a daemon enters its node, keys and log. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { AnchorLogContract, NodeRegistryContract, type Rpc } from 'assay/chain'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Bytes, Cose, Identity } from 'assay/protocol'
import { decodeFunctionData, encodeFunctionResult } from 'viem'
import { startAnvil } from './anvil.ts'
import type { AddressBook } from './deploy.ts'
import { type Registrar, registerKey, registerLog, registerNode, roles } from './register.ts'

const filled = (length: number, value: number) => new Uint8Array(length).fill(value)
const abi = [...NodeRegistryContract.abi, ...AnchorLogContract.abi]
const registry = filled(20, 0x11)
const anchorLog = filled(20, 0x22)
const operator = filled(20, 0x33)
const mallory = filled(20, 0x66)
const instance = filled(32, 0x44)
const chainId = 31337n
const signer = createP256Signer(filled(32, 1))

/** An endpoint that answers view calls as told; everything that is sent is kept and thrown away. */
function lying(answers: Readonly<Record<string, unknown>>) {
  const sent: { functionName: string; args: readonly unknown[] }[] = []
  const rpc = {
    chainId,
    assertChain: async () => {},
    request: async (_: string, params?: readonly unknown[]) => {
      const [{ data }] = params as [{ data: `0x${string}` }]
      const { functionName } = decodeFunctionData({ abi, data })
      return encodeFunctionResult({ abi, functionName, result: answers[functionName] } as never)
    },
  } as unknown as Rpc.Rpc
  const sender = {
    address: operator,
    send: async ({ data }: { readonly data: Uint8Array }) => {
      sent.push(decodeFunctionData({ abi, data: Bytes.to0x(data) }) as never)
      throw new Error('kept here')
    },
    close: () => {},
  }
  const book = {
    chainId,
    nodeRegistry: { address: registry },
    anchorLog: { address: anchorLog },
  } as unknown as AddressBook
  return { registrar: { crypto, rpc, sender, book } as unknown as Registrar, sent }
}

/** Whether a signature that was sent is good for a subject. */
async function isProofFor(subject: Uint8Array, contract: Uint8Array, role: Identity.Role, signature: unknown) {
  const payload = Identity.keyStatement(crypto, { chainId, contract, subject, role, publicKey: signer.publicKey })
  const bytes = Bytes.from0x(String(signature))
  return Cose.verify(crypto, { tag: 'key', payload, signature: bytes, publicKey: signer.publicKey }).then(
    () => true,
    () => false,
  )
}

test('no endpoint gets a proof of possession for a log of somebody else', async () => {
  const theirs = Identity.logId(crypto, { chainId, anchorLog, instance, operator: mallory, n: 0n })
  const { registrar, sent } = lying({
    ...{
      logOfKey: Bytes.to0x(filled(32, 0)),
      logCount: 0n,
      logIdOf: Bytes.to0x(theirs),
      instance: Bytes.to0x(instance),
    },
  })
  await assert.rejects(registerLog(registrar, { signer, ed25519Key: filled(32, 2), pledgeBlocks: 600n }))
  const proof = sent[0]?.args[4]
  assert.equal(await isProofFor(theirs, anchorLog, roles.log, proof), false)
  const own = Identity.logId(crypto, { chainId, anchorLog, instance, operator, n: 0n })
  assert.equal(await isProofFor(own, anchorLog, roles.log, proof), true)
})

test('no endpoint gets a proof of possession for a node of somebody else', async () => {
  const theirs = Identity.nodeId(crypto, { chainId, registry, operator: mallory, n: 0n })
  const { registrar, sent } = lying({
    ...{ nodeCount: 1n, nodeIdOf: Bytes.to0x(theirs), nodeOfKey: Bytes.to0x(filled(32, 0)) },
  })
  const nodeId = await registerNode(registrar, { endpoint: '' })
  assert.deepEqual(nodeId, Identity.nodeId(crypto, { chainId, registry, operator, n: 0n }))
  await assert.rejects(registerKey(registrar, { nodeId, role: roles.node, signer }))
  assert.equal(await isProofFor(theirs, registry, roles.node, sent[0]?.args[4]), false)
  assert.equal(await isProofFor(nodeId, registry, roles.node, sent[0]?.args[4]), true)
})

test('a web page cannot know where the development chain listens', async (context) => {
  // There the system has only 127.0.0.1, and the chain's binary is not on offer either.
  if (process.platform === 'darwin') return context.diagnostic('not run: macOS has only 127.0.0.1')
  const home = mkdtempSync(join(tmpdir(), 'assay-settle-attack-'))
  context.after(() => rmSync(home, { recursive: true, force: true }))
  const chain = await startAnvil({ home })
  context.after(chain.stop)
  const { hostname, port } = new URL(chain.url)
  assert.match(hostname, /^127(\.\d{1,3}){3}$/)
  // It takes WebSockets from pages of every origin, and whoever reaches it may do anything; so the names that pages can guess lead nowhere.
  for (const guess of ['127.0.0.1', 'localhost']) {
    const reached = await new Promise<boolean>((resolve) => {
      const socket = new WebSocket(`ws://${guess}:${port}`)
      socket.onopen = () => resolve(true)
      socket.onerror = () => resolve(false)
    })
    assert.equal(reached, false, guess)
  }
})
