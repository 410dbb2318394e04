/** example.ts - the worked example of the specification: one call, every byte in hex. */
import * as Bundle from '../../src/protocol/Bundle.ts'
import * as Checkpoint from '../../src/protocol/Checkpoint.ts'
import * as ClaimsTree from '../../src/protocol/ClaimsTree.ts'
import * as Cose from '../../src/protocol/Cose.ts'
import * as Head from '../../src/protocol/Head.ts'
import * as LogEntry from '../../src/protocol/LogEntry.ts'
import * as Merkle from '../../src/protocol/Merkle.ts'
import * as Order from '../../src/protocol/Order.ts'
import * as Pledge from '../../src/protocol/Pledge.ts'
import * as Slot from '../../src/protocol/Slot.ts'
import * as Wire from '../../src/protocol/Wire.ts'
import { hex } from './cases.ts'
import * as World from './world.ts'

/** Hex in lines of 32 bytes. */
function block(bytes: Uint8Array): string {
  return (hex(bytes).match(/.{1,64}/g) ?? ['(no bytes)']).map((line) => `    ${line}`).join('\n')
}

function row(name: string, bytes: Uint8Array): string {
  return `| ${name} | \`${hex(bytes)}\` |`
}

/** The page. */
export function example(): string {
  const { crypto, tree, order, chainId, registry } = World
  const receiptHash = Head.hash(crypto, World.headBytes)
  const leaves = tree.leaves.map((leaf, slot) =>
    row(`${slot} ${Slot.nameOf(slot)}${World.values.has(slot) ? '' : ' (unused)'}`, leaf),
  )
  const values = [...World.values].map(([slot, value]) => `Slot ${slot}, ${Slot.nameOf(slot)}:\n\n${block(value)}\n`)
  return `# Worked example

Written by \`scripts/generate-vectors.ts\` from the same values as \`vectors/\`; do not edit. Private keys are
SHA-256("assay vectors: key NAME") with the names node, log, witness, client; signatures are deterministic (RFC 6979).
Every other fixed value, such as a contract's address, is SHA-256("assay vectors: NAME"), cut to its length.

## 1. Names

| what | bytes |
|---|---|
| chainId | ${chainId} |
${row('NodeRegistry', registry)}
${row('AnchorLog', World.anchorLog)}
${row("node operator's address, n = 0", World.nodeOperator)}
${row('nodeId', World.nodeId)}
${row("log operator's address, n = 0", World.logOperator)}
${row('instance', World.instance)}
${row('logId', World.logId)}
${row("node's key, x || y", World.node.publicKey)}
${row('its keyId', Cose.keyId(crypto, World.node.publicKey))}
${row("log's key", World.log.publicKey)}
${row("witness's key", World.witness.publicKey)}
${row("client's key", World.client.publicKey)}

## 2. Order
Exposure terms ${block(World.termsBytes).trim()}, the 13 words:

${block(World.orderWords)}

| what | bytes |
|---|---|
${row('domain separator', Order.domainSeparator(crypto, { chainId, registry }))}
${row('orderHash', World.orderHash)}
${row('request salt', World.requestSalt)}
${row('requestHash', order.requestHash)}
${row('signature, tag order', World.signatures.order)}

## 3. Claims
Secret, nonce, and the salts of slots 0 and 15 and of the request body (16):

| what | bytes |
|---|---|
${row('secret', World.secret)}
${row('nonce', World.nonce)}
${row('salt 0', tree.salts[0] as Uint8Array)}
${row('salt 15', tree.salts[15] as Uint8Array)}
${row('salt 16', tree.salts[16] as Uint8Array)}

${values.join('\n')}
The sixteen leaves and their root; slot 14 and the other unused ones are constants.

| slot | leaf |
|---|---|
${leaves.join('\n')}
${row('root', ClaimsTree.root(crypto, tree.leaves))}

## 4. Head
${block(World.headBytes)}

| what | bytes |
|---|---|
${row('receiptHash', receiptHash)}
${row('payload', Head.payload(crypto, World.headBytes))}
${row('Sig_structure', Cose.sigStructure('receipt', Head.payload(crypto, World.headBytes)))}
${row('signature, tag receipt', World.signatures.receipt)}

## 5. Log
The entry, and the pledge for index ${World.leafIndex}:

${block(World.entryBytes)}

${block(World.pledgeWords)}

| what | bytes |
|---|---|
${row('leafHash', LogEntry.leafHash(crypto, World.entryBytes))}
${row('payload of the pledge', Pledge.payload(crypto, World.pledgeWords))}
${row('signature, tag pledge', World.signatures.pledge)}
${row(`root at size ${World.size}`, World.root)}
${row('payload of the checkpoint', Checkpoint.payload(crypto, World.statementWords))}
${row('signature, tag checkpoint', World.signatures.checkpoint)}
${row('signature of the witness, tag cosign', World.signatures.cosign)}

Inclusion proof of the entry, nearest hash first:

${Merkle.inclusionProof(crypto, World.logLeaves, World.leafIndex).map(block).join('\n')}

## 6. Bundle
The smallest \`.receipt\` file of the call: every used slot hidden, no evidence. Larger ones are in \`vectors/bundle.json\`.

${block(Bundle.serialize(World.minimal))}

## 7. On the wire

| header | value |
|---|---|
| Assay-Receipt | \`${Wire.encodeReceipt({ head: World.headBytes, signature: World.signatures.receipt })}\` |
| Assay-Secret | \`${Wire.encodeSecret(World.secret)}\` |
| Authorization | \`Bearer ${hex(Wire.readToken(crypto, World.secret))}\` |
`
}
