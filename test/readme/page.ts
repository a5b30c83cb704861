// README.md as a list of steps: every fenced `sh` block is a command that a reader types, in order; a fenced `text` or
// `json` block right after it is what the reader is promised to see. `sh server` runs in a terminal of its own.

export interface Step {
  /** Where the block begins in the page. */
  readonly line: number
  readonly command: string
  /** Runs on, in the background. */
  readonly server: boolean
  readonly promised: Promised | null
}

export interface Promised {
  readonly line: number
  readonly language: 'text' | 'json'
  readonly text: string
}

const fence = /^```(\w*)(?: (\w+))?\n([\s\S]*?)^```$/gm

/** The steps of a page, in order. */
export function stepsOf(page: string): Step[] {
  const blocks = [...page.matchAll(fence)].map((match) => ({
    start: match.index,
    end: match.index + match[0].length,
    line: page.slice(0, match.index).split('\n').length,
    language: String(match[1]),
    role: match[2] ?? '',
    text: String(match[3]),
  }))
  return blocks.flatMap((block, index) => {
    if (block.language !== 'sh') return []
    const next = blocks[index + 1]
    const follows = next && /^(text|json)$/.test(next.language)
    const promised = follows
      ? { line: next.line, language: next.language as 'text' | 'json', text: next.text.trimEnd() }
      : null
    return [{ line: block.line, command: block.text, server: block.role === 'server', promised }]
  })
}

/** Every link of a page: its target and its line. Code is no link. */
export function linksOf(page: string): { target: string; line: number }[] {
  const prose = page
    .replace(/^```[\s\S]*?^```$/gm, (block) => block.replace(/[^\n]/g, ' '))
    .replace(/`[^`\n]*`/g, (code) => ' '.repeat(code.length))
  return [...prose.matchAll(/\[[^\]]*\]\(([^)\s]+)\)/g)].map((match) => ({
    target: String(match[1]),
    line: prose.slice(0, match.index).split('\n').length,
  }))
}

/** The anchor that a heading gets: as the sites that show Markdown make it. */
export const anchorsOf = (page: string): string[] =>
  [...page.matchAll(/^#{1,6} +(.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .trim()
      .replaceAll(' ', '-'),
  )

/** What differs from run to run, in one form: ids, times, ports, tokens, request ids, cursors, durations. */
export const normal = (text: string): string =>
  text
    .replace(/\b(dep|ins|op|tok|team|res|stk|sec|mem|inv)_[0-9a-z]{26}\b/g, '$1_…')
    .replace(/pawl_[0-9A-Za-z]{12}_[0-9A-Za-z]{36}/g, 'pawl_…')
    .replace(/(postgres|redis):\/\/pawl_[^'"\s]*/g, '$1://pawl_…')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replace(/\b127\.0\.0\.1:\d+/g, '127.0.0.1:<port>')
    .replace(/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, '<uuid>')
    .replace(/("(?:cursor|endCursor|startCursor)": )"[^"]*"/g, '$1"<cursor>"')
    .replace(/(Migrations applied: )\d+/g, '$1<n>')
    .replace(/\(\d+(\.\d+)? s\)/g, '(<n> s)')
    .replace(/^[a-z][A-Za-z ]*: .*; nothing found$/gm, (line) => line.replace(/\d+/g, '<n>'))
    .replace(/(?<=")(version|currentVersion)": "\d+"/g, '$1": "<n>"')
    .trimEnd()

/** The first promised line that is not there; null when all are, in this order. A line that is `…` stands for any number. */
export function missingLine(promised: string, actual: string): string | null {
  const lines = normal(actual).split('\n')
  let from = 0
  for (const line of normal(promised).split('\n')) {
    if (line.trim() === '…' || line.trim() === '') continue
    const at = lines.findIndex((one, index) => index >= from && one.trimEnd() === line.trimEnd())
    if (at === -1) return line
    from = at + 1
  }
  return null
}
