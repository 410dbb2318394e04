/** InfoRoutes.ts - what the node says of itself: /.well-known/assay.json, OpenAI's model list, health. Source: spec/wire.md section 4. */
import { Bytes } from 'assay/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Engine } from '../engine/Engine.ts'
import { RefusedError } from './ErrorTable.ts'
import type { Served } from './Served.ts'

/** GET /.well-known/assay.json */
export function wellKnown({ identity, issuer, engines, logs, config, heart }: Served) {
  return {
    version: 1,
    chain: {
      chainId: String(identity.chainId),
      nodeRegistry: Bytes.to0x(identity.nodeRegistry),
      anchorLog: Bytes.to0x(identity.anchorLog),
    },
    node: {
      nodeId: Bytes.toHex(issuer.identity.nodeId),
      keyEpoch: issuer.identity.keyEpoch,
      publicKey: Bytes.toBase64url(issuer.publicKey),
      operator: Bytes.to0x(identity.operator),
    },
    logs: logs.map((log) => ({
      logId: Bytes.toHex(log.logId),
      publicKey: Bytes.toBase64url(log.publicKey),
      ed25519: Bytes.toBase64url(log.ed25519),
      url: `/log/${Bytes.toHex(log.logId)}`,
    })),
    ...(heart === undefined ? {} : { heartbeat: '/v1/heartbeat' }),
    witnesses: identity.witnesses.map((publicKey) => ({ publicKey: Bytes.toBase64url(publicKey) })),
    models: [...engines.values()].map(describe),
    config: { digest: Bytes.toHex(config.digest), bytes: Bytes.toBase64url(config.bytes) },
  }
}

function describe(engine: Engine) {
  const { id, kind, manifestHash, weightsRoot, profile, isExact, name, version, build } = engine
  return {
    id,
    kind,
    manifestHash: Bytes.toHex(manifestHash),
    weightsRoot: Bytes.toHex(weightsRoot),
    profile,
    exact: isExact,
    engine: { name, version, build: Bytes.toHex(build) },
  }
}

/** GET /v1/models */
export function models({ engines }: Served, startedSeconds: number) {
  return { object: 'list', data: [...engines.values()].map(({ id }) => toModel(id, startedSeconds)) }
}

/** GET /v1/models/{id} */
export function model({ engines }: Served, request: FastifyRequest, startedSeconds: number) {
  const { id } = request.params as { readonly id: string }
  if (!engines.has(id)) {
    throw new RefusedError(404, 'model-not-found', 'The node does not serve this model.', { param: 'model' })
  }
  return toModel(id, startedSeconds)
}

function toModel(id: string, created: number) {
  return { id, object: 'model', created, owned_by: 'assay' }
}

/** GET /v1/heartbeat */
export async function heartbeat({ heart }: Served, reply: FastifyReply) {
  if (heart === undefined) throw new RefusedError(404, 'unknown-route', 'This node gives no heartbeats.')
  const { words, signature } = await heart.beat()
  reply.header('cache-control', 'no-store')
  return {
    words: Bytes.toBase64url(words),
    signature: Bytes.toBase64url(signature),
    publicKey: Bytes.toBase64url(heart.publicKey),
  }
}

/** GET /v2/health/ready */
export function ready(served: Served, reply: FastifyReply) {
  const reason = served.notReady()
  if (reason === undefined) return { ready: true }
  return reply.code(503).header('retry-after', '1').send({ ready: false, reason })
}
