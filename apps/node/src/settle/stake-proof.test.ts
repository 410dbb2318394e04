/** Stake on a real chain, from the first bond to retirement: what a reader's endpoint proves of it, and what is left out. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ChainPiece, Layout, Rpc, StakeManagerContract, StakePiece, StateProof } from 'assay/chain'
import { ChainAccess } from 'assay/client'
import { Bytes } from 'assay/protocol'
import { bondAtStart } from './bond.ts'
import { encode } from './contract-call.ts'
import { trustAnchorsOf } from './deploy.ts'
import { registerKey, registerLog, registerNode, roles } from './register.ts'
import { newSigner, openScene, pledgeBlocks } from './scene.ts'

const token = 10n ** 18n
let scene: Awaited<ReturnType<typeof openScene>>
before(async () => {
  scene = await openScene()
})
after(() => scene.close())

test('a piece brings the stake of node and log, once both have some, and never waits for it', async () => {
  const { crypto, rpc, book, sender } = scene
  const registrar = { crypto, rpc, sender, book }
  const nodeId = await registerNode(registrar, { endpoint: 'http://127.0.0.1:1' })
  await registerKey(registrar, { nodeId, role: roles.node, signer: newSigner() })
  const ed25519Key = new Uint8Array(32).fill(7)
  const logId = await registerLog(registrar, { signer: newSigner(), ed25519Key, pledgeBlocks: pledgeBlocks + 40n })
  const { stake } = trustAnchorsOf(book)
  assert.ok(stake)
  const request: Rpc.PieceRequest = {
    ...{ nodeRegistry: book.nodeRegistry, nodeId, keyEpoch: 0, block: 'latest', stake },
    log: { anchorLog: book.anchorLog, logId, size: 0n },
  }
  const fetch = async (change: Partial<Rpc.PieceRequest> = {}) => {
    await rpc.request('evm_mine')
    return Rpc.fetchChainPiece(crypto, rpc, { ...request, ...change })
  }
  /** `isOpen`: the state does not show that there is none. */
  const without = async (change: Partial<Rpc.PieceRequest> = {}, isOpen = false) => {
    const { piece, isStakeOpen } = await fetch(change)
    assert.deepEqual([piece.stake, isStakeOpen], [undefined, isOpen])
  }

  await without()
  await bondAtStart(registrar, [{ subject: nodeId, amount: 100n * token }])
  await without()
  await bondAtStart(registrar, [{ subject: logId, amount: 30n * token }])
  await without({ stake: undefined })
  await without({ stake: { ...stake, faultCases: { ...stake.faultCases, codeHash: new Uint8Array(32) } } }, true)
  await without({ stake: { ...stake, faultCourt: book.nodeRegistry } }, true)
  await without(
    { stake: { ...stake, stakeManager: { ...stake.stakeManager, address: new Uint8Array(20).fill(9) } } },
    true,
  )

  const { piece, facts } = await fetch()
  assert.ok(facts.stake && piece.stake)
  const operator = sender.address
  const ofSubject = { operator, index: token, delegatedShares: 0n, retiredAtBlock: 0n, endedAtBlock: 0n, openCases: 0 }
  const { stakeManager, faultCourt, faultCases, ...shown } = facts.stake
  assert.deepEqual({ stakeManager, faultCourt, faultCases }, stake)
  assert.deepEqual(shown, {
    ...{ unbondBlocks: 3_500n, contradictionPercent: 100 },
    node: { ...ofSubject, selfShares: 100n * token, extraPledgeBlocks: 0n },
    log: { ...ofSubject, selfShares: 30n * token, extraPledgeBlocks: 40n },
  })
  const subject = {
    registry: { address: book.nodeRegistry.address, nodeId, keyEpoch: 0 },
    log: { address: book.anchorLog.address, logId, size: 0n },
  }
  const startedMs = performance.now()
  for (let i = 0; i < 50; i++) ChainPiece.read(crypto, piece, subject)
  console.log(`proof check with stake: ${((performance.now() - startedMs) / 50).toFixed(2)} ms`)

  // What is proven absent here is there after it is used, and neither proof serves for the other.
  const manager = async () => {
    const header = await Rpc.newest(crypto, rpc)
    const slot = Layout.stakeSlots(crypto, nodeId)[2]
    const at = `0x${header.number.toString(16)}`
    const answer = await rpc.request('eth_getProof', [Bytes.to0x(stake.stakeManager.address), [Bytes.to0x(slot)], at])
    const { accountProof, storageProof } = answer as { accountProof: string[]; storageProof: { proof: string[] }[] }
    const { storageRoot } = StateProof.verifyAccount(crypto, {
      ...{ stateRoot: header.stateRoot, address: stake.stakeManager.address },
      proof: accountProof.map(Bytes.from0x),
    })
    const proof = storageProof[0]?.proof.map(Bytes.from0x) ?? assert.fail()
    const read = (of: typeof proof) => StateProof.verifyStorageOrZero(crypto, { storageRoot, slot, proof: of })
    return { proof, read }
  }
  const empty = await manager()
  assert.deepEqual(empty.read(empty.proof), new Uint8Array(32))
  const call = async (functionName: 'unbond' | 'retire', args: readonly unknown[]) => {
    const data = encode({ abi: StakeManagerContract.abi, functionName, args } as never)
    await sender.send({ to: stake.stakeManager.address, data })
  }
  await call('unbond', [Bytes.to0x(nodeId), 25n * token])
  const leaving = await manager()
  assert.deepEqual(leaving.read(leaving.proof), Bytes.u256(25n * token))
  assert.throws(() => leaving.read(empty.proof), StateProof.ProofError)
  assert.throws(() => empty.read(leaving.proof), StateProof.ProofError)
  assert.equal((await fetch()).facts.stake?.node.selfShares, 75n * token)
  assert.equal(StakePiece.valueOf(75n * token, token), 75n * token)

  await call('retire', [Bytes.to0x(logId)])
  const retired = (await fetch()).facts.stake?.log.retiredAtBlock ?? 0n
  assert.ok(retired > 0n)

  // The same through the client's access, with and without contracts of stake; an endpoint that will not talk about stake.
  const query = { nodeId, keyEpoch: 0, log: { logId, size: 0n } }
  const anchors = trustAnchorsOf(book)
  assert.ok((await ChainAccess.overRpc(crypto, rpc, anchors).piece(query)).piece.stake)
  const { stake: _, ...others } = anchors
  assert.equal((await ChainAccess.overRpc(crypto, rpc, others).piece(query)).piece.stake, undefined)
  const silent: Rpc.Rpc = {
    ...rpc,
    request: async (method, params) => {
      if (method === 'eth_getProof' && params?.[0] === Bytes.to0x(stake.stakeManager.address))
        throw new Rpc.RequestError('rpc-unreachable', method, '')
      return rpc.request(method, params)
    },
  }
  const bare = await ChainAccess.overRpc(crypto, silent, anchors).piece(query)
  assert.ok(bare.piece.anchorLog?.step0 !== undefined && bare.piece.stake === undefined)
})
