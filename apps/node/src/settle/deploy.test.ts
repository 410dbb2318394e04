/** Contracts are created once, whatever cuts a start off and whoever else sends; and those of others are taken only as they are. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { AssayTokenContract, FaultCourtContract, Rpc, StakeManagerContract } from 'assay/chain'
import { Bytes } from 'assay/protocol'
import {
  type AddressBook,
  assertStake,
  readAddressBook,
  type StoredBook,
  serializeAddressBook,
} from './address-book.ts'
import { bondAmount, bondAtStart, describe as describeBonds, inTokens, readBond } from './bond.ts'
import { encode, read } from './contract-call.ts'
import { deploy, trustAnchorsOf } from './deploy.ts'
import { development, measureBlockTime, penalties, production } from './parameters.ts'
import { findP256 } from './precompile.ts'
import { registerLog, registerNode, subjectsOf } from './register.ts'
import { newSigner, openProxy, openScene, pledgeBlocks } from './scene.ts'
import { createSender, type Sender } from './sender.ts'
import { fundOnDevelopmentChain, openWallet } from './wallet.ts'

let scene: Awaited<ReturnType<typeof openScene>>
let homes = 0
before(async () => {
  scene = await openScene({ blockTimeSeconds: 0.2 })
})
after(() => scene.close())

/** A home with an operator of its own on the shared chain. */
async function newOperator() {
  const { crypto, rpc } = scene
  const home = join(scene.home, `operator-${homes++}`)
  const wallet = openWallet(home)
  await fundOnDevelopmentChain(rpc, wallet)
  const sender = createSender({ rpc, wallet, pollMs: 20 })
  const deployWith = (changes: Partial<Parameters<typeof deploy>[0]> = {}) =>
    deploy({ ...{ home, crypto, rpc, sender, development: false, blockTimeMs: 1000 }, ...changes })
  const nonce = async () =>
    BigInt((await rpc.request('eth_getTransactionCount', [Bytes.to0x(wallet.address), 'latest'])) as string)
  const path = join(home, 'chain', 'addresses.json')
  return { home, wallet, sender, deployWith, nonce, path }
}

const nothing = (operator: { wallet: { address: Uint8Array } }) => ({
  to: operator.wallet.address,
  data: new Uint8Array(),
})
const isSound = (book: AddressBook) => assertStake(scene.crypto, scene.rpc, book, book.stake, 'book')

/** A sender that breaks at its `at`-th creation without a recipient, before or after that one is in a block. */
function breaking(sender: Sender, at: number, when: 'before' | 'after', also?: () => Promise<unknown>): Sender {
  let creations = 0
  return {
    ...sender,
    send: async (call) => {
      if (call.to !== undefined || creations++ !== at) return sender.send(call)
      if (when === 'after') await sender.send(call)
      await also?.()
      throw new Error('cut off')
    },
  }
}

