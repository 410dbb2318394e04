/**
 * record-proofs.ts - writes vectors/absence.json: proofs of accounts and storage words, there and not there, as a development
 * chain gave them in answer to eth_getProof. Every run has other keys and so other bytes; what is recorded stays.
 *
 *     node scripts/record-proofs.ts
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Layout, Rpc } from 'assay/chain'
import { Bytes } from 'assay/protocol'
import { bondAtStart } from '../apps/node/src/settle/bond.ts'
import { trustAnchorsOf } from '../apps/node/src/settle/deploy.ts'
import { registerKey, registerLog, registerNode, roles } from '../apps/node/src/settle/register.ts'
import { newSigner, openScene, pledgeBlocks } from '../apps/node/src/settle/scene.ts'

type Answer = {
  readonly accountProof: readonly string[]
  readonly storageProof: readonly { readonly value: string; readonly proof: readonly string[] }[]
}

const scene = await openScene()
const { crypto, rpc, book, sender } = scene
const registrar = { crypto, rpc, sender, book }
const cases: object[] = []

/** Asks for words of one address in the newest block, and keeps header and answer as they are. */
async function record(name: string, address: Uint8Array, slots: readonly Uint8Array[]): Promise<void> {
  const header = await Rpc.newest(crypto, rpc)
  const block = `0x${header.number.toString(16)}`
  const answer = (await rpc.request('eth_getProof', [Bytes.to0x(address), slots.map(Bytes.to0x), block])) as Answer
  cases.push({
    name,
    header: Bytes.to0x(header.rlp),
    address: Bytes.to0x(address),
    account: answer.accountProof,
    storage: answer.storageProof.map(({ value, proof }, i) => ({
      slot: Bytes.to0x(slots[i] as Uint8Array),
      word: Bytes.to0x(Bytes.u256(BigInt(value))),
      proof,
    })),
  })
}

try {
  const { stake } = trustAnchorsOf(book)
  if (stake === undefined) throw new Error('the address book has no stake')
  const nodeId = await registerNode(registrar, { endpoint: 'http://127.0.0.1:1' })
  await registerKey(registrar, { nodeId, role: roles.node, signer: newSigner() })
  const ed25519Key = new Uint8Array(32).fill(7)
  const logId = await registerLog(registrar, { signer: newSigner(), ed25519Key, pledgeBlocks })
  const words = [nodeId, logId].flatMap((subject) => Layout.stakeSlots(crypto, subject))
  const slots = [Layout.stakeTermsSlot(), ...words]
  const cased = [0n, 1n, 2n].map(Bytes.u256).concat([nodeId, logId].map((id) => Layout.openCasesSlot(crypto, id)))
  await record('a stake manager where nothing is staked', stake.stakeManager.address, slots)
  await bondAtStart(registrar, [{ subject: nodeId, amount: 10n ** 20n }])
  await record('where the node is', stake.stakeManager.address, slots)
  await bondAtStart(registrar, [{ subject: logId, amount: 3n * 10n ** 20n }])
  await record('where node and log are', stake.stakeManager.address, slots)
  await record('cases of nobody', stake.faultCases.address, cased)
  await record('a court', stake.faultCourt.address, [...Layout.courtSlots(), Bytes.u256(99n)])
  await record('an account that has no storage', sender.address, [Bytes.u256(0n)])
  await record('no account', crypto.sha256(nodeId).slice(0, 20), [Bytes.u256(0n)])
} finally {
  await scene.close()
}
const lines = cases.map((item) => `    ${JSON.stringify(item)}`)
const description =
  'Answers to eth_getProof of a development chain (header and nodes as they came): words that are there and words that are not. A word of zero is a proof of absence; an address without an account has no storage to ask for.'
writeFileSync(
  join(import.meta.dirname, '../vectors/absence.json'),
  `{\n  "description": ${JSON.stringify(description)},\n  "spec": "spec/contracts.md section 5; spec/bundle.md section 1",\n  "cases": [\n${lines.join(',\n')}\n  ]\n}\n`,
)
console.log(`vectors/absence.json  ${cases.length} cases`)
