/** foreign-chain.t.ts - for tests: a chain that is nobody's embedded one, with other rules, and money only for those who are given some. */
import { spawn } from 'node:child_process'
import { Rpc } from 'assay/chain'
import { Bytes } from 'assay/protocol'
import { findAnvil } from './anvil-binary.ts'

export type ForeignChain = {
  readonly url: string
  readonly chainId: bigint
  readonly rpc: Rpc.Rpc
  /** Sends ten ether to an account, 20 bytes. */
  readonly fund: (address: Uint8Array) => Promise<void>
  /** Makes blocks, two seconds from one to the next. */
  readonly mine: (blocks: number) => Promise<void>
  readonly stop: () => Promise<void>
}

/** Starts it on a free port of the loopback; `prague` and `cancun` have no P-256 precompile. A block a transaction. */
export async function startForeignChain(
  options: { readonly hardfork?: 'osaka' | 'prague' | 'cancun'; readonly chainId?: bigint } = {},
): Promise<ForeignChain> {
  const chainId = options.chainId ?? 77n
  const child = spawn(
    findAnvil(),
    [
      ...[
        '--host',
        '127.0.0.1',
        '--port',
        '0',
        '--hardfork',
        options.hardfork ?? 'osaka',
        '--chain-id',
        String(chainId),
      ],
      ...['--slots-in-an-epoch', '1', '--accounts', '1', '--block-time', '0.2'],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const url = await new Promise<string>((resolve, reject) => {
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk
      const [, address] = /Listening on (127\.0\.0\.1:\d+)/.exec(output) ?? []
      if (address !== undefined) resolve(`http://${address}`)
    })
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`the chain ended with ${code} before it listened`)))
  })
  const rpc = Rpc.create({ url, chainId })
  return {
    ...{ url, chainId, rpc },
    fund: async (address) => {
      const [from] = (await rpc.request('eth_accounts')) as string[]
      const hash = await rpc.request('eth_sendTransaction', [
        { from, to: Bytes.to0x(address), value: `0x${(10n ** 19n).toString(16)}` },
      ])
      while ((await rpc.request('eth_getTransactionReceipt', [hash])) === null) await rpc.request('evm_mine')
    },
    mine: async (blocks) => void (await rpc.request('anvil_mine', [`0x${blocks.toString(16)}`, '0x2'])),
    stop: async () => {
      child.kill('SIGTERM')
      await ended
    },
  }
}