describe('deployment that is cut off', () => {
  for (const at of [0, 1, 2])
    for (const when of ['before', 'after'] as const)
      test(`${when} creation ${at} of the group goes on where it stands`, async () => {
        const operator = await newOperator()
        await assert.rejects(operator.deployWith({ sender: breaking(operator.sender, at, when) }), /cut off/)
        assert.equal(readAddressBook(operator.home), undefined)
        const book = await operator.deployWith()
        await isSound(book)
        // Timelock, token and three more: nothing was created twice. The two registries are everybody's.
        assert.ok((await operator.nonce()) <= 7n, String(await operator.nonce()))
        const nonce = await operator.nonce()
        assert.deepEqual(await operator.deployWith(), book)
        assert.equal(await operator.nonce(), nonce)
      })

  test('between a group and its end another transaction makes it begin anew', async () => {
    const operator = await newOperator()
    await assert.rejects(operator.deployWith({ sender: breaking(operator.sender, 1, 'after') }), /cut off/)
    const half = await operator.nonce()
    await operator.sender.send(nothing(operator))
    await isSound(await operator.deployWith())
    assert.equal(await operator.nonce(), half + 1n + 3n)
  })

  test('another transaction in the very middle is noticed, not only after a restart', async () => {
    for (const development of [false, true]) {
      const operator = await newOperator()
      let creations = 0
      const sender: Sender = {
        ...operator.sender,
        send: async (call) => {
          if (call.to === undefined && creations++ === 1) void operator.sender.send(nothing(operator))
          return operator.sender.send(call)
        },
      }
      const book = await operator.deployWith({ sender, development })
      await isSound(book)
    }
  })

  test('a lost address book is found again, and so are blocks that the chain forgot', async () => {
    const operator = await newOperator()
    const book = await operator.deployWith()
    const nonce = await operator.nonce()
    rmSync(operator.path)
    assert.deepEqual(await operator.deployWith(), book)
    assert.equal(await operator.nonce(), nonce)

    const other = await newOperator()
    const snapshot = await scene.rpc.request('evm_snapshot')
    const before = await other.deployWith()
    await scene.rpc.request('evm_revert', [snapshot])
    const again = await other.deployWith({ sender: createSender({ ...scene, wallet: other.wallet, pollMs: 20 }) })
    assert.deepEqual(again, before)
    await isSound(again)
    // What was never this home's own is not made anew.
    writeFileSync(
      operator.path,
      readFileSync(operator.path, 'utf8').replaceAll(Bytes.toHex(book.stake.faultCases.address), '11'.repeat(20)),
    )
    rmSync(join(operator.home, 'chain', 'deployment.json'))
    await assert.rejects(operator.deployWith(), { code: 'chain-changed' })
  })

  test('a home that is older than the stake gets it added to the same registries', async () => {
    const operator = await newOperator()
    const { stake: _, ...older } = scene.book
    mkdirSync(join(operator.home, 'chain'), { recursive: true })
    writeFileSync(operator.path, serializeAddressBook(older))
    assert.deepEqual(readAddressBook(operator.home), older)
    const book = await operator.deployWith({ development: true })
    assert.deepEqual({ ...book, stake: undefined }, { ...older, stake: undefined })
    assert.notDeepEqual(book.stake.stakeManager, scene.book.stake.stakeManager)
    await isSound(book)
  })

  test('without coin it says which account to fund', async () => {
    const { crypto, rpc } = scene
    const home = join(scene.home, 'poor')
    const wallet = openWallet(home)
    const sender = createSender({ rpc, wallet })
    await assert.rejects(
      deploy({ home, crypto, rpc, sender, development: false, blockTimeMs: 1000 }),
      (error: Error) => {
        assert.match(error.message, new RegExp(Bytes.to0x(wallet.address)))
        return (error as { code?: string }).code === 'no-coin'
      },
    )
  })
})

describe('contracts of another operator', () => {
  test('are taken as they are, without a transaction', async () => {
    const operator = await newOperator()
    const file = join(scene.home, 'chain', 'addresses.json')
    assert.deepEqual(await operator.deployWith({ contractsFile: file }), scene.book)
    assert.equal(await operator.nonce(), 0n)
    assert.deepEqual(await operator.deployWith(), scene.book)
    assert.deepEqual(await operator.deployWith({ contractsFile: file }), scene.book)
    const { stakeManager, faultCourt, faultCases } = scene.book.stake
    assert.deepEqual(trustAnchorsOf(scene.book).stake, { stakeManager, faultCourt, faultCases })
    assert.equal(trustAnchorsOf(scene.book, 'quorum:2/3').finality, 'quorum:2/3')
  })

  test('are refused when one of them is another', async () => {
    const operator = await newOperator()
    const other = await (await newOperator()).deployWith({ development: true })
    const file = join(scene.home, 'given.json')
    const given = async (book: StoredBook) => {
      writeFileSync(file, serializeAddressBook(book))
      await operator.deployWith({ contractsFile: file })
    }
    const { stake } = scene.book
    const wrong = { address: scene.book.anchorLog.address, codeHash: stake.faultCases.codeHash }
    for (const [what, book] of [
      ['other code', { ...scene.book, stake: { ...stake, faultCases: wrong } }],
      [
        'another release',
        { ...scene.book, stake: { ...stake, faultCases: { ...stake.faultCases, codeHash: stake.token.codeHash } } },
      ],
      ['another timelock', { ...scene.book, stake: { ...stake, timelock: other.stake.timelock } }],
      ['another token', { ...scene.book, stake: { ...stake, token: other.stake.token } }],
      ['another manager', { ...scene.book, stake: { ...stake, stakeManager: other.stake.stakeManager } }],
      ['another court', { ...scene.book, stake: { ...stake, faultCourt: other.stake.faultCourt } }],
      ['other cases', { ...scene.book, stake: { ...stake, faultCases: other.stake.faultCases } }],
      ['another chain', { ...scene.book, chainId: 5n }],
      ['another history', { ...scene.book, anchorLog: { ...scene.book.anchorLog, instance: new Uint8Array(32) } }],
    ] as const)
      await assert.rejects(given(book), { code: 'chain-changed' }, what)
    const { stake: _, ...older } = scene.book
    await assert.rejects(given(older), { code: 'address-book-invalid' })
    await assert.rejects(operator.deployWith({ contractsFile: join(scene.home, 'none.json') }), {
      code: 'address-book-invalid',
    })
    assert.equal(readAddressBook(operator.home), undefined)
    await given(other)
    await assert.rejects(given(scene.book), { code: 'other-contracts' })
    assert.deepEqual(readAddressBook(operator.home), other)
  })
})

