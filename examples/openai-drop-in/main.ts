/** A stock OpenAI client that gives an answer only after its receipt met a policy of yours. Needs a running `npm start`. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Rpc } from 'assay/chain'
import { ChainAccess, Client, createFetch } from 'assay/client'
import { fileAnchorStore, filePendingStore } from 'assay/client/node'
import { crypto, generateP256 } from 'assay/crypto/node'
import { Bytes } from 'assay/protocol'
import { policies } from 'assay/verify'
import OpenAI from 'openai'

// What you trust: the chain and contracts in anchors.json, the names in reader.json. `npm start` wrote them for its own daemon.
const home = process.env.ASSAY_HOME ?? join(homedir(), '.assay')
const reader = JSON.parse(readFileSync(join(home, 'reader.json'), 'utf8')) as {
  readonly gatewayUrl: string
  readonly chainRpcUrl: string
  readonly operators: readonly string[]
  readonly witnesses: readonly string[]
}
const anchors = fileAnchorStore(join(home, 'anchors.json'))
const [trusted] = await anchors.read()
if (trusted === undefined) throw new Error('anchors.json names no chain: run `npm start` once')

const client = Client.create({
  baseUrl: reader.gatewayUrl,
  crypto,
  signer: generateP256().signer, // signs the orders; keep one if you want to be known by it
  random: (length) => new Uint8Array(randomBytes(length)),
  anchors,
  pending: filePendingStore(join(home, 'client', 'pending')),
  chain: ChainAccess.overRpc(crypto, Rpc.create({ url: reader.chainRpcUrl, chainId: trusted.chainId }), trusted),
  names: {
    operators: reader.operators.map(Bytes.from0x),
    witnesses: reader.witnesses.map(Bytes.fromHex),
    rewrites: [],
  },
})

// The only change to OpenAI code: `fetch`. Without `policy` it is `strict`, which a development chain never meets.
const openai = new OpenAI({
  baseURL: `${reader.gatewayUrl}/v1`,
  apiKey: 'local',
  maxRetries: 0, // a retry would repeat the whole call
  fetch: createFetch(client, { policy: policies.embedded, waitSeconds: 60 }),
})

const answer = await openai.chat.completions.create({
  model: 'tiny',
  messages: [{ role: 'user', content: process.argv[2] ?? 'What is a receipt?' }],
  temperature: 0,
})
console.log(answer.choices[0]?.message.content)
