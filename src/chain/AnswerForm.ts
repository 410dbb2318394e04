/**
 * AnswerForm.ts - what form an endpoint's answer to a method has, looked at once before anybody reads it. Whether it is true is
 * another question. Source: Ethereum JSON-RPC (execution-apis).
 */

/** What is expected of the answers of some methods; the others are read by parsers of their own. */
const expected: Readonly<Record<string, readonly [what: string, is: (value: unknown) => boolean]>> = {
  ...named(['eth_gasPrice', 'eth_getBalance'], 'a quantity', isQuantity),
  // What goes into a transaction of ours has to fit into one.
  ...named(['eth_chainId', 'eth_blockNumber', 'eth_estimateGas'], 'a quantity of 64 bits', below(2n ** 64n)),
  ...named(['eth_getTransactionCount'], 'a quantity of 53 bits', below(2n ** 53n)),
  ...named(['eth_call', 'eth_getCode', 'eth_getStorageAt'], 'hex data', isData),
  ...named(
    ['eth_getBlockByNumber'],
    'a block',
    orNull(withFields({ number: below(2n ** 64n), baseFeePerGas: below(2n ** 128n) })),
  ),
  ...named(
    ['eth_getTransactionReceipt'],
    'a receipt',
    orNull(withFields({ status: isQuantity, blockNumber: below(2n ** 64n), gasUsed: isQuantity })),
  ),
  ...named(['eth_getTransactionByHash'], 'a transaction', orNull(withFields({ to: isData, input: isData }))),
  ...named(['eth_getLogs'], 'a list of events', (value) => Array.isArray(value) && value.every(isEvent)),
}

/** What is wrong with an answer, for an error: the form that it should have; undefined when nothing is. */
export function problemOf(method: string, answer: unknown): string | undefined {
  const [what, is] = expected[method] ?? []
  return what === undefined || is?.(answer) === true ? undefined : what
}

type Check = (value: unknown) => boolean

function named(methods: readonly string[], what: string, is: Check) {
  return Object.fromEntries(methods.map((method) => [method, [what, is] as const]))
}

function isQuantity(value: unknown): boolean {
  return typeof value === 'string' && /^0x[0-9a-fA-F]{1,64}$/.test(value)
}

function below(limit: bigint): Check {
  return (value) => isQuantity(value) && BigInt(value as string) < limit
}

function isData(value: unknown): boolean {
  return typeof value === 'string' && value.length % 2 === 0 && /^0x[0-9a-fA-F]*$/.test(value)
}

function isHash(value: unknown): boolean {
  return isData(value) && (value as string).length === 66
}

/** Fields that are not there, or null as in a block that is not mined yet, are for the reader to miss. */
function withFields(fields: Readonly<Record<string, Check>>): Check {
  return (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
    return Object.entries(fields).every(([name, is]) => {
      const field = (value as Readonly<Record<string, unknown>>)[name]
      return field === undefined || field === null || is(field)
    })
  }
}

function orNull(is: Check): Check {
  return (value) => value === null || is(value)
}

/** An event of a mined block has all of these. */
function isEvent(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { address, topics, data, blockNumber, transactionHash } = value as Readonly<Record<string, unknown>>
  const isPlaced = below(2n ** 64n)(blockNumber) && isHash(transactionHash)
  return isData(address) && isData(data) && isPlaced && Array.isArray(topics) && topics.every(isHash)
}
