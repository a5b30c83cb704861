// The rules of a secret's moves. A value is sealed for one revision of one secret before the statement, which repeats that
// revision: what was sealed for another is never stored. Events tell names and revisions, never values.
import { and, eq, type SQL, sql } from 'drizzle-orm'
import { secret } from '../db/secret.ts'
import { secretMachine } from '../lifecycle/secret.ts'
import { defineBirth, defineRule } from './transition.ts'
import { intParam, textParam } from './transition-statement.ts'

const part = { table: secret, machine: secretMachine } as const
const byId = and(eq(secret.id, textParam('id')), eq(secret.teamId, textParam('teamId'))) as SQL
const told = (name: SQL, environment: SQL, revision: SQL) =>
  sql`jsonb_build_object('name', ${name}, 'environment', ${environment}, 'revision', ${revision})`

/** What a repeat under the same key is told. */
const created = (yes: boolean) => sql`jsonb_build_object('created', ${sql.raw(String(yes))})`

export const createSecret = defineBirth({
  ...part,
  name: 'createSecret',
  action: 'createSecret',
  takes: [{ kind: 'secrets' }],
  values: {
    id: textParam('id'),
    teamId: textParam('teamId'),
    environment: textParam('environment'),
    name: textParam('name'),
    value: textParam('sealed'),
    changedAt: sql`clock_timestamp()`,
    changedBy: textParam('actorId'),
  },
  data: told(textParam('name'), textParam('environment'), sql`1`),
  result: created(true),
})

export const setSecret = defineRule({
  name: 'setSecret',
  subject: {
    ...part,
    action: 'setSecret',
    where: byId,
    guard: (found) => sql`${found.revision} = ${intParam('revision')}`,
    set: (found) => ({
      value: textParam('sealed'),
      revision: sql`${found.revision} + 1`,
      changedAt: sql`clock_timestamp()`,
      changedBy: textParam('actorId'),
    }),
  },
  data: (found) => told(sql`${found.name}`, sql`${found.environment}`, sql`${found.revision} + 1`),
  result: () => created(false),
  called: true,
})

export const deleteSecret = defineRule({
  name: 'deleteSecret',
  subject: { ...part, action: 'deleteSecret', where: byId, set: () => ({ value: sql`null` }) },
  releases: 'secrets',
  data: (found) => told(sql`${found.name}`, sql`${found.environment}`, sql`${found.revision}`),
  called: true,
})
