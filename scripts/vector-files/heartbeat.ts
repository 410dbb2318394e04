/** heartbeat.ts - vectors of heartbeats. */
import * as Bytes from '../../src/protocol/Bytes.ts'
import * as Cose from '../../src/protocol/Cose.ts'
import * as Heartbeat from '../../src/protocol/Heartbeat.ts'
import { changed, failures, hex, plain, type VectorFile } from './cases.ts'
import * as World from './world.ts'

const { crypto } = World

/** The heartbeat of the worked example's node, and words that are none. */
export async function heartbeatFile(): Promise<VectorFile> {
  const { chainId, registry, nodeId, node } = World
  const blockHash = World.digest('block of the heartbeat')
  const heartbeat = { chainId, registry, nodeId, keyEpoch: 0, counter: 1_201n, blockNumber: 1_200n, blockHash }
  const words = Heartbeat.words(heartbeat)
  const payload = Heartbeat.payload(crypto, words)
  const signature = await Cose.sign(crypto, node, 'heartbeat', payload)
  const signedAs = async (name: string, tag: Cose.Tag, mustFail: string) => ({
    ...{ name, input: hex(words), publicKey: hex(node.publicKey) },
    signature: hex(await Cose.sign(crypto, node, tag, payload)),
    mustFail,
  })
  return {
    description: 'Heartbeats: input is 7 words; payload = SHA-256(words), signed under tag heartbeat.',
    spec: 'spec/wire.md section 6',
    cases: [
      {
        name: 'heartbeat of the worked example',
        input: hex(words),
        expected: plain(heartbeat),
        payload: hex(payload),
        publicKey: hex(node.publicKey),
        signature: hex(signature),
      },
      await signedAs('signed under the tag of a pledge, which has as many words', 'pledge', 'signature-mismatch'),
      ...failures([
        ['one byte short', words.slice(0, -1), 'heartbeat-length'],
        ['one byte long', Bytes.concat(words, Uint8Array.of(0)), 'heartbeat-length'],
        ['chainId above 64 bits', changed(words, 23, 1), 'heartbeat-word'],
        ['dirty address padding', changed(words, 32 + 11, 1), 'heartbeat-word'],
        ['keyEpoch above 32 bits', changed(words, 96 + 27, 1), 'heartbeat-word'],
        ['counter above 64 bits', changed(words, 128 + 23, 1), 'heartbeat-word'],
        ['block number above 64 bits', changed(words, 160 + 23, 255), 'heartbeat-word'],
      ]),
    ],
  }
}