describe('parameters', () => {
  test('of every chain fit the windows that the contracts demand', () => {
    for (const blockTimeMs of [50, 250, 1000, 2000, 12_000, 600_000]) {
      const { minPledgeBlocks, unbondBlocks, windows, incidentBlocks, capWindowBlocks } = production(
        blockTimeMs,
        10n ** 9n,
      )
      const { graceBlocks, openWindowBlocks, answerBlocks, evidenceBlocks, revealBlocks, bondFloorGwei } = windows
      assert.ok(unbondBlocks > minPledgeBlocks + BigInt(graceBlocks + openWindowBlocks + answerBlocks + evidenceBlocks))
      assert.ok(revealBlocks >= 1 && revealBlocks <= 7_200 && incidentBlocks >= 1 && capWindowBlocks < 2 ** 32)
      assert.equal(bondFloorGwei, 1_000_000n)
      assert.equal(Number(minPledgeBlocks), Math.ceil(7_200_000 / blockTimeMs))
    }
    assert.equal(production(1000, 10n ** 11n).windows.bondFloorGwei, 10n ** 8n)
    for (const wrong of [0, 49, 600_001, Number.NaN]) assert.throws(() => production(wrong, 0n), { code: 'block-time' })
  })

  test('are what the deployed contracts answer, and the time of a block can be measured', async () => {
    const { rpc, book } = scene
    const { windows, unbondBlocks, incidentBlocks, capWindowBlocks } = development
    const court = { address: book.stake.faultCourt.address, abi: FaultCourtContract.abi }
    const ask = (functionName: 'getWindows' | 'getPenalties' | 'fixedWindows') =>
      read(rpc, court.address, { abi: court.abi, functionName, args: [] })
    assert.deepEqual(await ask('getWindows'), windows)
    assert.deepEqual(await ask('getPenalties'), penalties)
    assert.deepEqual(await ask('fixedWindows'), [incidentBlocks, capWindowBlocks])
    const manager = { abi: StakeManagerContract.abi, functionName: 'unbondBlocks', args: [] } as const
    assert.equal(await read(rpc, book.stake.stakeManager.address, manager), unbondBlocks)
    const measured = await measureBlockTime(rpc)
    assert.ok(measured > 0 && measured < 5_000, String(measured))
  })
})

