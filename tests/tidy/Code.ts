/**
 * Code.ts - tells comments, strings and code apart in TypeScript, JavaScript and Solidity, well enough for the tidy rules.
 * It is a scanner, not a parser: a slash begins a regular expression when what precedes it cannot end an operand.
 */

/** What a module names in `import`, `export ... from` and `import()`. */
export type Import = { readonly specifier: string; readonly isTypeOnly: boolean; readonly offset: number }

const blank = (text: string) => text.replace(/[^\n]/g, ' ')

function endOfString(text: string, start: number): number {
  const quote = text[start]
  let index = start + 1
  while (index < text.length && text[index] !== quote && text[index] !== '\n') index += text[index] === '\\' ? 2 : 1
  return index + 1
}

function endOfRegex(text: string, start: number): number {
  let index = start + 1
  let isInClass = false
  while (index < text.length && text[index] !== '\n') {
    const char = text[index]
    if (char === '\\') index++
    else if (char === '[') isInClass = true
    else if (char === ']') isInClass = false
    else if (char === '/' && !isInClass) return index + 1
    index++
  }
  return start + 1
}

/** Blanks comments (`code`), and comments with the contents of strings and regular expressions (`bare`). Lengths are kept. */
export function split(text: string): { code: string; bare: string } {
  let code = ''
  let bare = ''
  let index = 0
  let last = '' // the last character of code that is not white space
  const templates: number[] = [] // for each open `${`, the depth of braces inside it
  const emit = (end: number, shown: 'all' | 'string' | 'none') => {
    const piece = text.slice(index, end)
    code += shown === 'none' ? blank(piece) : piece
    bare += shown === 'all' ? piece : blank(piece)
    if (shown !== 'none') last = piece.trimEnd().at(-1) ?? last
    index = end
  }
  const template = () => {
    // from a backtick or the end of a `${}` to the next `${` or the closing backtick
    let end = index + 1
    while (end < text.length && text[end] !== '`' && !(text[end] === '$' && text[end + 1] === '{'))
      end += text[end] === '\\' ? 2 : 1
    if (text[end] === '$') {
      templates.push(0)
      emit(end + 2, 'string')
      last = '{'
    } else emit(Math.min(end + 1, text.length), 'string')
  }
  while (index < text.length) {
    const char = text[index]
    const two = text.slice(index, index + 2)
    if (two === '//') {
      const end = text.indexOf('\n', index)
      emit(end < 0 ? text.length : end, 'none')
    } else if (two === '/*') {
      const end = text.indexOf('*/', index + 2)
      emit(end < 0 ? text.length : end + 2, 'none')
    } else if (char === "'" || char === '"') emit(endOfString(text, index), 'string')
    else if (char === '`') template()
    else if (
      char === '/' &&
      (/[=(,:[!&|?{};+\-*%<>~^]|^$/.test(last) || /\b(return|typeof|case|of|in)\s*$/.test(bare.slice(-12)))
    ) {
      emit(endOfRegex(text, index), 'string')
    } else {
      const depth = templates.length - 1
      if (char === '{' && depth >= 0) templates[depth]!++
      if (char === '}' && depth >= 0) {
        if (templates[depth] === 0) {
          templates.pop()
          template()
          continue
        }
        templates[depth]!--
      }
      emit(index + 1, 'all')
    }
  }
  return { code, bare }
}

/** The modules that a text names; `code` is the text without comments. */
export function importsOf(code: string): Import[] {
  const found: Import[] = []
  const statement = /(?:^|[;\n}])\s*(import|export)\b([^'"`;]*?)\bfrom\s*(['"])([^'"\n]+)\3/g
  for (const match of code.matchAll(statement)) {
    const between = match[2] ?? ''
    if (match[1] === 'export' && !/^\s*(type\s*)?[{*]/.test(between)) continue
    found.push({ specifier: match[4] ?? '', isTypeOnly: /^\s*type\b/.test(between), offset: match.index })
  }
  for (const match of code.matchAll(/(?:^|[;\n])\s*import\s*(['"])([^'"\n]+)\1/g)) {
    found.push({ specifier: match[2] ?? '', isTypeOnly: false, offset: match.index })
  }
  for (const match of code.matchAll(/\bimport\s*\(\s*(['"`])([^'"`\n]+)\1/g)) {
    found.push({ specifier: match[2] ?? '', isTypeOnly: false, offset: match.index })
  }
  return found
}
