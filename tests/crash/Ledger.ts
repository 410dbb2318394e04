/**
 * Ledger.ts - what anybody has ever seen of a daemon, through all its lives, and what must hold of it: an honest signer
 * says one thing for one place, and what it has said stays true.
 */
import assert from 'node:assert/strict'
import { AnchorLogContract } from 'assay/chain'
import type { NodeInfo } from 'assay/client'
import { crypto } from 'assay/crypto/node'
import { Bytes, Checkpoint, Cose, Head, LogEntry, Merkle, Pledge } from 'assay/protocol'
import { createPublicClient, http } from 'viem'
import * as Calls from './Calls.ts'
import { until } from './Daemon.ts'
import type { Held } from './Folders.ts'

type Known = Calls.Receipt & { readonly orderHash: string | undefined; readonly index: number }

export type Counts = {
  whole: number
  cut: number
  interrupted: number
  pending: number
  refused: number
  entries: number
}

export function create() {
  /** Hash of the head at `key/sequence`. */
  const places = new Map<string, string>()
  const receipts = new Map<string, Known>()
  /** By `slot/index`. */
  const byIndex = new Map<string, Known>()
  /** Heads of each log by index, as ever found on disk. */
  const entries: (readonly string[])[] = []
  /** Orders whose calls were cut. */
  const cut = new Map<string, { readonly kind: Calls.Kind }>()
  /** Those of them that a later start has dealt with. */
  const settled = new Set<string>()
  /** Roots of signed checkpoints by `slot/size`. */
  const roots = new Map<string, string>()
  const counts: Counts = { whole: 0, cut: 0, interrupted: 0, pending: 0, refused: 0, entries: 0 }

  function placeHead(keyId: string, head: Uint8Array): void {
    const { sequence } = Head.parse(head)
    const place = `${keyId}/${sequence}`
    const hash = Bytes.toHex(Head.hash(crypto, head))
    assert.equal(places.get(place) ?? hash, hash, `two heads at sequence ${sequence}`)
    places.set(place, hash)
  }

  function addReceipt(receipt: Calls.Receipt, orderHash: string | undefined): void {
    placeHead(receipt.keyId, receipt.head)
    const { leafIndex } = Pledge.parse(receipt.pledge.words)
    const index = Number(leafIndex)
    const place = `${receipt.slot}/${index}`
    const earlier = byIndex.get(place)
    if (earlier !== undefined) {
      assert.equal(earlier.hash, receipt.hash, `two heads are pledged index ${index}`)
      assert.deepEqual(earlier.pledge.words, receipt.pledge.words, `index ${index} has two pledges`)
    }
    const known = { ...receipt, orderHash, index }
    byIndex.set(place, known)
    receipts.set(receipt.hash, known)
  }

  return {
    counts,
    receipts,
    cut,
    /** Takes the answers of a life. */
    addAnswers(answers: readonly Calls.Answer[]): void {
      for (const { isWhole, status, receipt, orderHash, kind, body } of answers) {
        if (receipt !== undefined && receipt !== 'pending') addReceipt(receipt, orderHash)
        if (receipt === 'pending') counts.pending++
        if (status !== undefined && status !== 200) {
          counts.refused++
          const { error } = (body === '' ? {} : JSON.parse(body)) as { error?: { code?: unknown } }
          assert.equal(typeof error?.code, 'string', `a refusal of status ${status} without a code`)
          assert.ok(!body.includes(Calls.marker), 'a refusal quotes the prompt')
          continue
        }
        if (isWhole) {
          counts.whole++
          assert.ok(receipt !== undefined, `a whole ${kind} answer without a receipt`)
        } else {
          counts.cut++
          if (orderHash !== undefined && receipt === undefined) cut.set(orderHash, { kind })
        }
      }
    },
    /** Holds what stands on disk against everything seen before. */
    checkFolders(held: Held): void {
      counts.entries = held.heads.size
      for (const [slot, one] of held.logs.entries()) {
        const before = entries[slot] ?? []
        // A kill loses nothing that was synced, pledged or not.
        assert.deepEqual(one.log.slice(0, before.length), before, 'an entry of the log was lost or moved')
        entries[slot] = one.log
        const shorter = Math.min(one.log.length, one.mirror.length)
        assert.deepEqual(one.mirror.slice(0, shorter), one.log.slice(0, shorter), 'log and mirror differ')
        assert.equal(new Set(one.log).size, one.log.length, 'a head stands in the log twice')
        assert.equal(one.conflicts, 0, 'the node signed two heads for one place')
        for (const index of one.pledged) assert.ok(index < one.mirror.length, 'a pledge without an entry at the mirror')
        for (const [size, root] of one.checkpoints) {
          assert.equal(roots.get(`${slot}/${size}`) ?? root, root, `two checkpoints of size ${size}`)
          roots.set(`${slot}/${size}`, root)
        }
      }
      for (const known of byIndex.values()) {
        const head = Bytes.toHex(known.head)
        const one = held.logs[known.slot] as Held['logs'][number]
        assert.equal(one.log[known.index], head, `pledged entry ${known.index} is not in the log`)
        assert.equal(one.mirror[known.index], head, `pledged entry ${known.index} is not at the mirror`)
      }
      checkChain(held, placeHead)
      const byHash = new Map(held.receipts.map((receipt) => [receipt.hash, receipt]))
      for (const { hash } of receipts.values()) assert.ok(byHash.get(hash)?.isReleased, 'an issued receipt is not kept')
      for (const orderHash of cut.keys()) {
        const state = held.intents.get(orderHash)
        const has = held.receipts.some((receipt) => receipt.orderHash === orderHash)
        assert.equal(has, state === 'issued', `a cut call's intent is ${state}, but its receipt is ${has}`)
        if (settled.has(orderHash)) assert.notEqual(state, 'running', 'a call of an ended process counts as running')
      }
      counts.interrupted = held.intentStates.get('interrupted') ?? 0
    },
    /** Asks a daemon for receipts that were answered: all of a list, or a sample of everything. */
    async checkRetrievable(gateway: string, hashes: readonly string[]): Promise<void> {
      for (const hash of hashes) {
        const { head, signature, orderHash } = receipts.get(hash) as Known
        const expected = { hash, head: Bytes.toBase64url(head), signature: Bytes.toBase64url(signature) }
        const found = await Calls.stored(gateway, hash)
        assert.equal(found.status, 200, `receipt ${hash} is gone`)
        const { publicKey: _, ...rest } = found.body
        assert.deepEqual(rest, expected)
        if (orderHash === undefined) continue
        const byOrder = await Calls.stored(gateway, `by-order/${orderHash}`)
        assert.equal(byOrder.status, 200, `no receipt for order ${orderHash}`)
        assert.equal(byOrder.body.hash, hash)
      }
    },
    /** A call that was cut has a receipt, or waits for its pledge, or says that there is none. */
    async checkCut(gateway: string): Promise<void> {
      for (const orderHash of cut.keys()) {
        const { status, body } = await Calls.stored(gateway, `by-order/${orderHash}`)
        if (status !== 200) assert.match(JSON.stringify(body), /receipt_(not_found|pending)/)
        settled.add(orderHash)
      }
    },
    /** Waits until everything ever pledged is anchored, and checks each inclusion under roots that the contract holds. */
    async checkAnchored(
      endpoints: { gateway: string; chain: string; log: string },
      info: NodeInfo.NodeInfo,
      waitMs = 120_000,
    ) {
      const known = [...byIndex.values()].sort((a, b) => a.slot - b.slot || a.index - b.index)
      const steps = new Map<string, Uint8Array>()
      for (const { slot, index, head } of known) {
        const log = info.logs[slot] as NodeInfo.LogInfo
        const proof = await until(
          `entry ${index} under a root that the contract holds`,
          async () => {
            const answer = await fetch(`${endpoints.gateway}${log.url}/proof?index=${index}`)
            if (answer.status !== 200) return undefined
            const found = readProof(await answer.json())
            const name = `${slot}/${found.size}`
            const root = steps.get(name) ?? (await stepRoot(endpoints.chain, info, log.logId, found.size))
            if (root === undefined) return undefined
            steps.set(name, root)
            assert.deepEqual(root, found.root, `the contract holds another root at ${found.size}`)
            return found
          },
          waitMs,
        )
        const leafHash = LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, head))
        Merkle.verifyInclusion(crypto, { leafHash, index: BigInt(index), ...proof })
        const statement = { chainId: info.chainId, anchorLog: info.anchorLog, logId: log.logId, ...proof }
        await Cose.verify(crypto, {
          tag: 'checkpoint',
          payload: Checkpoint.payload(crypto, Checkpoint.words(statement)),
          ...{ signature: proof.signature, publicKey: log.publicKey },
        })
      }
      return { entries: known.length, sizes: steps.size }
    },
  }
}

