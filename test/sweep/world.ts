// Two teams with one object of every type each, and between them the rows that must never be followed: of either team,
// referring to objects of the other. Team A asks; whatever tells of team B tells it
// by the word `theirs`.
import type postgres from 'postgres'
import { entityOfId } from '../../src/db/id.ts'
import { superuser } from '../fixture.ts'
import { ownerOf } from '../owner.ts'
import { putToken, withTriggersOff } from '../row.ts'
import type { Api } from '../schema/api.ts'
import { newObjects, type Objects, putObjects, putTeam, shared } from './maker.ts'

/** In every text of team B. */
export const mark = 'theirs'

export interface Party {
  readonly teamId: string
  /** Plaintext of a token of the owner, with every scope. */
  readonly token: string
  readonly own: Objects
  /** Of this team, but all that they refer to is the other's. */
  readonly crossed: Objects
  /** As `own`, and nothing of the other team refers to them. */
  readonly lone: Objects
  /** What has ended, under the name of something of the other team. */
  readonly ended: Objects
}

export interface World {
  readonly api: Api
  readonly sql: postgres.Sql
  readonly a: Party
  readonly b: Party
  /** Puts team B in place; until then its ids are those of nothing. */
  settle(): Promise<void>
  close(): Promise<void>
}

/** A moment of the past in whole milliseconds. The rows of team B are newer, and its events older: at the head of any list. */
const moment = (minutesAgo: number) => new Date(Date.now() - minutesAgo * 60_000)

/** Where the events of the next world lie in the log. */
let nextPosition = 1
const eventsOfWorld = 100_000

/** Team A with all that it has; team B as soon as it is settled. `close` ends the session, not the API. */
export async function openWorld(api: Api): Promise<World> {
  const sql = superuser(api.database.url)
  const position = nextPosition
  nextPosition += eventsOfWorld
  const [a, b] = [partyOf('ours', moment(10), {}), partyOf(mark, moment(5), namesakes)]
  const fill = (whose: typeof a, other: typeof b, from: number) =>
    withTriggersOff(sql, async (tx) => {
      const { teamId, at, text } = whose
      const making = { teamId, at, mark: text }
      await putTeam(tx, teamId, text, at)
      await putObjects(tx, whose.own, { ...making, refer: referTo(whose.own), but: whose.but }, from)
      await putObjects(tx, whose.crossed, { ...making, refer: referTo(other.own) }, from + 100)
      await putObjects(tx, whose.lone, { ...making, refer: referTo({ ...whose.lone, Team: teamId }) }, from + 200)
      await putObjects(tx, whose.ended, { ...making, refer: referTo(whose.own), but: endedOnes }, from + 300)
    })
  await fill(a, b, position + eventsOfWorld / 2)
  const token = await putToken(sql, { teamId: a.teamId })
  await sql`update api_token set last_used_at = now() where team_id = ${a.teamId}`
  return {
    api,
    sql,
    a: { ...a, token: token.plaintext },
    b,
    settle: () => fill(b, a, position),
    close: () => sql.end({ timeout: 5 }),
  }
}

/** What team B has under the names that team A uses; its deployment can be cancelled. */
const namesakes = {
  Deployment: { name: shared, state: 'BUILDING' },
  Resource: { name: shared },
  Stack: { name: shared },
  Secret: { name: shared.toUpperCase() },
}
const endedOnes = {
  Deployment: { name: shared, state: 'DELETED' },
  Resource: { name: shared, state: 'DELETED' },
  Stack: { name: shared, state: 'DELETED' },
}

function partyOf(text: string, at: Date, but: typeof namesakes | Record<string, never>) {
  const own = newObjects()
  // A team has one team, and that refers to nothing.
  const { Team: _, ...crossed } = newObjects()
  const { Team: __, ...lone } = newObjects()
  const { Deployment, Resource, Stack } = newObjects()
  return {
    teamId: String(own.Team),
    token: '',
    own,
    crossed: crossed as Objects,
    lone: lone as Objects,
    ended: { Deployment, Resource, Stack } as Objects,
    at,
    text,
    but,
  }
}

const referTo = (objects: Objects) => (type: string) => {
  const id = objects[type]
  if (id === undefined) throw new Error(`there is no ${type} to refer to`)
  return id
}

/** All ids of a party, its owner's too. */
export const idsOf = ({ teamId, own, crossed, lone, ended }: Party): string[] => [
  ...[own, crossed, lone, ended].flatMap((objects) => Object.values(objects)),
  ownerOf(teamId),
]

/**
 * Where an answer shows an object of team B: its own id under `id`, or any of its texts. Other fields may hold an id that
 * team A's own row refers to; where none does (`referred` is false) the ids in advice are looked at too.
 */
export function shownOf(theirs: ReadonlySet<string>, value: unknown, referred = true, path = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((each, at) => shownOf(theirs, each, referred, `${path}.${at}`))
  if (typeof value === 'object' && value !== null)
    return Object.entries(value).flatMap(([key, inner]) => shownOf(theirs, inner, referred, `${path}.${key}`))
  if (typeof value !== 'string') return []
  if (value.includes(mark)) return [`${path} is ${JSON.stringify(value)}`]
  // Advice, and who did it, name what the team's own row refers to.
  const ofOwnRow = referred && /\.arguments\.|\.actor\.id$/.test(path)
  return path.endsWith('.id') && !ofOwnRow && theirs.has(value)
    ? [`${path} is a ${entityOfId(value)} of another team`]
    : []
}
