/**
 * Writes vectors/policies.json (the built-in policies as data with their hashes, and data that is no policy) and
 * vectors/verdict.json (bundles, what the reader trusts, and the outcome under a policy). Keys and signatures are deterministic.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { TrustAnchors } from 'assay/chain'
import { crypto } from 'assay/crypto/noble'
import { Bundle, Bytes } from 'assay/protocol'
import { Policy, policies, Reader, Verdict } from 'assay/verify'
import { cases as broken, type Mutable } from '../tests/fakes/Broken.ts'
import { insufficient } from '../tests/fakes/Insufficient.ts'
import { cases as staked } from '../tests/fakes/Staked.ts'
import * as World from '../tests/fakes/World.ts'

const root = join(import.meta.dirname, '..')
const json = (data: unknown) => `${JSON.stringify(data, null, 1)}\n`

const noPolicies: readonly { readonly name: string; readonly policy: unknown }[] = [
  { name: 'an unknown key', policy: { ...policies.recorded, lax: true } },
  { name: 'no requirements', policy: { ...policies.recorded, requirements: { allOf: [] } } },
  {
    name: 'k of none',
    policy: { ...policies.recorded, requirements: { kOf: { k: 0, of: [{ anchoring: 'final' }] } } },
  },
  { name: 'an unknown fact', policy: { ...policies.recorded, requirements: { anchoring: 'settled' } } },
  {
    name: 'a proposition without a demand',
    policy: { ...policies.recorded, requirements: { proposition: 'executed' } },
  },
  {
    name: 'a backing of relations asked of a slot',
    policy: { ...policies.recorded, requirements: { proposition: 'model', backing: ['recomputed'] } },
  },
  {
    name: 'the backing none',
    policy: { ...policies.recorded, requirements: { proposition: 'model', backing: ['none'] } },
  },
  { name: 'a star in the middle', policy: { ...policies.recorded, forbid: ['chain:*:31337'] } },
  { name: 'an unknown kind of assumption', policy: { ...policies.recorded, accept: ['trustme'] } },
  { name: 'an operator in mixed case', policy: { ...policies.recorded, forbid: [`operator:0x${'aB'.repeat(20)}`] } },
  { name: 'half a key', policy: { ...policies.recorded, forbid: ['key:00'] } },
  {
    name: "parties by the reader's list of rewrites",
    policy: {
      ...policies.recorded,
      requirements: { proposition: 'exposure', field: 'parties', value: { subsetOf: 'reader' } },
    },
  },
  { name: 'no forbid list', policy: { name: 'x', requirements: { anchoring: 'final' }, accept: [] } },
]

/** The code with which reading the data fails. */
function codeOf(data: unknown): string {
  try {
    Policy.parse(data)
  } catch (error) {
    return (error as { code: string }).code
  }
  throw new Error('The data is a policy.')
}

/** What the generator would write now, by path from the project's root. */
export async function outputs(): Promise<Record<string, string>> {
  const builtIn = Object.values(policies.builtIn).map((policy) => ({
    name: policy.name,
    hash: Bytes.toHex(Policy.hash(crypto, policy)),
    policy,
  }))
  return {
    'vectors/policies.json': json({
      description:
        'Built-in policies and their hashes (SHA-256 of the dCBOR with text keys), and data that is no policy.',
      spec: 'spec/verdict.md section 4',
      cases: [...builtIn, ...noPolicies.map((item) => ({ ...item, mustFail: codeOf(item.policy) }))],
    }),
    'vectors/verdict.json': json({
      description:
        'Verdicts. `bundle` is base64; `reader` names trust anchors (file form), witnesses (keyIds), operators, rewrites and, where it has one, the newest block of a view without hashes; `policy` is a built-in name or a policy. `outcome`, and for INVALID the step, for INSUFFICIENT the first requirement that is not met. Cases about stake have the consequence.',
      spec: 'spec/verdict.md',
      cases: await verdicts(),
    }),
  }
}

async function verdicts(): Promise<object[]> {
  const result: object[] = []
  const add = async (
    name: string,
    bundle: Uint8Array,
    reader: Reader.Reader,
    policy: Policy.Policy,
    withStake = false,
  ) => {
    const verdict = await Verdict.verify(World.crypto, { bundle, reader, policy })
    const { outcome, step, requirements, consequence, consequenceBecause } = verdict
    const open = requirements.find((entry) => entry.status !== 'MET')
    const { view } = reader
    result.push({
      name,
      policy: policies.builtIn[policy.name] === policy ? policy.name : policy,
      reader: {
        anchors: JSON.parse(TrustAnchors.serialize(reader.anchors)),
        witnesses: reader.witnesses.map(Bytes.toHex),
        operators: reader.operators.map(Bytes.to0x),
        rewrites: reader.rewrites,
        ...(view === undefined ? {} : { view: { chainId: String(view.chainId), newest: String(view.newest) } }),
      },
      bundle: Bytes.toBase64(bundle),
      outcome,
      ...(step === undefined ? {} : { step, mustFail: step }),
      ...(outcome === 'INSUFFICIENT' && open !== undefined ? { open: open.requirement } : {}),
      ...(withStake ? { consequence, consequenceBecause } : {}),
    })
  }
  const world = await World.create()
  for (const policy of Object.values(policies.builtIn))
    await add(`a whole bundle under ${policy.name}`, world.bytes, world.reader, policy)
  await add('a whole bundle, for a reader who trusts nothing', world.bytes, Reader.nobody, policies.recorded)
  for (const { what, changes, reader, policy } of insufficient) {
    const changed = await World.create(changes)
    await add(
      what,
      changed.bytes,
      reader === undefined ? changed.reader : reader(changed.reader),
      policy ?? policies.recorded,
    )
  }
  for (const { step, what, changes, change } of broken) {
    const changed = await World.create(changes)
    const bundle: Mutable = { ...changed.bundle }
    change?.(bundle)
    await add(`${step}: ${what}`, Bundle.serialize(bundle as Bundle.Bundle), changed.reader, policies.recorded)
  }
  for (const { what, changes, reader, policy } of staked) {
    const changed = await World.create(changes)
    const seenBy = reader?.(changed.reader) ?? changed.reader
    await add(`stake: ${what}`, changed.bytes, seenBy, policy ?? policies.bonded, true)
  }
  return result
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  for (const [path, text] of Object.entries(await outputs())) writeFileSync(join(root, path), text)
