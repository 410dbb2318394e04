/**
 * Dishonest.ts - a party that lies, before a default client, on a chain and a network to which everything happens that a schedule
 * knows. What the party did is known here; what the client makes of it is its own.
 */
import assert from 'node:assert/strict'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Bundle, Bytes, errors, Fault, Head, LogEntry, Pledge } from 'assay/protocol'
import { policies } from 'assay/verify'
import * as Client from '../../src/client/Client.ts'
import * as Evidence from '../../src/client/Evidence.ts'
import * as Stores from '../../src/client/Stores.ts'
import * as WatchStore from '../../src/client/WatchStore.ts'
import * as FakeGateway from '../fakes/FakeGateway.ts'
import { logId, signerOf, signers } from '../fakes/World.ts'
import * as Between from './Between.ts'
import * as MirrorChain from './MirrorChain.ts'
import * as Random from './Random.ts'

/** What a party does wrong; `none`: an honest one in the same schedule. */
export const acts = ['F1', 'F2', 'F3', 'F4 late', 'F4 missing', 'F5', 'F6', 'F13', 'F17', 'F18'] as const
export type Act = (typeof acts)[number] | 'none'

/** Faults of each act: the first has to be on file when nothing stands in between, the others may be. */
const faultsOf: Readonly<Record<Act, readonly number[]>> = {
  ...{ none: [], F1: [1, 13], F2: [2, 3], F3: [3], 'F4 late': [4], 'F4 missing': [4], F5: [5, 3], F6: [6, 2, 3] },
  // Without a court nothing can be demanded: what is withheld only counts as absent.
  ...{ F13: [13], F17: [], F18: [] },
}

export type Outcome = {
  /** What must not be, in words. */
  readonly violations: readonly string[]
  readonly classes: readonly number[]
  /** Verdicts of all receipts that the client holds, under `bonded`. */
  readonly outcomes: readonly string[]
  /** Receipts that a lie touches. */
  readonly touched: number
  readonly restarts: number
}

const body = Bytes.fromUtf8('{"model":"tiny","messages":[{"role":"user","content":"hello"}]}')
const hex = Bytes.toHex

/** A memory that forgets everything at once: a client whose watch is switched off. */
const noWatch: WatchStore.WatchStore = {
  put: async (_shelf, _name, item) => item,
  putAll: async () => {},
  get: async () => undefined,
  list: async () => [],
  remove: async () => {},
}

/** `isWithheld`: what would make it count was never shown to anybody. */
type Held = { readonly bundle: () => Uint8Array; isWithheld?: boolean }

