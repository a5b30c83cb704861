// A source file as the tidiness rules see it: its imports, its code without comments and texts, its templates. A small
// scanner, not a parser: what it must get right is where comments, strings, templates and regular expressions end.

export interface Import {
  readonly line: number
  readonly from: string
  /** `import type`, or nothing but `type` names between the braces. */
  readonly typeOnly: boolean
}

export interface Template {
  readonly line: number
  /** The tag before it, e.g. `sql`; empty without one. */
  readonly tag: string
  /** Its own text; each `${…}` inside stands as `${}`. */
  readonly text: string
}

export interface Source {
  readonly path: string
  readonly lines: readonly string[]
  /** The lines with comments, regular expressions and the contents of texts blanked; same number, same width. */
  readonly code: readonly string[]
  readonly imports: readonly Import[]
  readonly templates: readonly Template[]
}

/** Reads the text of one file. */
export function readSource(path: string, text: string): Source {
  const { code, templates } = scan(text)
  return { path, lines: text.split('\n'), code: code.split('\n'), imports: importsOf(text, code), templates }
}

const importPattern = /^(?:import|export)\b([^'";]*?)(?:\bfrom\s*)?'([^']+)'/gm

function importsOf(text: string, code: string): Import[] {
  return [...text.matchAll(importPattern)]
    .filter(
      (match) =>
        /^(import|export)/.test(code.slice(match.index)) && (/\bfrom\s*'/.test(match[0]) || match[1]?.trim() === ''),
    )
    .map((match) => ({
      line: lineAt(text, match.index),
      from: String(match[2]),
      typeOnly: /^\s*type\b/.test(match[1] ?? '') || namesOnlyTypes(match[1] ?? ''),
    }))
}

function namesOnlyTypes(clause: string): boolean {
  const names =
    /^\s*\{([^}]*)\}\s*$/
      .exec(clause)?.[1]
      ?.split(',')
      .filter((name) => name.trim() !== '') ?? []
  return names.length > 0 && names.every((name) => /^\s*type\s/.test(name))
}

const lineAt = (text: string, index: number) => text.slice(0, index).split('\n').length

/** Blanks what is no code; collects templates. Walks once, keeping a stack of the templates that are open. */
function scan(text: string): { code: string; templates: Template[] } {
  const templates: Template[] = []
  const open: { template: { line: number; tag: string; text: string }; depth: number }[] = []
  let code = ''
  let depth = 0
  let at = 0

  const blank = (end: number) => {
    code += text.slice(at, end).replace(/[^\n]/g, ' ')
    at = end
  }
  const keep = () => {
    code += text[at]
    at++
  }
  /** Reads the text of the innermost template up to its end or its next hole. */
  const readTemplate = () => {
    const current = open.at(-1)
    if (!current) return
    let end = at
    while (end < text.length && text[end] !== '`' && !text.startsWith('${', end)) end += text[end] === '\\' ? 2 : 1
    current.template.text += text.slice(at, end)
    blank(end)
    if (text[at] === '`') {
      keep()
      templates.push(current.template)
      open.pop()
      return
    }
    current.template.text += `$${'{}'}`
    current.depth = depth++
    blank(at + 2)
  }

  while (at < text.length) {
    const two = text.slice(at, at + 2)
    const one = text[at] ?? ''
    if (two === '//') blank(endOr(text, text.indexOf('\n', at)))
    else if (two === '/*') blank(endOr(text, text.indexOf('*/', at + 2), 2))
    else if (one === "'" || one === '"') {
      keep()
      let end = at
      while (end < text.length && text[end] !== one && text[end] !== '\n') end += text[end] === '\\' ? 2 : 1
      blank(end)
      if (text[at] === one) keep()
    } else if (one === '`') {
      const tag = /([\w$.]+)(?:<[^`]*>)?$/.exec(code.slice(-80))?.[1] ?? ''
      keep()
      open.push({ template: { line: lineAt(text, at), tag, text: '' }, depth })
      readTemplate()
    } else if (one === '/' && /(?:^|[(,=:[!&|?{};\n>])\s*$|\breturn\s*$/.test(code.slice(-200))) {
      blank(endOfRegex(text, at))
    } else if (one === '{') {
      depth++
      keep()
    } else if (one === '}') {
      depth--
      if (open.length > 0 && open.at(-1)?.depth === depth) {
        blank(at + 1)
        readTemplate()
      } else keep()
    } else keep()
  }
  return { code, templates }
}

const endOr = (text: string, found: number, plus = 0) => (found === -1 ? text.length : found + plus)

function endOfRegex(text: string, start: number): number {
  let inClass = false
  for (let end = start + 1; end < text.length; end++) {
    const char = text[end]
    if (char === '\\') end++
    else if (char === '[') inClass = true
    else if (char === ']') inClass = false
    else if (char === '\n') return start + 1
    else if (char === '/' && !inClass) return end + 1
  }
  return text.length
}
