/** anchor.bench.ts - gas of one anchoring step at 100,000 leaves, as a transaction on a chain and not as an estimate. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AnchorLogContract as AnchorLog, Layout } from 'assay/chain'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Bytes, Checkpoint, Cose, Identity } from 'assay/protocol'
import * as Anvil from '../contracts/driver/Anvil.ts'
import * as Measure from './Measure.ts'
import * as Result from './Result.ts'

type State = { readonly size: number; readonly root: Anvil.Hex }
type Fixture = State & { readonly from: Readonly<Record<string, State & { readonly proof: readonly Anvil.Hex[] }>> }

const chainId = 31_337n
const contracts = join(import.meta.dirname, '..', 'contracts')
const readJson = (path: string): unknown => JSON.parse(readFileSync(join(contracts, path), 'utf8'))
const snapshotNames: Readonly<Record<string, string>> = {
  ...{ one: 'by 1 leaf', thousand: 'by 1000 leaves', tenThousand: 'by 10000 leaves', longest: 'longest proof' },
}

export const run: Result.Suite = async () => {
  const fixture = readJson('test/fixtures/anchor-100000.json') as Fixture
  const snapshot = readJson('snapshots/AnchorLog.json') as Readonly<Record<string, string>>
  const chain = await Anvil.start('osaka')
  try {
    const address = await chain.deploy(AnchorLog, [600n])
    const results: Result.Result[] = []
    for (const [number, [name, from]] of Object.entries(fixture.from).entries()) {
      const { value: gas, cpu, wall } = await Measure.once(() => anchorTwice(chain, address, number, from, fixture))
      const title = snapshotNames[name] ?? name
      results.push(
        Result.of({
          ...{ name: `anchor at 100,000 leaves, ${title}`, unit: 'gas', value: Number(gas), goal: { atMost: 120_000 } },
          ...{ input: `from ${from.size}, ${from.proof.length} hashes of proof, P-256 precompile` },
          timing: Result.timing([{ cpu, wall }]),
          note: `forge says ${snapshot[`anchor at 100000: ${title}`] ?? 'nothing'}; times are of register and two anchors`,
        }),
      )
    }
    return results
  } finally {
    await chain.stop()
  }
}

/** Registers a log of its own, anchors where it comes from, and gives the gas of the step to the full size. */
async function anchorTwice(
  chain: Anvil.Chain,
  contract: Anvil.Hex,
  number: number,
  from: State & { readonly proof: readonly Anvil.Hex[] },
  to: State,
): Promise<bigint> {
  const signer = createP256Signer(new Uint8Array(32).fill(20 + number))
  const anchorLog = Bytes.from0x(contract)
  const operator = Bytes.from0x(chain.accounts[0] as Anvil.Hex)
  const slot = Bytes.to0x(Layout.instanceSlot())
  const instance = Bytes.from0x(await chain.request<Anvil.Hex>('eth_getStorageAt', [contract, slot, 'latest']))
  const logId = Identity.logId(crypto, { chainId, anchorLog, instance, operator, n: BigInt(number) })
  const key = { chainId, contract: anchorLog, subject: logId, role: Identity.roles.log, publicKey: signer.publicKey }
  const possession = await Cose.sign(crypto, signer, 'key', Identity.keyStatement(crypto, key))
  const [x, y] = [signer.publicKey.subarray(0, 32), signer.publicKey.subarray(32)].map(Bytes.to0x)
  const send = async (functionName: string, args: readonly unknown[]) => {
    const mined = await chain.send(contract, AnchorLog.abi, functionName, args)
    if (!mined.succeeded) throw new Error(`${functionName} was reverted`)
    return mined.gasUsed
  }
  const step = async ({ size, root }: State, consistencyProof: readonly Anvil.Hex[]) => {
    const words = Checkpoint.words({ chainId, anchorLog, logId, size: BigInt(size), root: Bytes.from0x(root) })
    const signature = await Cose.sign(crypto, signer, 'checkpoint', Checkpoint.payload(crypto, words))
    return { size: BigInt(size), root, signature: Bytes.to0x(signature), consistencyProof }
  }
  await send('register', [x, y, Bytes.to0x(new Uint8Array(32)), 600n, Bytes.to0x(possession)])
  await send('anchor', [Bytes.to0x(logId), [await step(from, [])]])
  return send('anchor', [Bytes.to0x(logId), [await step(to, from.proof)]])
}
