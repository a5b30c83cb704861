// What the actors of all subjects perform, each alone on its scene: declared moves, seen by triggers of the stage in the log and
// in the rows, and mutations that were accepted. What nobody performs is explored by nobody.
import type { Context } from '../../src/context.ts'
import type { Machine, Move } from '../../src/lifecycle/machine.ts'
import { machines } from '../../src/lifecycle/machines.ts'
import { begin, type Play, type Subject } from './play.ts'
import { openStage, type Stage } from './stage.ts'

export interface Performed {
  /** `Entity.move`. */
  readonly moves: ReadonlySet<string>
  readonly mutations: ReadonlySet<string>
  /** `subject/actor` that has thrown, with what. */
  readonly failures: readonly string[]
}

/** Notes every event, and every change of a row whose moves the log does not all tell of. */
const triggers = [
  'create table performed (entity text, kind text, from_state text, to_state text, by text)',
  "create unique index on performed (entity, coalesce(kind, by), coalesce(from_state, ''), coalesce(to_state, ''))",
  `create function note_event() returns trigger language plpgsql as $$ begin
    insert into performed values (new.subject_type, new.kind) on conflict do nothing; return null; end $$`,
  `create function note_row() returns trigger language plpgsql as $$ begin
    insert into performed values (tg_argv[0], null, case when tg_op = 'UPDATE' then old.state end, new.state,
      coalesce(substring(current_query() from '/\\* ([A-Za-z]+)'), '')) on conflict do nothing;
    return null; end $$`,
  'create trigger noted after insert on event for each row execute function note_event()',
  ...machines
    .filter(({ moves }) => Object.values(moves).some(isSilent))
    .map(
      ({ table, entity }) =>
        `create trigger noted after insert or update on "${table}" for each row execute function note_row('${entity}')`,
    ),
]

/** Plays every actor of these subjects alone, and carries out what it has left to be done. */
export async function performedBy(subjects: readonly Subject[]): Promise<Performed> {
  const stage = await openStage({ seats: 1, before: triggers })
  const mutations = new Set<string>()
  const failures: string[] = []
  try {
    for (const subject of subjects) {
      for (const name of Object.keys(subject.actors))
        await playAlone(stage, subject, name, mutations).catch((error: unknown) => {
          failures.push(`${subject.name}/${name}: ${(error as Error).message}`)
        })
    }
    const seen = await stage.control<Seen[]>`select entity, kind, from_state as from, to_state as to, by from performed`
    const moves = machines.flatMap((machine) =>
      Object.keys(machine.moves).flatMap((action) =>
        isSeen(machine, action, seen) ? [`${machine.entity}.${action}`] : [],
      ),
    )
    return { moves: new Set(moves), mutations, failures }
  } finally {
    await stage.close()
  }
}

async function playAlone(stage: Stage, subject: Subject, name: string, mutations: Set<string>): Promise<void> {
  const play = await begin(stage, subject)
  const [seat] = stage.seats
  if (!seat) return
  const noting: Play = {
    ...play,
    context: (...asked) => {
      const context = play.context(...asked)
      const transition: Context['metrics']['transition'] = (entity, action, outcome) => {
        if (outcome === 'moved') mutations.add(action)
        context.metrics.transition(entity, action, outcome)
      }
      return { ...context, metrics: { ...context.metrics, transition } }
    },
  }
  try {
    await subject.actors[name]?.run(noting, seat, 'performed')
    await subject.settles?.(play)
  } finally {
    await stage.clear(play.scene.teamId)
  }
}

interface Seen {
  readonly entity: string
  /** Of an event; null for a change of a row. */
  readonly kind: string | null
  readonly from: string | null
  readonly to: string | null
  /** The name of the statement, of a change of a row. */
  readonly by: string | null
}

function isSilent({ untold }: Move): boolean {
  return untold === 'always'
}

/** Told by the log; or, of what it does not tell, by the states of the row, where no other move with them has that statement. */
function isSeen({ entity, moves }: Machine, action: string, seen: readonly Seen[]): boolean {
  const move = moves[action]
  const mine = seen.filter((each) => each.entity === entity)
  if (!move || !isSilent(move)) return mine.some(({ kind }) => kind === action)
  const leads = ({ from, to }: Move, one: Seen) =>
    (from === 'birth' ? one.from === null : one.from !== null && from.includes(one.from)) &&
    (to === 'same' ? one.to === one.from : one.to === to)
  const others = Object.entries(moves).filter(([name]) => name !== action)
  return mine.some(
    (one) =>
      one.kind === null &&
      leads(move, one) &&
      !others.some(([name, other]) => leads(other, one) && one.by?.startsWith(name)),
  )
}
