/** Amount.ts - token units and wei as a person reads them. */

/** Token units (10^-18) with their sign, to the last digit that is not zero: `1,500.25 ASY`. */
export function inTokens(units: bigint): string {
  return `${decimal(units)} ASY`
}

/** Wei as the chain's coin. */
export function inCoin(wei: bigint): string {
  return decimal(wei)
}

function decimal(units: bigint): string {
  const whole = (units / 10n ** 18n).toString().replace(/\B(?=(\d{3})+$)/g, ',')
  const rest = (units % 10n ** 18n).toString().padStart(18, '0').replace(/0+$/, '')
  return rest === '' ? whole : `${whole}.${rest}`
}
