// How a bug is planted: statements are rewritten on their way from an actor to its connection, or an actor does what the design
// forbids. All of it lives in the tests alone; the product has no switch for any of it.
import type { Context } from '../../../src/context.ts'
import type { Channel, Database } from '../../../src/db/client.ts'
import { channelOf, databaseOver } from '../../../src/db/session.ts'
import type { Machine } from '../../../src/lifecycle/machine.ts'
import { type Mutation, mutating } from '../../interleave.ts'
import type { How } from '../explore.ts'
import { type Actor, calls, type Ids, type Play, type Subject } from '../play.ts'
import { subjectNamed } from '../subject/all.ts'

/** A bug, the races of the catalogue that it stands for, and the meeting in which it shows. */
export interface Mutant {
  readonly name: string
  readonly races: readonly string[]
  readonly subject: Subject
  readonly cast: readonly string[]
  /** Who does it right, in the places of those who do not; default: the same actors, with their statements as they are. */
  readonly right?: readonly string[]
  /** What is rewritten of everybody's statements. */
  readonly wrap?: (channel: Channel) => Channel
  /** The triggers stay, and nothing but a statement keeps them from being the ones that decide. */
  readonly guards?: boolean
  /** Statements that take away what else would decide, e.g. an index. */
  readonly before?: readonly string[]
  readonly how?: How
}

/** A subject with more actors, or with others of the same name. */
export const withActors = (name: string, more: Readonly<Record<string, Actor>>): Subject => {
  const subject = subjectNamed(name)
  return { ...subject, actors: { ...subject.actors, ...more } }
}

/** Rewritings of statements, for a mutant's `wrap`. */
export const rewriting = (...mutations: Mutation[]) => mutating(...mutations)

/** Leaves a condition out of a statement. */
export const without = (name: string, from: string, to = 'true') => rewriting({ name, from, to })

/** The states are looked at in the row as the statement's snapshot has it, and not as it is under the lock: wrong in a race only. */
export const unlocked = (name: string, { table, moves }: Machine, action = name, found = 'found') => {
  const { from: states } = moves[action] as { from: readonly string[] }
  const listed = states.map((state) => `'${state}'`).join(', ')
  const from = `"${found}".state in (${listed})`
  return rewriting({ name, from, to: `(select x.state from "${table}" x where x.id = "${found}".id) in (${listed})` })
}

/** Two rewritings of the same. */
export const both =
  (one: (channel: Channel) => Channel, other: (channel: Channel) => Channel) =>
  (channel: Channel): Channel =>
    one(other(channel))

/** Rewrites statements by a pattern, because parameters have numbers; throws where there is nothing to rewrite. */
export const rewritingAll =
  (names: RegExp, from: RegExp, to: string) =>
  (channel: Channel): Channel => ({
    run(statement) {
      const name = /^\s*\/\*\s*([\w.:-]+)/.exec(statement.sql)?.[1] ?? ''
      if (!names.test(name)) return channel.run(statement)
      const sql = statement.sql.replace(from, to)
      if (sql === statement.sql) throw new Error(`the mutant of ${name} finds nothing to rewrite: ${from}`)
      return channel.run({ ...statement, sql })
    },
  })

const rewrittenOf = new WeakMap<(channel: Channel) => Channel, WeakMap<Database, Database>>()
function seenThrough(db: Database, wrap: (channel: Channel) => Channel): Database {
  const known = rewrittenOf.get(wrap) ?? new WeakMap<Database, Database>()
  rewrittenOf.set(wrap, known)
  const made = known.get(db) ?? databaseOver(wrap(channelOf(db)))
  known.set(db, made)
  return made
}

/** The same actor, whose statements are rewritten. */
export const through = (actor: Actor, wrap: (channel: Channel) => Channel): Actor => ({
  ...actor,
  run: (play, seat, requestId) => actor.run(play, { ...seat, db: seenThrough(seat.db, wrap) }, requestId),
})

/** The scene of a mutant: every actor's statements are rewritten. */
export const planted = ({ subject, wrap }: Mutant): Subject =>
  wrap
    ? {
        ...subject,
        actors: Object.fromEntries(Object.entries(subject.actors).map(([name, actor]) => [name, through(actor, wrap)])),
      }
    : subject

/** An operation written by hand, as it must not be. */
export const written = (call: (context: Context, ids: Ids, play: Play) => Promise<object>): Actor => calls(call)

/** The same actor, whose drivers are others. */
export const driving = (actor: Actor, other: (play: Play) => Partial<Play>): Actor => ({
  ...actor,
  run: (play, seat, requestId) => actor.run(Object.assign(Object.create(play), other(play)), seat, requestId),
})
