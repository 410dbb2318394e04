/**
 * policies.ts - the four policies that come with Assay, as data. Source: spec/verdict.md section 4.
 *
 * Their hashes are fixed in `vectors/policies.json`: changing one is a change of the protocol.
 */
import type { Policy, Requirement } from './Policy.ts'

const recordedRequirements: readonly Requirement[] = [
  { disclosed: { backing: ['signed'] } },
  { anchoring: 'pledged' },
  { anchoring: 'included' },
  { anchoring: 'anchored' },
]

const completed: Requirement = { proposition: 'outcome', field: 'finish', value: { oneOf: ['stop', 'length'] } }

const beyondSigned = ['attested', 'reexecuted', 'chainChecked'] as const

/** Signed by a registered key, pledged, included and anchored; says nothing about how the answer came about. */
export const recorded: Policy = {
  name: 'recorded',
  requirements: { allOf: recordedRequirements },
  forbid: [],
  accept: [],
}

/** `recorded`, and a stake behind it. */
export const bonded: Policy = {
  name: 'bonded',
  requirements: { allOf: [...recordedRequirements, { consequence: 'bonded' }] },
  forbid: [],
  accept: [],
}

/** For the network that one machine runs for itself: relies by name on one operator and on the rule `development`. */
export const embedded: Policy = {
  name: 'embedded',
  requirements: {
    allOf: [
      ...recordedRequirements,
      { proposition: 'ordered', backing: ['recomputed'] },
      completed,
      { anchoring: 'final' },
      { operator: 'reader' },
    ],
  },
  forbid: [],
  accept: ['simulated', 'srs:local-insecure'],
}

/** The default everywhere. */
export const strict: Policy = {
  name: 'strict',
  requirements: {
    allOf: [
      ...recordedRequirements,
      { proposition: 'ordered', backing: ['recomputed'] },
      { proposition: 'effectiveRequest', field: 'rewrites', value: { subsetOf: 'reader' } },
      completed,
      { proposition: 'exposure', visibility: 'disclosed' },
      // Without it the list of rewrites is only the node's word, and an injected text that it leaves out would pass.
      { proposition: 'prepared', backing: beyondSigned },
      { proposition: 'executed', backing: beyondSigned },
      { proposition: 'rendered', backing: beyondSigned },
      { witnessedBy: 'reader', k: 1 },
      { distinctOperators: ['node', 'log'] },
      { anchoring: 'final' },
      { consequence: 'bonded' },
    ],
  },
  // One endpoint is one party's word about what is final, like one sequencer's.
  forbid: [
    ...['simulated', 'simulated:*', 'srs:local-*', 'chain:development:*', 'chain:quorum:1/1:*'],
    ...['debug', 'debug:*', 'revoked:*'],
  ],
  accept: [],
}

/** By name. */
export const builtIn: Readonly<Record<string, Policy>> = { strict, recorded, bonded, embedded }