export type Ledger = ReturnType<typeof create>

/** Each key's heads are 0, 1, 2 ... and each names the one before. */
function checkChain(held: Held, placeHead: (keyId: string, head: Uint8Array) => void): void {
  let keyId = ''
  let before: Uint8Array = new Uint8Array(32)
  let next = 0n
  for (const receipt of held.receipts) {
    if (receipt.keyId !== keyId) {
      keyId = receipt.keyId
      before = new Uint8Array(32)
      next = 0n
    }
    const head = Head.parse(receipt.head)
    assert.equal(receipt.sequence, next, 'a gap in the sequence')
    assert.equal(head.sequence, next)
    assert.deepEqual(head.previous, before, `sequence ${next} names another head before it`)
    placeHead(receipt.keyId, receipt.head)
    before = Head.hash(crypto, receipt.head)
    next++
  }
}

type Proof = { size: bigint; root: Uint8Array; signature: Uint8Array; proof: Uint8Array[] }

function readProof(value: unknown): Proof {
  const { size, root, signature, proof } = value as Record<'size' | 'root' | 'signature', string> & { proof: string[] }
  return {
    size: BigInt(size),
    root: Bytes.fromBase64url(root),
    signature: Bytes.fromBase64url(signature),
    proof: proof.map(Bytes.fromBase64url),
  }
}

/** The root that AnchorLog keeps for a size, asked at the chain itself. */
export async function stepRoot(
  chain: string,
  info: Pick<NodeInfo.NodeInfo, 'anchorLog'>,
  logId: Uint8Array,
  size: bigint,
): Promise<Uint8Array | undefined> {
  const reader = createPublicClient({ transport: http(chain) })
  const step = await reader.readContract({
    address: Bytes.to0x(info.anchorLog),
    abi: AnchorLogContract.abi,
    functionName: 'getStep',
    args: [Bytes.to0x(logId), size],
  })
  const { root, blockNumber } = step as unknown as { root: `0x${string}`; blockNumber: bigint }
  return blockNumber === 0n ? undefined : Bytes.from0x(root)
}
