// Whether a planted bug is found: its meeting is explored until something is wrong, what was found is played again, and the same
// meeting without the bug keeps all promises. Stages are shared: bugs travel with the actors.
import { type Finding, Meeting } from '../explore.ts'
import { openStage, type Stage } from '../stage.ts'
import { type Mutant, planted } from './plant.ts'

/** So many schedules of the meeting without the bug: its first ones; `npm run explore` plays all of those that are the product's. */
const rightAtMost = 60
/** A statement that PostgreSQL cannot make sense of shows no bug. */
const broken =
  /: bug: |syntax error|does not exist|ambiguous|missing FROM|finds nothing to rewrite|violates not-null|could not determine/

export interface Hunted {
  readonly finding: Finding | null
  /** What was wrong with it, by the kind of check that says so. */
  readonly by: string
  /** Why it does not count, if it does not. */
  readonly fault: string | null
}

/** Stages that any number of mutants are played on. */
export class Hunt {
  readonly #stages = new Map<boolean, Promise<Stage>>()
  readonly #seats: number

  constructor(seats: number) {
    this.#seats = seats
  }

  async find(mutant: Mutant): Promise<Hunted> {
    const { subject, cast, right = cast, before, how = {} } = mutant
    const stage = before
      ? await openStage({ guards: false, before, seats: cast.length })
      : await this.#bare(mutant.guards)
    try {
      const meeting = new Meeting(stage, planted(mutant), cast)
      const { finding } = await meeting.explore(how)
      if (!finding) return { finding, by: '', fault: 'nothing was found' }
      const by = checkOf(finding.flaws)
      const said = finding.flaws.find((flaw) => broken.test(flaw))
      if (said) return { finding, by, fault: `the mutant itself is broken: ${said}` }
      const raceless = /^wrong without any race/.test(finding.flaws[0] ?? '')
      const again = raceless ? finding : await meeting.replay(finding.schedule)
      if (again.flaws.length === 0) return { finding, by, fault: 'what was found is not found again' }
      const healthy = before ? await this.#bare(true) : stage
      const { finding: wrong } = await new Meeting(healthy, subject, right).explore({ ...how, atMost: rightAtMost })
      return { finding, by, fault: wrong ? `without the bug it fails, too: ${wrong.flaws.join('; ')}` : null }
    } finally {
      if (before) await stage.close()
    }
  }

  #bare(guards = false): Promise<Stage> {
    const stage = this.#stages.get(guards) ?? openStage({ guards, seats: this.#seats })
    this.#stages.set(guards, stage)
    return stage
  }

  async close(): Promise<void> {
    for (const stage of this.#stages.values()) await (await stage).close()
  }
}

const promises: Readonly<Record<string, string>> = {
  P1: 'declared moves alone (P1)',
  P2: 'every effect, once (P2)',
  P3: 'what was accepted, and nothing else (P3)',
  P4: 'one approval, one promotion (P4)',
  P5: 'one runner, and none that is outdated (P5)',
  P6: 'the chain of events (P6)',
  P7: 'nobody else’s objects (P7)',
  P9: 'an answer to every call (P9)',
  P10: 'an end to every passing state (P10)',
}

/** What says that something is wrong. */
function checkOf(flaws: readonly string[]): string {
  const found = new Set(
    flaws.flatMap((flaw) => {
      if (/^no order/.test(flaw)) return ['no order explains the answers and the end']
      if (/^all tasks/.test(flaw)) return ['all wait for each other']
      return promises[/^P\d+/.exec(flaw)?.[0] ?? ''] ?? []
    }),
  )
  return [...found].join('; ')
}
