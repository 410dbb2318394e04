/** Stake.ts - contracts of stake for the world in memory: their storage words, and the proofs of them for a bundle. */
import { Layout, type StakePiece, type TrustAnchors } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes } from 'assay/protocol'
import type { Account, State } from './Trie.ts'

const digestOf = (name: string): Uint8Array => crypto.sha256(Bytes.fromUtf8(name))
const contractOf = (name: string): TrustAnchors.Contract => ({
  address: digestOf(name).slice(0, 20),
  codeHash: crypto.keccak256(Bytes.fromUtf8(`${name} code`)),
})

export const contracts: TrustAnchors.StakeContracts = {
  stakeManager: contractOf('stake manager'),
  faultCourt: contractOf('fault court'),
  faultCases: contractOf('fault cases'),
}
/** One token, in its units. */
export const token = 10n ** 18n

/** What is staked on one subject; amounts in shares, which are token units as long as the index is 10^18. */
export type Staked = {
  readonly self: bigint
  readonly delegated: bigint
  readonly retiredAtBlock: bigint
  readonly index: bigint
  readonly endedAtBlock: bigint
  readonly selfUnbonding: bigint
  readonly delegatedUnbonding: bigint
  readonly operator: Uint8Array
  readonly extraPledgeBlocks: bigint
  readonly openCases: number
}

/** What a test may change; every field has a true default. */
export type Changes = {
  readonly node?: Partial<Staked>
  readonly log?: Partial<Staked>
  readonly unbondBlocks?: bigint
  /** In the order of FaultCourt's word. */
  readonly percents?: readonly number[]
  /** What the contracts name as each other. */
  readonly court?: Uint8Array
  readonly managerOfCourt?: Uint8Array
  readonly casesOfCourt?: Uint8Array
  /** What the piece itself has; the state is as it is. */
  readonly codeHashes?: Partial<Record<keyof TrustAnchors.StakeContracts, Uint8Array>>
  /** Words as they are, by name of the subject and number of the word. */
  readonly words?: Partial<Record<'node0' | 'node1' | 'node2' | 'node5' | 'log0' | 'log1' | 'log2' | 'log5', bigint>>
}

const nothing = {
  ...{ delegated: 0n, retiredAtBlock: 0n, index: token, endedAtBlock: 0n, selfUnbonding: 0n },
  ...{ delegatedUnbonding: 0n, extraPledgeBlocks: 0n, openCases: 0 },
}

/** The subjects of the world, with identifiers of 32 bytes and operators of 20. */
export type Subjects = Record<'node' | 'log', { readonly id: Uint8Array; readonly operator: Uint8Array }>

const names = ['node', 'log'] as const
const packed = (...parts: readonly (readonly [value: bigint, shift: bigint])[]) =>
  parts.reduce((word, [value, shift]) => word | (value << shift), 0n)
const numberOf = (address: Uint8Array) => Bytes.toBigInt(address)

function wordsOf(staked: Staked): readonly [bigint, bigint, bigint, bigint] {
  return [
    packed([staked.self, 0n], [staked.delegated, 96n], [staked.retiredAtBlock, 192n]),
    packed([staked.index, 0n], [staked.endedAtBlock, 216n]),
    packed([staked.selfUnbonding, 0n], [staked.delegatedUnbonding, 96n]),
    packed([numberOf(staked.operator), 0n], [staked.extraPledgeBlocks, 160n]),
  ]
}

/** The three contracts with their words; words of zero are left out, as in any state. */
export function accounts(subjects: Subjects, changes: Changes): Account[] {
  const percents = changes.percents ?? [100, 100, 100, 1, 100, 100, 100, 100, 20, 5, 25, 20]
  const storages = { stakeManager: new Map(), faultCourt: new Map(), faultCases: new Map() } as const
  const put = (contract: keyof typeof storages, slot: Uint8Array, word: bigint) => {
    if (word !== 0n) storages[contract].set(Bytes.toHex(slot), Bytes.u256(word))
  }
  const { stakeManager, faultCourt, faultCases } = contracts
  const court = changes.court ?? faultCourt.address
  const unbondBlocks = changes.unbondBlocks ?? 2_800n
  put('stakeManager', Layout.stakeTermsSlot(), packed([numberOf(court), 0n], [unbondBlocks, 160n], [20n, 224n]))
  const [penalties, cases] = Layout.courtSlots()
  const manager = numberOf(changes.managerOfCourt ?? stakeManager.address)
  put(
    'faultCourt',
    penalties,
    percents.reduce((word, value, i) => word | (BigInt(value) << BigInt(160 + 8 * i)), manager),
  )
  put(
    'faultCourt',
    cases,
    packed([numberOf(changes.casesOfCourt ?? faultCases.address), 0n], [600n, 160n], [10n ** 6n, 192n]),
  )
  for (const name of names) {
    const { id, operator } = subjects[name]
    const staked: Staked = { self: 100_000n * token, ...nothing, operator, ...changes[name] }
    const slots = Layout.stakeSlots(crypto, id)
    for (const [i, word] of wordsOf(staked).entries())
      put('stakeManager', slots[i] as Uint8Array, changes.words?.[`${name}${[0, 1, 2, 5][i] as 0 | 1 | 2 | 5}`] ?? word)
    put('faultCases', Layout.openCasesSlot(crypto, id), BigInt(staked.openCases))
  }
  return (['stakeManager', 'faultCourt', 'faultCases'] as const).map((name) => ({
    address: contracts[name].address,
    codeHash: changes.codeHashes?.[name] ?? contracts[name].codeHash,
    storage: storages[name],
  }))
}

/** The proofs as they stand in a bundle. */
export async function piece(state: State, subjects: Subjects): Promise<StakePiece.StakePiece> {
  const { stakeManager, faultCourt, faultCases } = contracts
  const ofSubject = async (name: (typeof names)[number]) => {
    const [slot0, slot1, slot2, slot5] = Layout.stakeSlots(crypto, subjects[name].id)
    return {
      word0: await state.storage(stakeManager.address, slot0),
      word1: await state.storage(stakeManager.address, slot1),
      word2: await state.storage(stakeManager.address, slot2),
      word5: await state.storage(stakeManager.address, slot5),
      openCases: await state.storage(faultCases.address, Layout.openCasesSlot(crypto, subjects[name].id)),
    }
  }
  const of = async (contract: TrustAnchors.Contract) => ({
    address: contract.address,
    account: await state.account(contract.address),
  })
  const [penalties, cases] = Layout.courtSlots()
  return {
    stakeManager: {
      ...(await of(stakeManager)),
      terms: await state.storage(stakeManager.address, Layout.stakeTermsSlot()),
    },
    faultCourt: {
      ...(await of(faultCourt)),
      penalties: await state.storage(faultCourt.address, penalties),
      cases: await state.storage(faultCourt.address, cases),
    },
    faultCases: await of(faultCases),
    node: await ofSubject('node'),
    log: await ofSubject('log'),
  }
}
