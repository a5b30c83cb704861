// One object of every type that has an id: its row, put past the triggers, all of whose texts tell whose it is. A row may
// refer to objects of its own team, or of another, as no product would write it: so that reads are tried from both ends.
import { randomBytes } from 'node:crypto'
import type postgres from 'postgres'
import { actionClasses, scopes } from '../../src/auth.ts'
import { entityOfId, type IdEntity, newId } from '../../src/db/id.ts'
import { machineOf } from '../../src/lifecycle/machines.ts'
import { mintToken } from '../../src/token.ts'
import { putOwner } from '../owner.ts'
import { testSealing } from '../row.ts'

/** One id per type that has ids. */
export type Objects = Readonly<Record<string, string>>

export interface Making {
  readonly id: string
  readonly teamId: string
  /** Stands in every text of the row. */
  readonly mark: string
  /** What the row refers to, by type. */
  readonly refer: (type: string) => string
  readonly at: Date
  /** Columns that are otherwise, by type. */
  readonly but?: Readonly<Record<string, Row>>
}
type Row = Readonly<Record<string, unknown>>

const unique = () => randomBytes(6).toString('hex')
const later = (at: Date) => new Date(at.getTime() + 30 * 86_400_000)
/** A name that nothing has unless it is told to: team A refers to it, team B has it. */
export const shared = 'shared'
const env = ({ mark, refer, at }: Making) => {
  const entry = (value: string) => ({
    value,
    revision: 1,
    changedAt: at.toISOString(),
    changedBy: refer('ApiToken'),
  })
  return {
    [mark.toUpperCase()]: entry(mark),
    RESOURCE: entry(`resource://${shared}`),
    SECRET: entry(`secret://${shared.toUpperCase()}`),
  }
}
const credentials = () => {
  const { lookupId, secretHash } = mintToken()
  return { lookup_id: lookupId, secret_hash: secretHash }
}

/** What is in the row of each type beyond id, team and times. A type that is missing here fails the sweeps. */
export const makers: Readonly<Record<string, (making: Making) => Row>> = {
  Team: ({ mark }) => ({ state: 'ACTIVE', name: mark }),
  Member: ({ id, mark }) => ({
    state: 'ACTIVE',
    identity: `local:${id}`,
    name: mark,
    email: `${mark}@example.test`,
    role: 'developer',
  }),
  Invitation: ({ mark, at, refer }) => ({
    state: 'PENDING',
    email: `${mark}@example.test`,
    role: 'viewer',
    ...credentials(),
    expires_at: later(at),
    invited_by: refer('Member'),
  }),
  ApiToken: ({ mark, at, refer }) => ({
    state: 'ACTIVE',
    member_id: refer('Member'),
    name: mark,
    ...credentials(),
    scopes: [...scopes],
    action_classes: [...actionClasses],
    expires_at: later(at),
    last_used_at: at,
  }),
  Deployment: (making) => ({
    state: 'HEALTHY',
    name: `${making.mark}-${unique()}`,
    environment: 'development',
    image: making.mark,
    url: `http://${making.mark}.test`,
    instance_id: making.mark,
    env: env(making),
    env_revision: 1,
    ttl_policy: 'TTL',
    expires_at: later(making.at),
    incarnation: unique(),
  }),
  Resource: ({ id, teamId, mark, at }) => ({
    state: 'ACTIVE',
    name: `${mark}-${unique()}`,
    environment: 'development',
    type: 'POSTGRES',
    incarnation: unique(),
    password: testSealing.seal(mark, [teamId, id, 'password']),
    connection: testSealing.seal(`fake://${mark}`, [teamId, id, 'connection']),
    expires_at: later(at),
    limit_bytes: 1_000,
    size_bytes: 1,
  }),
  Stack: (making) => ({
    state: 'HEALTHY',
    name: `${making.mark}-${unique()}`,
    environment: 'development',
    services: [{ name: making.mark, image: making.mark, port: null, exposed: true }],
    placed: { [making.mark]: { generation: 1, state: 'HEALTHY', url: `http://${making.mark}.test` } },
    env: env(making),
    env_revision: 1,
    incarnation: unique(),
  }),
  Instance: ({ mark, at, refer }) => ({
    state: 'STARTING',
    state_reason: mark,
    name: mark,
    environment: 'development',
    runtime: 'EXTERNAL',
    instance_id: `${mark}-${unique()}`,
    subject_type: entityOfId(refer('Deployment')),
    subject_id: refer('Deployment'),
    url: `http://${mark}.test`,
    heartbeat_at: at,
    heartbeat_seconds: 30,
    started_at: at,
  }),
  Secret: ({ id, teamId, mark, at, refer }) => ({
    state: 'ACTIVE',
    name: `${mark}_${unique()}`.toUpperCase(),
    environment: 'development',
    value: testSealing.seal(mark, [teamId, id, 'value.1']),
    changed_at: at,
    changed_by: refer('ApiToken'),
  }),
  Webhook: ({ id, teamId, mark, at }) => ({
    state: 'ACTIVE',
    url: `https://${mark}.test/`,
    filter: { kinds: [mark], subjectTypes: null, subjects: null },
    secret: testSealing.seal(mark, [teamId, id, 'secret']),
    secret_changed_at: at,
    cursor: 0,
  }),
  WebhookDelivery: ({ mark, at, refer }) => ({
    state: 'DEAD',
    webhook_id: refer('Webhook'),
    position: 1,
    subject_id: refer('Deployment'),
    message_id: mark,
    redelivery_of: refer('WebhookDelivery'),
    status: 500,
    outcome: mark,
    due_at: at,
  }),
  Operation: ({ mark, at, refer }) => ({
    state: 'PENDING',
    kind: 'deployment.roll_out',
    subject_type: 'Deployment',
    subject_id: refer('Deployment'),
    due_at: at,
    outcome: mark,
    retry_of: refer('Operation'),
    actor: { kind: 'token', id: refer('ApiToken') },
    request_id: mark,
  }),
  PromotionApproval: ({ mark, at, refer }) => ({
    state: 'PENDING',
    kind: 'STACK',
    subject_id: refer('Stack'),
    to_environment: 'production',
    plan_digest: mark,
    plan: { mark },
    requested_by: refer('Member'),
    decided_by: refer('Member'),
    expires_at: later(at),
    operation_id: refer('Operation'),
  }),
}