/** Runs the schedule of a seed. */
export async function run(seed: number, act: Act, isBlind = false): Promise<Outcome> {
  const random = Random.create(seed)
  const gateway = await FakeGateway.start()
  gateway.isWitnessFalse = act === 'F6'
  const chain = await MirrorChain.create(signers.node)
  const net = Between.network(random)
  const held: Held[] = []
  const anchors = Stores.memoryAnchorStore([chain.anchors])
  const [faults, pending, calls] = [Stores.memoryFaultStore(), Stores.memoryPendingStore(), Stores.memoryPendingStore()]
  const watch = isBlind ? noWatch : WatchStore.memoryWatchStore()
  let life = Between.live()
  let restarts = 0
  /** Restarts that there were when a head was signed that its client never got; by its hash. */
  const signedAt = new Map<string, number>()
  let isWithholding = false
  let nextKey: ReturnType<typeof signerOf> | undefined

  function open(): Client.Client {
    life = Between.live()
    return Client.create({
      ...{ baseUrl: gateway.url, crypto, sleep: async () => {}, signer: createP256Signer(crypto.sha256(body)) },
      ...{ faults: life.port(faults), watch: life.port(watch), pending: life.port(pending), calls: life.port(calls) },
      ...{ chain: life.port(chain.access), anchors: life.port(anchors), fetch: life.port({ fetch: net.fetch }).fetch },
      random: random.bytes,
      names: { operators: gateway.operators, witnesses: gateway.witnesses, rewrites: [] },
    })
  }
  let client = open()

  /** What the client does ends well, with an error of ours, or with its process. */
  async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      const isKnown = life.isOver() || errors.BaseError.isInstance(error)
      assert.ok(isKnown, String((error as Error)?.stack))
      return undefined
    } finally {
      if (life.isOver()) restart()
    }
  }

  function restart(): void {
    restarts++
    client = open()
  }

  async function call(lie: FakeGateway.Lie = 'none'): Promise<void> {
    gateway.lie = lie
    const graded = await attempt(() => client.call('/v1/chat/completions', body))
    gateway.lie = 'none'
    note()
    if (graded !== undefined) held.push({ bundle: graded.bundle })
  }

  function note(): void {
    for (const name of gateway.heads.keys()) if (!signedAt.has(name)) signedAt.set(name, restarts)
  }

  /** A head that somebody else asked for; where the sequence has just begun, this client asks. */
  async function issue(fields: Partial<Head.Head>): Promise<void> {
    await gateway.issue(fields).catch((error: unknown) => {
      if (!errors.BaseError.isInstance(error)) throw error
      return call()
    })
    note()
  }

  /** A call of which something is kept back. */
  async function withheld(lie: FakeGateway.Lie): Promise<void> {
    const before = held.length
    await call(lie)
    for (const one of held.slice(before)) one.isWithheld = true
  }

  const round = () => attempt(() => client.raisePending())

  async function mine(count = 1): Promise<void> {
    for (let i = 0; i < count; i++) {
      const key = nextKey
      if (!chain.isHalted) nextKey = undefined
      await chain.mine({ ...(isWithholding ? {} : { anchor: gateway.leaves }), ...(key === undefined ? {} : { key }) })
    }
    const { number, hash } = chain.newest()
    gateway.issuedAt = { number, hash }
  }

  const forked = (leaves: readonly Uint8Array[]): readonly Uint8Array[] =>
    leaves.map((leaf, i) => (i === 0 ? crypto.sha256(leaf) : leaf))

  /** The lie itself, one way or another. */
  async function lie(): Promise<void> {
    const isOther = random.chance(0.4)
    switch (act) {
      case 'F1': {
        const own = held.map((one) => Head.parse(Bundle.parse(one.bundle()).receipt.head))
        const place = own.findLast((head) => head.keyEpoch === gateway.keys.length - 1)
        if (!isOther || place === undefined) return call('two-heads')
        return issue({ sequence: place.sequence, previous: place.previous })
      }
      case 'F13':
        return isOther ? issue({ previous: random.bytes(32) }) : call('wrong-link')
      case 'F3':
        return call('wrong-leaf')
      case 'F5':
        return call(isOther ? 'false-entry' : 'pledged-false-entry')
      case 'F2':
      case 'F6':
        await call()
        // The same size twice, or one history signed and another one anchored.
        gateway.told = () => forked(isOther ? chain.newest().state.leaves : gateway.leaves)
        await round()
        if (!isOther && chain.newest().state.leaves.length < gateway.leaves.length && random.chance(0.5))
          gateway.leaves[gateway.leaves.length - 1] = random.bytes(32)
        if (random.chance(0.7)) gateway.told = undefined
        return
      case 'F4 late':
      case 'F4 missing':
        isWithholding = true
        await call()
        await mine(Number(MirrorChain.pledgeBlocks) + 1 + random.below(4))
        if (random.chance(0.7)) await round()
        isWithholding = act === 'F4 missing'
        return
      case 'F17':
        await withheld('none')
        for (const what of ['tiles', 'entries', 'proof'] as const) gateway.hidden.add(what)
        return
      case 'F18':
        return withheld('claims-withheld')
      case 'none':
        return call()
    }
  }

  /** The lie once more when nothing stands in between: now it has to be on file. */
  async function calmly(): Promise<void> {
    await call()
    await call()
    switch (act) {
      case 'F1':
        return call('two-heads')
      case 'F13':
        return call('wrong-link')
      case 'F3':
        return call('wrong-leaf')
      case 'F5':
        return call('false-entry')
      case 'F2':
      case 'F6':
        gateway.told = () => [...gateway.leaves]
        await round()
        gateway.told = () => forked(gateway.leaves)
        await round()
        gateway.told = undefined
        return
      case 'F4 late':
      case 'F4 missing': {
        isWithholding = true
        await call()
        const grace = act === 'F4 missing' ? MirrorChain.graceBlocks : 0n
        await mine(Number(MirrorChain.pledgeBlocks + grace) + 1)
        await round()
        isWithholding = act === 'F4 missing'
        return
      }
      default:
        return lie()
    }
  }

  async function happen(): Promise<void> {
    const kind = random.below(100)
    if (kind < 22) return call()
    if (kind < 36) return lie()
    if (kind < 50) return mine(1 + random.below(3))
    if (kind < 62) return void (await round())
    if (kind < 72) {
      life.endAt(1 + random.below(30), random.chance(0.5))
      return random.chance(0.5) ? call() : void (await round())
    }
    if (kind < 75) return restart()
    if (kind < 79) {
      chain.isLost = !chain.isLost
      return
    }
    if (kind < 82) {
      chain.old = chain.old === 0n ? BigInt(1 + random.below(6)) : 0n
      return
    }
    if (kind < 87) return reorganise()
    if (kind < 89) {
      chain.isHalted = !chain.isHalted
      return
    }
    if (kind < 91) {
      net.changes = net.changes === 0 ? 0.3 : 0
      return
    }
    if (kind < 93) {
      net.loses = net.loses === 0 ? 0.3 : 0
      return
    }
    if (kind < 95) {
      net.repeats = net.repeats === 0 ? 0.4 : 0
      return
    }
    if (kind < 97) {
      net.mixes = true
      const graded = await attempt(() =>
        Promise.allSettled([1, 2].map(() => client.call('/v1/chat/completions', body))),
      )
      net.mixes = false
      for (const one of graded ?? []) if (one.status === 'fulfilled') held.push({ bundle: one.value.bundle })
      note()
      return
    }
    if (nextKey !== undefined || chain.isHalted) return
    nextKey = signerOf(`node ${gateway.keys.length}`)
    const key = nextKey
    await mine()
    gateway.rotate(key)
  }

  async function reorganise(): Promise<void> {
    await chain.reorganise(BigInt(1 + random.below(3)))
    const { number, hash } = chain.newest()
    gateway.issuedAt = { number, hash }
  }

  function heal(): void {
    Object.assign(chain, { isLost: false, isHalted: false, old: 0n })
    Object.assign(net, { changes: 0, loses: 0, repeats: 0, mixes: false })
    gateway.told = undefined
    if (act !== 'F17') gateway.hidden.clear()
    isWithholding = false
    life.endAt(Number.POSITIVE_INFINITY, false)
  }

  async function settle(): Promise<void> {
    await mine(2)
    await round()
    await mine(Number(MirrorChain.finalityBlocks) + 1)
    for (let i = 0; i < 3; i++) await round()
  }

  try {
    gateway.anchored = () => chain.newest().state.leaves
    await mine()
    await call()
    const length = 5 + random.below(9)
    for (let i = 0; i < length; i++) await happen()
    heal()
    await mine()
    await round()
    await calmly()
    await settle()
    if (random.chance(0.5)) restart()
    return await judge({ act, gateway, chain, client, faults, pending, held, signedAt, restarts })
  } finally {
    await gateway.close()
  }
}

