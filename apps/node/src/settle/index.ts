/** `@assay/node/settle` - the development chain, the contracts on it, and anchoring. */
export * from './anchoring.ts'
export * from './anvil.ts'
export * from './chain-view.ts'
export * from './deploy.ts'
export * from './register.ts'
export * from './sender.ts'
export * from './wallet.ts'
