/**
 * version.ts - which verifier computed a verdict. The digest is set when the library is packed; in a working tree it says so.
 */
export const version = '0.1.0'

/** SHA-256 over the packed library's files, or `source` in a working tree. */
export const digest = 'source'
