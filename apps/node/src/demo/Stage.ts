/**
 * Stage.ts - what a demonstration stands on: a development chain of its own with all contracts, a treasury that owns the tokens,
 * accounts with money, and blocks on demand. Everything lies in one folder that its caller throws away.
 */
import { join } from 'node:path'
import { AssayTokenContract, CourtCalls, Rpc } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes } from 'assay/protocol'
import { type DevelopmentChain, startAnvil } from '../settle/anvil.ts'
import { type ChainView, createChainView } from '../settle/chain-view.ts'
import { encode } from '../settle/contract-call.ts'
import { type AddressBook, deploy, developmentPledgeBlocks } from '../settle/deploy.ts'
import { createSender, type Sender } from '../settle/sender.ts'
import { fundOnDevelopmentChain, openWallet } from '../settle/wallet.ts'

/** Faster than a chain that people use, so that nobody waits for transactions; deadlines are counted in blocks all the same. */
const blockTimeSeconds = 0.25
const pollMs = 40

/** One account with money and tokens. */
export type Account = {
  /** 20 bytes. */
  readonly address: Uint8Array
  readonly sender: Sender
}

export type Stage = {
  readonly home: string
  readonly chain: DevelopmentChain
  readonly rpc: Rpc.Rpc
  readonly book: AddressBook
  readonly view: ChainView
  /** Opens the account of a folder, gives it money, and `tokens` (10^-18 ASY) from the treasury. */
  readonly account: (folder: string, tokens: bigint) => Promise<Account>
  readonly blockNumber: () => Promise<bigint>
  /** Blocks from a pledge to its deadline, and from there until it is missing, as the contracts have them. */
  readonly windows: () => Promise<{ readonly pledgeBlocks: bigint; readonly graceBlocks: bigint }>
  /** Makes blocks at once; this is the only waiting that the demonstration knows. */
  readonly mine: (blocks: bigint) => Promise<void>
  readonly close: () => Promise<void>
}

/** Starts a chain in `home` and deploys all contracts. */
export async function openStage(home: string, onEvent: (line: string) => void = () => {}): Promise<Stage> {
  const chain = await startAnvil({ home, blockTimeSeconds, onEvent })
  const senders: Sender[] = []
  let view: ChainView | undefined
  const close = async () => {
    for (const sender of senders) sender.close()
    await view?.stop()
    await chain.stop()
  }
  try {
    const rpc = Rpc.create({ url: chain.url, chainId: chain.chainId })
    const treasuryWallet = openWallet(join(home, 'treasury'))
    await fundOnDevelopmentChain(rpc, treasuryWallet)
    const treasury = createSender({ rpc, wallet: treasuryWallet, pollMs })
    senders.push(treasury)
    const book = await deploy({ home, crypto, rpc, sender: treasury, development: true })
    const token = book.stake.token.address
    view = createChainView({ crypto, rpc, book, pollMs: 100 })
    await view.refresh()
    const opened = view

    async function account(folder: string, tokens: bigint): Promise<Account> {
      const wallet = openWallet(folder)
      await fundOnDevelopmentChain(rpc, wallet)
      const sender = createSender({ rpc, wallet, pollMs })
      senders.push(sender)
      if (tokens > 0n) {
        const args = [Bytes.to0x(wallet.address), tokens] as const
        const data = encode({ abi: AssayTokenContract.abi, functionName: 'transfer', args })
        await treasury.send({ to: token, data })
      }
      return { address: wallet.address, sender }
    }

    return {
      ...{ home, chain, rpc, book, view: opened, account, close },
      blockNumber: async () => BigInt((await rpc.request('eth_blockNumber')) as string),
      async windows() {
        const { graceBlocks } = await CourtCalls.windows(rpc, book.stake.faultCourt.address)
        return { graceBlocks, pledgeBlocks: developmentPledgeBlocks }
      },
      async mine(blocks) {
        // In pieces: a chain that works for seconds on one request looks dead to its supervisor.
        for (let left = blocks; left > 0n; left -= 200n) {
          const piece = left > 200n ? 200n : left
          await rpc.request('anvil_mine', [`0x${piece.toString(16)}`, '0x0'])
        }
        await opened.refresh()
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}
