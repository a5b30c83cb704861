// What a whole run of the proof has seen, gathered from the lines of its parts; and whether a later run shows all that an
// earlier one has shown. How often and how fast is not compared: machines differ.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Part, Records } from './record.ts'

export type Seen = { readonly [P in Part]: readonly Records[P][] }

/** A run, as docs/proof.json keeps the last one that was told of. */
export interface Proof {
  /** Day. */
  readonly at: string
  readonly machine: string
  readonly minutes: number
  readonly seen: Seen
}

const parts = Object.keys({
  meeting: true,
  mutant: true,
  crash: true,
  fault: true,
  pair: true,
  soak: true,
} satisfies Record<Part, true>) as Part[]

/** The lines of a folder, in the order of their names: parts run side by side. */
export function gather(folder: string): Seen {
  const linesOf = (part: Part) => {
    const file = join(folder, `${part}.jsonl`)
    return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n').toSorted() : []
  }
  return Object.fromEntries(
    parts.map((part) => [part, linesOf(part).map((line) => JSON.parse(line))]),
  ) as unknown as Seen
}

/** What is the same thing in any run. Of deaths it is what dies: which moments a run meets depends on who is faster. */
const nameOf: { readonly [P in Part]: (seen: Records[P]) => string } = {
  meeting: ({ name }) => name,
  mutant: ({ name }) => `the planted bug "${name}"`,
  crash: ({ of }) => `deaths of ${of}`,
  fault: ({ kind, name }) => `the fault of a ${kind}, ${name}`,
  pair: ({ mutation, member }) => `${mutation} that answers ${member}`,
  soak: () => 'a soak',
}

/** Names of what the first run has seen and the second has not. */
export function lost(told: Proof, now: Proof): string[] {
  const namesOf = <P extends Part>(part: P, { seen }: Proof) => new Set(seen[part].map(nameOf[part]))
  return parts.flatMap((part) => {
    const shown = namesOf(part, now)
    return [...namesOf(part, told)].filter((name) => !shown.has(name))
  })
}
