/** Found.ts - what lies in a client's stores of faults and cases, read as anybody would read it. */
import { join } from 'node:path'
import { Bytes, errors, Fault, Pledge } from 'assay/protocol'
import type { Reader } from './Readers.ts'

/** One piece of evidence: the class byte of its fault id, whom it accuses, its name for people and its file. */
export type Evidence = {
  readonly class: number
  readonly subject: string
  readonly name: string
  readonly file: string
}

/** All of them: fault files first, then cases that were opened on chain. */
export async function evidence({ faults, cases, folder }: Pick<Reader, 'faults' | 'cases' | 'folder'>) {
  const found: Evidence[] = []
  for (const id of await faults.list('all')) {
    const loaded = await faults.load(id)
    if (loaded === undefined) continue
    try {
      const fault = Fault.parse(loaded.file)
      const file = join(folder, 'faults', `${id}.fault`)
      found.push({ ...accused(fault), file, name: `${id.slice(0, 12)}...fault, ${loaded.file.length} bytes` })
    } catch (error) {
      if (!errors.BaseError.isInstance(error)) throw error
    }
  }
  for (const caseId of await cases.list()) {
    const state = await cases.load(caseId)
    if (state === undefined) continue
    const file = join(folder, 'cases', `${caseId}.case`)
    found.push({
      class: state.class,
      subject: Bytes.to0x(state.subject),
      file,
      name: `case ${caseId.slice(0, 12)}.. on chain`,
    })
  }
  return found
}

/** Bonds of a client's cases of one class: what was sent and what came back, wei; rewards of what expired, token units. */
export type Bonds = { readonly sent: bigint; readonly back: bigint; readonly reward: bigint }

export const noBonds: Bonds = { sent: 0n, back: 0n, reward: 0n }

/** Adds up the cases of one class that came to be. */
export async function bonds({ cases }: Pick<Reader, 'cases'>, faultClass: number): Promise<Bonds> {
  let sum = noBonds
  for (const caseId of await cases.list()) {
    const state = await cases.load(caseId)
    if (state?.class !== faultClass || state.stage === 'opening' || state.stage === 'failed') continue
    const { bond, reward = 0n } = state
    const back = state.isPaid === true ? { back: sum.back + bond, reward: sum.reward + reward } : {}
    sum = { ...sum, sent: sum.sent + bond, ...back }
  }
  return sum
}

function accused(fault: Fault.Fault): Pick<Evidence, 'class' | 'subject'> {
  switch (fault.class) {
    case 1:
    case 13:
      // By offset: a head with unknown bits accuses as well.
      return { class: fault.class, subject: Bytes.to0x(fault.evidence.headB.subarray(29, 61)) }
    case 2:
    case 5:
      return { class: fault.class, subject: Bytes.to0x(fault.evidence.logId) }
    case 3:
      return { class: 3, subject: Bytes.to0x(Pledge.parse(fault.evidence.pledge).logId) }
    case 4:
      return { class: fault.evidence.missing ? 104 : 4, subject: Bytes.to0x(Pledge.parse(fault.evidence.pledge).logId) }
    case 6:
      return { class: 6, subject: Bytes.to0x(fault.evidence.nodeId) }
  }
}