type Ended = {
  readonly act: Act
  readonly gateway: FakeGateway.FakeGateway
  readonly chain: MirrorChain.MirrorChain
  readonly client: Client.Client
  readonly faults: Stores.FaultStore
  readonly pending: Stores.PendingStore
  readonly held: Held[]
  readonly signedAt: ReadonlyMap<string, number>
  readonly restarts: number
}

async function judge(ended: Ended): Promise<Outcome> {
  const { act, chain, client, faults, pending, held, restarts } = ended
  const violations: string[] = []
  const all: Fault.Fault[] = []
  // Those that show it now.
  const files: Fault.Fault[] = []
  for (const id of await faults.list()) {
    const fault = Fault.parse(((await faults.load(id)) as { file: Uint8Array }).file)
    all.push(fault)
    if (!faultsOf[act].includes(fault.class)) violations.push(`a file of class ${fault.class} against who is honest`)
    const judged = await Evidence.judge(crypto, chain.access, fault).catch(() => undefined)
    if (judged !== undefined) files.push(fault)
    else if (!(await wasTrue(chain, fault)))
      violations.push(`a file of class ${fault.class} that never showed anything`)
  }
  const classes = [...new Set(all.map((one) => one.class))]
  const [expected] = faultsOf[act]
  if (expected !== undefined && !classes.includes(expected as never)) violations.push(`no file of class ${expected}`)
  const isMissing = all.some((one) => one.class === 4 && one.evidence.missing)
  if (act === 'F4 missing' && !isMissing) violations.push('no file about a missing entry')

  for (const hash of await pending.list()) {
    const bytes = await pending.load(hash)
    if (bytes !== undefined) held.push({ bundle: () => bytes })
  }
  const outcomes: string[] = []
  let touched = 0
  const own = held.map((one) => Bundle.parse(one.bundle()).receipt.head)
  for (const { bundle, isWithheld } of held) {
    const bytes = bundle()
    const raised = await client.raise(bytes).catch(() => undefined)
    const { outcome } = await client.verdict(raised?.bundle ?? bytes, policies.bonded)
    outcomes.push(outcome)
    const why = isWithheld ? 'it was withheld' : isTouched(ended, Bundle.parse(bytes), own, files)
    if (why !== undefined) touched++
    if (why !== undefined && outcome === 'MEETS') violations.push(`MEETS although ${why}`)
  }
  return { violations, classes, outcomes, touched, restarts }
}

