// Who plays: teams with members of every role, their callers, a webhook and a follower for each team that stays. All of them are
// made through the API, before anything goes wrong.
import type { Role } from '../../../src/auth.ts'
import { ask, type Replica } from '../fleet.ts'
import { Book } from './book.ts'
import type { Caller } from './caller.ts'
import type { Watched } from './judge-told.ts'
import { untilEmpty } from './pace.ts'
import type { Stage } from './stage.ts'

interface Team {
  readonly name: string
  readonly teamId: string
  readonly token: string
  readonly book: Book
}
export interface Cast {
  /** All that stay. */
  readonly teams: readonly Team[]
  readonly callers: readonly Caller[]
  readonly watched: readonly Watched[]
}

/** The team that is deleted and restored, and deleted in the end. */
export const passingTeam = 'delta'
const roles: Readonly<Record<string, readonly Role[]>> = {
  alpha: ['admin', 'developer', 'developer', 'viewer'],
  beta: ['admin', 'developer', 'developer', 'viewer'],
  gamma: ['admin', 'developer'],
  [passingTeam]: ['developer'],
}

/** Asks for what must be had. */
async function have(
  replica: Replica,
  token: string,
  mutation: string,
  input: object,
  selection: string,
): Promise<Record<string, unknown>> {
  const [first = ''] = mutation
  const type = `${first.toUpperCase()}${mutation.slice(1)}`
  const query = `mutation ($input: ${type}Input!) { ${mutation}(input: $input) { __typename ... on ${type}Payload { ${selection} } } }`
  const { data, errors } = await ask(replica, token, query, { input })
  const result = data?.[mutation] as Record<string, unknown> | undefined
  if (result?.__typename !== `${type}Payload`) throw new Error(`${mutation}: ${JSON.stringify(errors ?? result)}`)
  return result
}

export async function makeCast({ sql, fleet, receiver, replicas }: Stage): Promise<Cast> {
  const replica = replicas[0] as Replica
  const [first] = await sql`select team_id from api_token`
  const teams: Team[] = []
  for (const name of Object.keys(roles)) {
    const made =
      teams.length === 0 ? null : await have(replica, fleet.token, 'createTeam', { name }, 'plaintext team { id }')
    const teamId = made ? (made.team as { id: string }).id : String(first?.team_id)
    teams.push({ name, teamId, token: made ? String(made.plaintext) : fleet.token, book: new Book() })
  }
  const callers: Caller[] = []
  for (const [place, { name, teamId, token, book }] of teams.entries()) {
    const elsewhere = (teams[(place + 1) % 3] as Team).book
    const ends = name === passingTeam
    if (ends) book.note('Team', teamId, null, {})
    const add = (role: Role, held: string) =>
      callers.push({
        index: callers.length,
        name: `${name}/${role}/${callers.length}`,
        role,
        ends,
        token: held,
        own: book,
        elsewhere,
      })
    add('owner', token)
    for (const role of roles[name] ?? []) {
      const email = `${role}@${name}.example.com`
      const { plaintext } = await have(replica, token, 'inviteMember', { email, role: role.toUpperCase() }, 'plaintext')
      const joined = await have(replica, String(plaintext), 'acceptInvitation', { name: role }, 'plaintext')
      add(role, String(joined.plaintext))
    }
  }
  const staying = teams.filter(({ name }) => name !== passingTeam)
  const watched = []
  for (const team of staying) watched.push(await watch(team, replica, receiver.url, sql))
  return { teams: staying, callers, watched }
}

async function watch(
  { name, teamId, token }: Team,
  replica: Replica,
  receiver: string,
  sql: Stage['sql'],
): Promise<Watched> {
  const { webhook } = await have(
    replica,
    token,
    'createWebhook',
    { url: `${receiver}/watched/${name}` },
    'webhook { id }',
  )
  const { id } = webhook as { id: string }
  await untilEmpty(() => sql`select 1 from event where position is null`, 30_000)
  const [made] = await sql`select max(position) as position from event where subject_id = ${id}`
  return { webhook: name, teamId, afterPosition: Number(made?.position) }
}
