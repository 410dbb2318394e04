/** Stranger.ts - parties that owe nobody anything: a node that signs what it likes, and somebody who anchors a part of what a log signed. */
import { AnchorLogContract, NodeRegistryContract } from 'assay/chain'
import { createP256Signer } from 'assay/crypto/node'
import { Bytes, Cose, type Crypto, Head, Identity } from 'assay/protocol'
import { encodeFunctionData } from 'viem'
import type { Log } from '../../apps/node/src/log/Log.ts'
import * as Rules from './ContractRules.ts'
import type { ModelChain } from './ModelChain.ts'
import type { RunningLog } from './Parts.ts'
import type { Prosecutor } from './Prosecutor.ts'
import type * as Random from './Random.ts'

/** What a hostile node does with a log. */
export const tricks = ['plain', 'fork', 'replay', 'other-key', 'bits', 'gap', 'garbage'] as const
export type Trick = (typeof tricks)[number]

/** A node of another operator with its own key. */
export type HostileNode = {
  readonly publicKey: Uint8Array
  readonly play: (trick: Trick, log: Log, random: Random.Random) => Promise<void>
}

const address = Bytes.fromHex('77'.repeat(20))
const filled = (value: number) => new Uint8Array(32).fill(value)

/** Enters a hostile node in the registry whenever it is not there. */
export function hostileNode(chain: ModelChain, prosecutor: Prosecutor, crypto: Crypto): HostileNode {
  const signer = createP256Signer(filled(9))
  prosecutor.exempt(signer.publicKey)
  const nodeId = Identity.nodeId(crypto, { ...Rules, operator: address, n: 0n })
  let sequence = 0n

  async function register(): Promise<number> {
    const send = async (data: `0x${string}`) =>
      chain.submit({ from: address, to: Rules.registry, data: Bytes.from0x(data) }).catch(() => {})
    const { abi } = NodeRegistryContract
    const name = Bytes.toHex(nodeId)
    for (let epoch = 0; epoch < 8; epoch++) {
      const record = chain.newest().state.keys.get(`${name}/${epoch}`)
      if (record !== undefined && Bytes.equal(record.keyId, Cose.keyId(crypto, signer.publicKey))) return epoch
    }
    if (!chain.newest().state.nodes.has(name)) {
      await send(encodeFunctionData({ abi, functionName: 'registerNode', args: ['', Bytes.to0x(filled(0)), 0] }))
      await chain.mine()
    }
    const { publicKey } = signer
    const entry = { chainId: Rules.chainId, contract: Rules.registry, subject: nodeId, role: 1 as const, publicKey }
    const proof = await Cose.sign(crypto, signer, 'key', Identity.keyStatement(crypto, entry))
    const [x, y] = [publicKey.slice(0, 32), publicKey.slice(32)].map(Bytes.to0x) as [`0x${string}`, `0x${string}`]
    await send(
      encodeFunctionData({ abi, functionName: 'addKey', args: [Bytes.to0x(nodeId), 1, x, y, Bytes.to0x(proof)] }),
    )
    await chain.mine()
    return 0
  }

  async function sign(keyEpoch: number, at: bigint, random: Random.Random, bits = 0) {
    const head = Head.serialize({
      ...{ chainId: Rules.chainId, registry: Rules.registry, nodeId, keyEpoch, sequence: at, modeBits: bits, flags: 0 },
      previous: at === 0n ? filled(0) : random.bytes(32),
      claimsRoot: random.bytes(32),
    })
    return {
      head,
      signature: await Cose.sign(crypto, signer, 'receipt', Head.payload(crypto, head)),
      publicKey: signer.publicKey,
    }
  }

  return {
    publicKey: signer.publicKey,
    play: async (trick, log, random) => {
      const keyEpoch = await register()
      const offer = async (request: Awaited<ReturnType<typeof sign>>) => {
        prosecutor.offered(request)
        prosecutor.left(request.head)
        await log.append(request).catch(() => {})
      }
      const first = await sign(keyEpoch, sequence++, random, trick === 'bits' ? 7 : 0)
      if (trick === 'garbage') return offer({ ...first, head: random.bytes(139) })
      if (trick === 'other-key') return offer({ ...first, publicKey: random.bytes(64) })
      if (trick === 'gap') sequence += BigInt(random.below(1_000))
      const requests = [first]
      if (trick === 'fork') requests.push(await sign(keyEpoch, sequence - 1n, random))
      if (trick === 'replay') requests.push(first, first)
      await Promise.all(requests.map(offer))
    },
  }
}

/** Somebody who keeps every state that a log ever showed, and anchors some of them when it pleases. */
export function collector(chain: ModelChain) {
  const states = new Map<string, Map<bigint, { root: Uint8Array; signature: Uint8Array }>>()
  return {
    look(running: RunningLog): void {
      const name = Bytes.toHex(running.log.identity.logId)
      const held = states.get(name) ?? new Map()
      states.set(name, held)
      for (const { size, root, signature } of running.log.unanchored()) held.set(size, { root, signature })
    },
    async anchor({ log }: RunningLog, random: Random.Random): Promise<void> {
      const { logId } = log.identity
      let from = chain.newest().state.logs.get(Bytes.toHex(logId))?.size ?? 0n
      const steps = []
      for (const [size, { root, signature }] of [...(states.get(Bytes.toHex(logId)) ?? [])].sort(([a], [b]) =>
        Number(a - b),
      )) {
        if (size <= from || size > log.size() || random.chance(0.5)) continue
        const proof = from === 0n ? [] : await log.consistency(from, size)
        const hashes = proof.map(Bytes.to0x)
        steps.push({ size, root: Bytes.to0x(root), signature: Bytes.to0x(signature), consistencyProof: hashes })
        from = size
      }
      if (steps.length === 0) return
      const args = [Bytes.to0x(logId), steps.slice(0, 16)] as const
      const data = Bytes.from0x(encodeFunctionData({ abi: AnchorLogContract.abi, functionName: 'anchor', args }))
      await chain.submit({ from: address, to: Rules.anchorLog, data }).catch(() => {})
    },
  }
}
