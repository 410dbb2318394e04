/** limits.ts - every bound of the gateway in one place, each with its reason. */
export const limits = Object.freeze({
  /** A prompt that fills any context we serve is far smaller; 2^20 tensor elements as text fit as well. */
  bodyBytes: 1024 * 1024,
  /** An order with terms takes 2.2 kB; Node's own default is as large. */
  headerBytes: 16 * 1024,
  /** Headers fit a few packets: who takes longer holds a connection for its own sake. */
  headersTimeoutMs: 10_000,
  /** 1 MiB at 35 kB/s. */
  requestTimeoutMs: 30_000,
  /** Between the requests of one connection. */
  keepAliveTimeoutMs: 30_000,
  /** How often the two above are looked at. */
  connectionsCheckMs: 1_000,
  /** The engine's line is 16 long; the rest read receipts and files. With 1 MiB each this bounds memory. */
  connections: 128,
  /** How long a reader of a stream may take nothing before the call counts as cancelled. */
  stalledReaderMs: 30_000,
  /** All receipt headers together; common proxies stop at 4 kB. */
  receiptHeaderBytes: 3_000,
  /** Leaves (prompt and completion tokens) in memory. */
  leavesBytes: 64 * 1024 * 1024,
  /** As claimed in slot 10. */
  leavesSeconds: 600,
  /** Calls waiting to be written: half a second of a slow disk. */
  waitingCalls: 1_024,
  /** Heads that no log took yet: beyond it new calls only lengthen the outage. */
  unreleasedHeads: 1_024,
  /** Published log files are 8 kB (hashes) and 20 kB (entries). */
  logFileBytes: 256 * 1024,
})
