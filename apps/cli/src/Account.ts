/**
 * Account.ts - the account that pays for this person's transactions: `HOME/client/reporter.key`. On a development chain it is
 * given coin when it has none; elsewhere its address is told, to be funded.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fundOnDevelopmentChain, openWallet, type Wallet } from '@assay/node/settle/wallet'
import { type Rpc, Sender } from 'assay/chain'
import { Bytes, errors } from 'assay/protocol'
import type * as Home from './Home.ts'
import type { Terminal } from './Terminal.ts'

const keyName = 'reporter.key'

/** An account that can pay, made the first time; throws `Sender.NoCoinError` with the address to fund. */
export async function open(home: Home.Home, rpc: Rpc.Rpc, terminal: Terminal): Promise<Sender.Sender> {
  const isNew = !existsSync(join(home.clientFolder, keyName))
  const wallet = openWallet(home.clientFolder, keyName)
  if (isNew) terminal.say(`made an account for transactions: ${Bytes.to0x(wallet.address)}`)
  if (await fund(rpc, wallet)) terminal.say('a development chain: the account was given coin')
  return Sender.create({ rpc, account: wallet.account })
}

/** The same account, looked at when the first transaction is sent and not before; says nothing. */
export function openLater(home: Home.Home, rpc: Rpc.Rpc): Sender.Sender {
  const wallet = openWallet(home.clientFolder, keyName)
  const sender = Sender.create({ rpc, account: wallet.account })
  return {
    ...sender,
    // Also what is only tried needs the coin that goes with it.
    call: async (call, assumed) => {
      if ((call.value ?? 0n) > 0n) await fund(rpc, wallet)
      return sender.call(call, assumed)
    },
    send: async (call) => {
      await fund(rpc, wallet)
      return sender.send(call)
    },
  }
}

/** Says whether coin was given. */
async function fund(rpc: Rpc.Rpc, wallet: Wallet): Promise<boolean> {
  const address = Bytes.to0x(wallet.address)
  if (BigInt((await rpc.request('eth_getBalance', [address, 'latest'])) as string) > 0n) return false
  try {
    await fundOnDevelopmentChain(rpc, wallet)
    return true
  } catch (error) {
    if (!errors.BaseError.isInstance(error) || error.code !== 'rpc-refused') throw error
    throw new Sender.NoCoinError(address)
  }
}