describe('bonds at start', () => {
  test('once, as far as the operator holds tokens, and never topped up', async () => {
    const { crypto, rpc, book } = scene
    const operator = await newOperator()
    const registrar = { crypto, rpc, book, sender: operator.sender }
    const nodeId = await registerNode(registrar, { endpoint: '' })
    const logs: Uint8Array[] = []
    for (let i = 0; i < 2; i++)
      logs.push(await registerLog(registrar, { signer: newSigner(), ed25519Key: new Uint8Array(32), pledgeBlocks }))
    const subjects = [nodeId, ...logs]
    assert.deepEqual(
      (await subjectsOf(registrar, operator.wallet.address)).map(({ subject }) => subject),
      subjects,
    )
    const wanted = subjects.map((subject) => ({ subject, amount: 100n }))
    const states = (bonds: Awaited<ReturnType<typeof bondAtStart>>) => bonds.map(({ state, amount }) => [state, amount])

    // No tokens: nothing is sent, and what to do is said.
    const nonce = await operator.nonce()
    const none = await bondAtStart(registrar, wanted)
    assert.deepEqual(
      states(none),
      subjects.map(() => ['unbonded', 0n]),
    )
    assert.equal(await operator.nonce(), nonce)
    const [line = ''] = describeBonds(registrar, none)
    assert.match(line, /300,000 ASY/)
    assert.match(line, new RegExp(Bytes.to0x(operator.wallet.address)))

    // Tokens for one and a half: cut off after the approval, then the rest.
    const args = [Bytes.to0x(operator.wallet.address), 150n] as const
    const data = encode({ abi: AssayTokenContract.abi, functionName: 'transfer', args })
    await scene.sender.send({ to: book.stake.token.address, data })
    const { stakeManager } = book.stake
    const cut: Sender = {
      ...operator.sender,
      send: async (call) => {
        if (call.to !== undefined && Bytes.equal(call.to, stakeManager.address)) throw new Error('cut off')
        return operator.sender.send(call)
      },
    }
    await assert.rejects(bondAtStart({ ...registrar, sender: cut }, wanted), /cut off/)
    const approved = await operator.nonce()
    const some = [
      ['bonded', 100n],
      ['bonded', 50n],
      ['unbonded', 0n],
    ]
    assert.deepEqual(states(await bondAtStart(registrar, wanted)), some)
    // Approved before: two bonds and no more.
    assert.equal(await operator.nonce(), approved + 2n)
    assert.deepEqual(states(await bondAtStart(registrar, wanted)), some)
    assert.equal(await operator.nonce(), approved + 2n)

    // With more tokens only what has nothing gets some; what leaves or ended stays as it is.
    const call = (functionName: 'unbond' | 'retire', ...rest: readonly bigint[]) =>
      operator.sender.send({
        to: stakeManager.address,
        data: encode({
          abi: StakeManagerContract.abi,
          functionName,
          args: [Bytes.to0x(subjects[functionName === 'retire' ? 0 : 1] as Uint8Array), ...rest] as never,
        }),
      })
    await call('retire')
    await call('unbond', 50n)
    await scene.sender.send({ to: book.stake.token.address, data })
    assert.deepEqual(states(await bondAtStart(registrar, wanted, { development: true })), [
      ['leaving', 0n],
      ['leaving', 0n],
      ['bonded', 100n],
    ])
    const third = subjects[2] as Uint8Array
    await endByFault(third)
    assert.deepEqual(await readBond(registrar, third), { subject: third, state: 'ended', amount: 0n })
    assert.equal(describeBonds(registrar, await bondAtStart(registrar, wanted)).length, 3)
  })

  test('amounts are told in whole tokens', () => {
    assert.equal(inTokens(bondAmount), '100,000')
    assert.equal(inTokens(0n), '0')
    assert.equal(inTokens(15n * 10n ** 17n), '1.5')
    assert.equal(inTokens(1n), '0.000000000000000001')
  })
})

/** As FaultCourt would: everything is taken and the subject ends. */
async function endByFault(subject: Uint8Array): Promise<void> {
  const { rpc, book } = scene
  const from = Bytes.to0x(book.stake.faultCourt.address)
  await rpc.request('anvil_setBalance', [from, '0xde0b6b3a7640000'])
  await rpc.request('anvil_impersonateAccount', [from])
  const args = [Bytes.to0x(subject), 100n, 0n, 25n, 0, true] as const
  const data = Bytes.to0x(encode({ abi: StakeManagerContract.abi, functionName: 'slash', args }))
  const to = Bytes.to0x(book.stake.stakeManager.address)
  const hash = await rpc.request('eth_sendTransaction', [{ from, to, data, gas: '0x7a120' }])
  await rpc.request('evm_mine')
  const receipt = (await rpc.request('eth_getTransactionReceipt', [hash])) as { status: string }
  assert.equal(receipt.status, '0x1')
}

test('the precompile for P-256 is found, missed, and not mistaken', async () => {
  assert.equal(await findP256(scene.rpc), 'precompile')
  const proxy = await openProxy(scene.chain.url)
  try {
    const rpc = Rpc.create({ url: proxy.url, chainId: scene.chain.chainId })
    for (const [answer, found] of [
      ['0x', 'contracts'],
      [Bytes.to0x(Bytes.u256(1n)), 'other'],
      [Bytes.to0x(Bytes.u256(0n)), 'other'],
    ] as const) {
      proxy.mischief = ({ method }) => (method === 'eth_call' ? () => answer : undefined)
      assert.equal(await findP256(rpc), found)
    }
  } finally {
    await proxy.close()
  }
})
