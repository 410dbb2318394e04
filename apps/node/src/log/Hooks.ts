/** Hooks.ts - the steps between which a crash matters, for tests that crash exactly there. */

/** A step that is done. */
export type Step =
  | 'entries-written'
  | 'entries-mirrored'
  | 'pledges-signed'
  | 'pledges-written'
  | 'checkpoint-planned'
  | 'checkpoint-signed'
  | 'checkpoint-written'

/** Told about each step; may throw or never return. */
export type Hooks = { readonly reached?: (step: Step) => void }
