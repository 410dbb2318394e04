/**
 * Terminal.ts - what the command line writes: results on stdout, everything else on stderr. Colour only on a terminal and
 * without NO_COLOR; lines fold at the terminal's width; anywhere else lines stay whole, for grep.
 */
import { stripVTControlCharacters } from 'node:util'

/** Where text goes; a process's stream has this shape, and so has a test's. */
export type Output = { write(text: string): unknown; readonly isTTY?: boolean; readonly columns?: number }

export type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow' | 'cyan'

export type Terminal = {
  /** Writes a line to stdout. */
  readonly print: (line?: string, indent?: number) => void
  /** Writes lines of a table to stdout; they are never folded. */
  readonly rows: (lines: readonly string[], margin?: number) => void
  /** Writes text to stdout as it is. */
  readonly raw: (text: string) => void
  /** Writes a line to stderr. */
  readonly say: (line?: string, indent?: number) => void
  /** Shows what is going on, on stderr: a line that is replaced on a terminal, a line of its own for each new text elsewhere. */
  readonly progress: (text: string) => void
  /** Ends the progress line, if there is one. */
  readonly endProgress: () => void
  /** Writes provisional text to stderr, if a person watches. */
  readonly provisional: (text: string) => void
  /** Says whether a person watches stderr. */
  readonly isWatched: boolean
  readonly style: (style: Style, text: string) => string
}

const codes: { readonly [style in Style]: readonly [number, number] } = {
  bold: [1, 22],
  dim: [2, 22],
  green: [32, 39],
  red: [31, 39],
  yellow: [33, 39],
  cyan: [36, 39],
}

/** Narrowest and widest column at which lines fold: below, words no longer fit; above, eyes lose the line. */
const minWidth = 40
const maxWidth = 160

export function create(options: {
  readonly stdout: Output
  readonly stderr: Output
  readonly env: Readonly<Record<string, string | undefined>>
}): Terminal {
  const { stdout, stderr, env } = options
  const hasColour = (output: Output) => output.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb'
  // One decision for both streams: text is styled before it is known where it goes.
  const isColoured = hasColour(stdout) && hasColour(stderr)
  const isWatched = stderr.isTTY === true
  let shown = ''
  let isOpen = false

  const endProgress = () => {
    if (isWatched && shown !== '') stderr.write('\r\x1b[2K')
    shown = ''
    if (isOpen) stderr.write('\n')
    isOpen = false
  }
  const line = (output: Output, text: string, indent: number) => {
    endProgress()
    output.write(`${output.isTTY === true ? fold(text, widthOf(output), indent) : text}\n`)
  }
  return {
    print: (text = '', indent = 2) => line(stdout, text, indent),
    rows: (lines, margin = 0) => {
      endProgress()
      for (const one of lines) stdout.write(`${' '.repeat(margin)}${one}\n`)
    },
    raw: (text) => {
      endProgress()
      stdout.write(text)
    },
    say: (text = '', indent = 2) => line(stderr, text, indent),
    progress(text) {
      const clean = printable(text)
      if (clean === shown) return
      if (isWatched) {
        if (isOpen) endProgress()
        stderr.write(`\r\x1b[2K${clean.slice(0, widthOf(stderr) - 1)}`)
      } else stderr.write(`${clean}\n`)
      shown = clean
    },
    endProgress,
    provisional(text) {
      if (!isWatched) return
      if (!isOpen) endProgress()
      isOpen = true
      const clean = printable(text)
      stderr.write(isColoured ? `\x1b[2m${clean}\x1b[22m` : clean)
    },
    isWatched,
    style: (style, text) => (isColoured ? `\x1b[${codes[style][0]}m${text}\x1b[${codes[style][1]}m` : text),
  }
}

/** Text of others without control characters: what a model or a file says must not drive the terminal. */
export function printable(text: string): string {
  return stripVTControlCharacters(text).replace(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/gu,
    '\ufffd',
  )
}

function widthOf(output: Output): number {
  return Math.min(maxWidth, Math.max(minWidth, output.columns || 80))
}

/** Breaks a line at spaces; further lines are indented. Styles take no width. */
function fold(text: string, width: number, indent: number): string {
  const lines: string[] = []
  for (const whole of text.split('\n')) {
    let line = ''
    let length = 0
    for (const word of whole.split(/(?<= )/)) {
      const size = stripVTControlCharacters(word).trimEnd().length
      if (length > 0 && length + size > width) {
        lines.push(line.trimEnd())
        line = ' '.repeat(indent)
        length = indent
      }
      line += word
      length += stripVTControlCharacters(word).length
    }
    lines.push(line.trimEnd())
  }
  return lines.join('\n')
}

/** A table of text columns, each as wide as its widest cell but the last. */
export function table(rows: readonly (readonly string[])[], gap = 2): string[] {
  const widths: number[] = []
  for (const row of rows)
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, stripVTControlCharacters(cell).length)
    })
  return rows.map((row) =>
    row
      .map((cell, i) =>
        i === row.length - 1 ? cell : cell + ' '.repeat((widths[i] ?? 0) - stripVTControlCharacters(cell).length + gap),
      )
      .join('')
      .trimEnd(),
  )
}
