// What the parts of the proof have seen, a line each, for the page that is made of it (docs/proof.md). Where nobody wants to
// know (PAWL_PROOF is not set), nothing is written.
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Records {
  /** Actors that met on one subject; `way` is how their schedules were chosen. */
  readonly meeting: {
    readonly name: string
    readonly way: 'all' | 'bounded'
    readonly schedules: number
    readonly ms: number
    readonly kept: boolean
  }
  /** A planted bug; the races it stands for; what has found it. */
  readonly mutant: {
    readonly name: string
    readonly races: readonly string[]
    readonly killed: boolean
    readonly by: string
    /** What was said of it, schedule and command included, where that is worth showing. */
    readonly told?: string
  }
  /** A moment at which the process was killed, of an operation, a mutation or a loop. */
  readonly crash: { readonly of: string; readonly point: string; readonly kept: boolean }
  /** Something that went wrong around us: PostgreSQL, the connection to it, a driver. */
  readonly fault: { readonly kind: 'postgres' | 'connection' | 'driver'; readonly name: string; readonly kept: boolean }
  /** A mutation and a member of its result that a call has answered with; how many of its remedies were accepted. */
  readonly pair: { readonly mutation: string; readonly member: string; readonly remedies: number }
  /** A run of the soak: figures by name. */
  readonly soak: Readonly<Record<string, number | string>>
}
export type Part = keyof Records

/** Writes down one thing that was seen. */
export function record<P extends Part>(part: P, seen: Records[P]): void {
  const folder = process.env.PAWL_PROOF
  if (folder) appendFileSync(join(folder, `${part}.jsonl`), `${JSON.stringify(seen)}\n`)
}