/** Lateness lasts until it is over, and an anchored state until a reorganisation takes it back: then the file shows nothing any more. */
async function wasTrue(chain: MirrorChain.MirrorChain, fault: Fault.Fault): Promise<boolean> {
  if (fault.class === 4) return fault.evidence.how === 0
  const sizes =
    fault.class === 2
      ? [fault.evidence.stateA, fault.evidence.stateB].filter((one) => one.signature === undefined)
      : fault.class === 3 || fault.class === 5
        ? [fault.evidence]
        : []
  for (const { size } of sizes) {
    for (const root of chain.roots(size)) {
      const judged = await Fault.judge(crypto, fault, () => root).catch(() => undefined)
      if (judged !== undefined) return true
    }
  }
  return false
}

/** Why a receipt must not be relied on, by what the party really did. */
function isTouched(
  { gateway, chain, signedAt, restarts }: Ended,
  bundle: Bundle.Bundle,
  own: readonly Uint8Array[],
  files: readonly Fault.Fault[],
): string | undefined {
  const { head } = bundle.receipt
  if (bundle.pledge === undefined) return 'nothing was pledged'
  const { leafIndex, issuedAtBlock } = Pledge.parse(bundle.pledge.words)
  const { leaves, steps } = chain.newest().state
  const leaf = leaves[Number(leafIndex)]
  if (leaf === undefined) return 'its entry is not anchored'
  if (!Bytes.equal(leaf, LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, head)))) return 'another leaf is anchored'
  const first = [...steps].filter(([size]) => size > leafIndex).map(([, { blockNumber }]) => blockNumber)
  const [anchoredAt = 0n] = first.sort((a, b) => (a < b ? -1 : 1))
  if (anchoredAt > issuedAtBlock + MirrorChain.pledgeBlocks) return 'it was anchored late'
  for (const [name, other] of gateway.heads) {
    if (!contradicts(head, other.head) && !contradicts(other.head, head)) continue
    // The client had both, or it has been up since the other was signed: nobody can look through a log that it did not read.
    const isSeen = own.some((one) => Bytes.equal(one, other.head)) || signedAt.get(name) === restarts
    if (isSeen) return 'its node has signed what contradicts it'
  }
  return files.some((file) => concerns(file, bundle)) ? 'its signers are convicted' : undefined
}

/** Another head in one place, or the later one with a wrong link. */
function contradicts(first: Uint8Array, second: Uint8Array): boolean {
  const [a, b] = [Head.parse(first), Head.parse(second)]
  if (a.keyEpoch !== b.keyEpoch) return false
  if (a.sequence === b.sequence) return !Bytes.equal(first, second)
  return b.sequence === a.sequence + 1n && !Bytes.equal(b.previous, Head.hash(crypto, first))
}

function concerns(fault: Fault.Fault, { keys }: Bundle.Bundle): boolean {
  switch (fault.class) {
    case 1:
    case 13:
      return hex(fault.evidence.publicKey) === hex(keys.node)
    case 2:
    case 3:
      return true
    case 5:
      return hex(fault.evidence.logId) === hex(logId)
    default:
      return false
  }
}
