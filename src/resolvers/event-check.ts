// Whether the event log holds what it promises: unbroken chains, declared moves, positions without a gap. What was trimmed
// is not missed.
import { sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { statesOfKind } from '../lifecycle/machine.ts'
import { machines } from '../lifecycle/machines.ts'
import { type Check, names } from './check.ts'

/** What every check of the log needs: through which position it was trimmed; 0 when it never was. */
export const trimmed = sql`(select trimmed_through from event_horizon)`

/** Entities whose every change has its event; of the others the version may go on without one. */
const told = machines
  .filter(({ moves }) => Object.values(moves).every(({ untold }) => untold === undefined))
  .map(({ entity }) => entity)

const known = machines.flatMap(({ entity, moves }) =>
  Object.entries(moves).map(([kind, { newGeneration }]) => ({ name: entity + kind, begins: newGeneration === true })),
)
/** Moves that begin a new generation, and those that do not; of what this version does not know neither is known. */
const wishes = known.filter(({ begins }) => begins).map(({ name }) => name)
const noWishes = known.filter(({ begins }) => !begins).map(({ name }) => name)

/** In id order each event of an object goes on from where the one before it has led; the first one is its birth. */
const chain: Check = {
  name: 'chain',
  steps: {
    link: sql`select subject_type, subject_id, id, kind, from_state, to_state, version, generation, lag(id) over one as before,
        lag(to_state) over one as state_before, lag(version) over one as version_before, lag(generation) over one as generation_before
      from event window one as (partition by subject_id order by id)`,
  },
  looked: sql`select count(*) || ' events in ' || count(*) filter (where before is null) || ' chains' from link`,
  flaws: sql`select format('%s: event %s, %s, %s', subject_id, id, kind, why) as line from link, lateral (select case
      when before is null and from_state is null and version <> 1 then format('is a birth of version %s', version)
      when before is null and from_state is not null and ${trimmed} = 0
        then format('is the first and goes on from %s: what came before is missing', from_state)
      when before is null then null
      when from_state is distinct from state_before
        then format('goes on from %s, and event %s has led to %s', coalesce(from_state, 'nothing'), before, state_before)
      when generation < generation_before then format('goes back from generation %s to %s', generation_before, generation)
      when generation > generation_before + 1 then format('goes from generation %s to %s: what came between is missing', generation_before, generation)
      when subject_type || kind in (${names(wishes)}) and generation = generation_before
        then format('stays at generation %s, and begins another one', generation)
      when subject_type || kind in (${names(noWishes)}) and generation > generation_before
        then format('goes on to generation %s, and begins none', generation)
      when version <= version_before then format('goes back from version %s to %s', version_before, version)
      when version > version_before + 1 and subject_type in (${names(told)})
        then format('goes from version %s to %s: what came between is missing', version_before, version)
    end as why) flaw where why is not null order by id`,
}

const moves = machines.flatMap((machine) =>
  Object.entries(machine.moves).flatMap(([kind, { from, to }]) =>
    (from === 'birth' ? [null] : from).map((state) => [machine.entity, kind, state, to === 'same' ? state : to]),
  ),
)
const row = (texts: readonly (string | null)[]) =>
  `(${texts.map((text) => (text === null ? 'null::text' : quoted([text]))).join(', ')})`

const over = machines.flatMap((machine) =>
  statesOfKind(machine, 'terminal').map((state) => sql`(${names([machine.entity])}, ${names([state])})`),
)
const leavesTheEnd = sql`(e.subject_type, e.from_state) in (${sql.join(over, sql`, `)})`

/**
 * Each event tells of a declared move. A move that this version does not know any more was one of an older version; but that
 * nothing comes back from its end holds for them all.
 */
const declared: Check = {
  name: 'moves',
  steps: {
    move: sql`select * from (values ${sql.raw(moves.map(row).join(', '))}) m (entity, kind, from_state, to_state)`,
  },
  looked: sql`select (select count(*) from event) || ' events of ' || count(distinct entity || kind) || ' declared moves' from move`,
  flaws: sql`select format('%s: event %s, %s from %s to %s is no declared move', subject_id, e.id, e.kind,
      coalesce(e.from_state, 'nothing'), e.to_state) as line
    from event e where not ${leavesTheEnd} and exists (select 1 from move m where (m.entity, m.kind) = (e.subject_type, e.kind))
      and not exists (select 1 from move m where (m.entity, m.kind) = (e.subject_type, e.kind)
        and m.from_state is not distinct from e.from_state and m.to_state = e.to_state)
    union all
    select format('%s: event %s, %s, brings it back: it was %s, which is never left', subject_id, e.id, e.kind, e.from_state) as line
    from event e where ${leavesTheEnd}`,
}

/** From the horizon on there is no gap and no repeat, and each object's events have their places in id order. */
const positions: Check = {
  name: 'positions',
  steps: {
    placed: sql`select id, position, lag(position) over (order by position) as before from event where position is not null`,
    ordered: sql`select subject_id, id, position, lag(id) over one as before, lag(position) over one as position_before
      from event window one as (partition by subject_id order by id)`,
  },
  looked: sql`select count(*) || ' positions' || coalesce(' from ' || min(position) || ' to ' || max(position), '') || ', ' ||
    (select count(*) from event where position is null) || ' events wait for theirs' from placed`,
  flaws: sql`select format('event %s: %s', id, case
        when before is null then format('the log begins at position %s, and was trimmed through %s', position, ${trimmed})
        when position = before then format('position %s was given twice', position)
        else format('the positions from %s to %s are missing before it', before + 1, position - 1) end) as line
      from placed where position <> coalesce(before, ${trimmed}) + 1
    union all
    select format('%s: event %s has position %s, and event %s before it has %s', subject_id, id, position, before,
        coalesce(position_before::text, 'none')) as line
      from ordered where before is not null and position is not null and (position_before is null or position_before > position)`,
}

export const eventChecks: readonly Check[] = [chain, declared, positions]