/** New ids, one of each type. */
export const newObjects = (): Objects =>
  Object.fromEntries(Object.keys(makers).map((type) => [type, newId(type as IdEntity)]))

/** A team with its owner and room in its plan; the triggers must be off. */
export async function putTeam(sql: postgres.ISql, id: string, mark: string, at: Date): Promise<void> {
  await put(sql, 'Team', { id, teamId: id, mark, refer: () => id, at })
  await putOwner(sql, id, 1_000)
  await sql`update plan_usage set cap = 1000 where team_id = ${id}`
}

/** A row of that type; the triggers must be off. */
export async function put(sql: postgres.ISql, type: string, making: Making): Promise<void> {
  const maker = makers[type]
  if (!maker) throw new Error(`test/sweep/maker.ts has no row for ${type}`)
  const { id, teamId, at } = making
  const owner = type === 'Team' ? {} : { team_id: teamId }
  // Long in its state: whatever may be stuck is.
  const since = new Date(at.getTime() - 400 * 86_400_000)
  const row = { id, ...owner, created_at: at, state_changed_at: since, ...maker(making), ...making.but?.[type] }
  await sql`insert into ${sql(machineOf(type).table)} ${sql(row as never)}`
}

/** An object of each type but the team, each with its events; `position` is the place of the first event in the log. */
export async function putObjects(
  sql: postgres.ISql,
  objects: Objects,
  making: Omit<Making, 'id'>,
  position: number,
): Promise<void> {
  const rows = Object.entries(objects).flatMap(([type, id], at) => [
    ...(type === 'Team' ? [] : [put(sql, type, { ...making, id })]),
    putEvent(sql, { ...making, id }, type, id, position + 2 * at),
    // The same of what it refers to.
    putEvent(sql, { ...making, id }, type, making.refer(type), position + 2 * at + 1),
  ])
  await Promise.all(rows)
}

/** An event about an object, perhaps of another team. */
export async function putEvent(
  sql: postgres.ISql,
  { teamId, mark, at, refer }: Making,
  type: string,
  subjectId: string,
  position: number,
): Promise<void> {
  const { states } = machineOf(type)
  const row = {
    position,
    occurred_at: at,
    team_id: teamId,
    subject_type: type,
    subject_id: subjectId,
    kind: mark,
    to_state: Object.keys(states)[0],
    generation: 1,
    version: 1,
    actor_kind: 'token',
    actor_id: refer('ApiToken'),
    request_id: mark,
    operation_id: refer('Operation'),
    transition_id: crypto.randomUUID(),
    data: { mark },
  }
  await sql`insert into event ${sql(row as never)}`
}
