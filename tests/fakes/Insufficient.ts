/** Insufficient.ts - true bundles that do not meet a policy for one reason each; used by tests and written to vectors/verdict.json. */
import type * as Policy from '../../src/verify/Policy.ts'
import { embedded, strict } from '../../src/verify/policies.ts'
import type * as Reader from '../../src/verify/Reader.ts'
import * as World from './World.ts'

/** What is changed in the world or in the reader, the requirement that is then not met, and why. */
export const insufficient: {
  what: string
  changes?: World.Changes
  reader?: (reader: Reader.Reader) => Reader.Reader
  requirement: string
  because: RegExp
  policy?: Policy.Policy
}[] = [
  {
    what: 'a header that the reader did not see',
    reader: (reader) => ({ ...reader, anchors: reader.anchors.map((entry) => ({ ...entry, headers: [] })) }),
    requirement: 'anchoring: anchored',
    because: /no trusted header/,
  },
  {
    what: 'another code under the registry',
    changes: { registryCode: World.digestOf('other code') },
    requirement: 'anchoring: anchored',
    because: /other contract code/,
  },
  {
    what: 'another chain',
    reader: (reader) => ({ ...reader, anchors: reader.anchors.map((entry) => ({ ...entry, chainId: 1n })) }),
    requirement: 'anchoring: anchored',
    because: /no trusted header/,
  },
  {
    what: 'other contracts',
    reader: (reader) => ({
      ...reader,
      anchors: reader.anchors.map((entry) => ({
        ...entry,
        anchorLog: { ...entry.anchorLog, address: new Uint8Array(20) },
      })),
    }),
    requirement: 'anchoring: anchored',
    because: /contracts/,
  },
  {
    what: 'a key registered as a witness',
    changes: { keyRecord: { role: 3 } },
    requirement: 'every disclosed slot: backing signed',
    because: /another role/,
  },
  {
    what: 'a key registered after the anchor',
    changes: { keyRecord: { validFrom: 106n } },
    requirement: 'every disclosed slot: backing signed',
    because: /registered after/,
  },
  {
    what: 'a key ended before the anchor',
    changes: { keyRecord: { validUntil: 105n } },
    requirement: 'every disclosed slot: backing signed',
    because: /had ended/,
  },
  {
    what: 'an anchor after the deadline',
    changes: { logRecord: { pledgeBlocks: 4n } },
    requirement: 'anchoring: pledged',
    because: /deadline/,
  },
  {
    what: 'an anchor before the pledge',
    changes: { pledge: { issuedAtBlock: 106n } },
    requirement: 'anchoring: pledged',
    because: /older than the pledge/,
  },
  {
    what: 'an operator that the reader did not name',
    reader: (reader) => ({ ...reader, operators: [World.logOperator] }),
    policy: embedded,
    requirement: 'operator named by the reader',
    because: /not one/,
  },
  {
    what: 'no operator named',
    reader: (reader) => ({ ...reader, operators: [] }),
    policy: embedded,
    requirement: 'operator named by the reader',
    because: /name an operator/,
  },
  {
    what: 'no witness named',
    reader: (reader) => ({ ...reader, witnesses: [] }),
    policy: strict,
    requirement: 'witnessed by 1 that the reader named',
    because: /name a witness or log/,
  },
  {
    what: 'a stranger as witness',
    changes: { cosignSigner: World.signers.stranger },
    policy: strict,
    requirement: 'witnessed by 1 that the reader named',
    because: /0 of 1/,
  },
  {
    what: 'one operator for node and log',
    changes: { logRecord: { operator: World.nodeOperator } },
    policy: strict,
    requirement: 'node and log of different operators',
    because: /one operator|not both proven/,
  },
  {
    what: 'exposure outside the terms',
    changes: {
      claims: {
        exposure: {
          saw: [{ party: 'node', what: ['request'], why: 'x', retentionSeconds: 601 }],
          retentionSeconds: 601,
        },
      },
    },
    policy: embedded,
    requirement: 'ordered: backing recomputed',
    because: /outside the order/,
  },
  {
    what: 'a price that this version can not read',
    changes: { claims: { price: World.digestOf('price') } },
    policy: embedded,
    requirement: 'ordered: backing recomputed',
    because: /prices are not read/,
  },
]
