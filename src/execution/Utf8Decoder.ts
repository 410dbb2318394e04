/**
 * Utf8Decoder.ts - bytes to text as they come, with U+FFFD for what can never become UTF-8. Source: WHATWG Encoding Standard, "UTF-8 decoder"; spec/execution.md section 5.
 *
 * Written out so that the moment at which each character appears is the same everywhere: engines of TextDecoder
 * agree on the whole text but may hold bytes back differently. A byte order mark is a character like any other.
 */

/** A decoder with its state; `push` gives the text that is now certain, `flush` ends the input. */
export type Utf8Decoder = {
  readonly push: (bytes: Uint8Array) => string
  readonly flush: () => string
}

/** Starts a decoder. */
export function create(): Utf8Decoder {
  let codePoint = 0
  let missing = 0
  let lower = 0x80
  let upper = 0xbf

  function push(bytes: Uint8Array): string {
    let text = ''
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i] as number
      if (missing === 0) {
        if (byte < 0x80) text += String.fromCharCode(byte)
        else if (!begin(byte)) text += '\ufffd'
        continue
      }
      if (byte < lower || byte > upper) {
        text += '\ufffd'
        missing = 0
        resetBounds()
        // The byte that broke the sequence is read again as a first byte.
        i--
        continue
      }
      resetBounds()
      codePoint = codePoint * 64 + (byte & 0x3f)
      if (--missing === 0) text += String.fromCodePoint(codePoint)
    }
    return text
  }

  function begin(byte: number): boolean {
    if (byte >= 0xc2 && byte <= 0xdf) {
      missing = 1
      codePoint = byte & 0x1f
    } else if (byte >= 0xe0 && byte <= 0xef) {
      missing = 2
      codePoint = byte & 0x0f
      if (byte === 0xe0) lower = 0xa0
      if (byte === 0xed) upper = 0x9f
    } else if (byte >= 0xf0 && byte <= 0xf4) {
      missing = 3
      codePoint = byte & 0x07
      if (byte === 0xf0) lower = 0x90
      if (byte === 0xf4) upper = 0x8f
    } else return false
    return true
  }

  function resetBounds(): void {
    lower = 0x80
    upper = 0xbf
  }

  function flush(): string {
    const text = missing === 0 ? '' : '\ufffd'
    missing = 0
    resetBounds()
    return text
  }

  return { push, flush }
}
