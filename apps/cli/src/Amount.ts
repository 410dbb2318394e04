/** Amount.ts - token units and wei as a person reads them. */

/** Token units (10^-18) with their sign, to the last digit that is not zero: `1,500.25 ASY`. */
export function inTokens(units: bigint): string {
  return `${decimal(units)} ASY`
}

/** Wei as the chain's coin. */
export function inCoin(wei: bigint): string {
  return decimal(wei)
}

/** Reads ASY as a person writes it, `1500.25`: at most 18 digits behind the point, and more than nothing; undefined for all else. */
export function parseTokens(text: string): bigint | undefined {
  const found = /^(0|[1-9]\d{0,9})(?:\.(\d{1,18}))?$/.exec(text)
  if (found === null) return undefined
  const [, whole = '0', rest = ''] = found
  const units = BigInt(whole) * 10n ** 18n + BigInt(rest.padEnd(18, '0'))
  return units === 0n ? undefined : units
}

function decimal(units: bigint): string {
  const whole = (units / 10n ** 18n).toString().replace(/\B(?=(\d{3})+$)/g, ',')
  const rest = (units % 10n ** 18n).toString().padStart(18, '0').replace(/0+$/, '')
  return rest === '' ? whole : `${whole}.${rest}`
}
