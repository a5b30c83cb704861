// Who uses a secret: the live deployments and stacks of its environment with a variable that refers to it. Found in the
// variables as they are stored, for many secrets in one statement; bounded for each of them.
import { sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { deployment } from '../db/deployment.ts'
import { statementOf } from '../db/prepared.ts'
import { secret } from '../db/secret.ts'
import { stack } from '../db/stack.ts'
import { liveDeploymentStates } from '../lifecycle/deployment.ts'
import { liveStackStates } from '../lifecycle/stack.ts'
import { referableSecrets } from './reference.ts'
import type { Database } from './transition.ts'
import { listParam, textParam } from './transition-statement.ts'

/** Most uses that are told of one secret. */
export const maxUses = 100

/** A variable that refers to a secret. */
export interface SecretUse {
  readonly key: string
  readonly subjectId: string
}

const usesIn = (table: typeof deployment | typeof stack, live: readonly string[]) => sql`
  select a.id as secret_id, w.id as subject_id, e.key from ${table} w, jsonb_each(w.env) e(key, entry), asked a
  where w.team_id = ${textParam('teamId')} and w.state in (${sql.raw(quoted(live))}) and w.environment = a.environment
    and e.entry ->> 'value' = a.reference`

/** The uses of each secret, oldest user first, at most `maxUses` of each, in the order asked for; none of a deleted one. */
export async function usesOf(db: Database, teamId: string, ids: readonly string[]): Promise<SecretUse[][]> {
  const statement = statementOf(db, 'read:secret.uses', () => {
    const asked = db
      .$with('asked', {})
      .as(sql`/* read:secret.uses */ select s.id, s.environment, 'secret://' || s.name as reference
      from ${secret} s where s.team_id = ${textParam('teamId')} and s.id = any(${listParam('ids')})
        and s.state in (${sql.raw(quoted(referableSecrets))})`)
    const uses = db
      .$with('uses', {})
      .as(sql`select u.*, row_number() over (partition by u.secret_id order by u.subject_id, u.key) as place
      from (${usesIn(deployment, liveDeploymentStates)} union all ${usesIn(stack, liveStackStates)}) u`)
    return db
      .with(asked, uses)
      .select({
        secretId: sql<string>`secret_id`,
        subjectId: sql<string>`subject_id`,
        key: sql<string>`key`,
      })
      .from(uses as never)
      .where(sql`place <= ${sql.raw(String(maxUses))}`)
      .orderBy(sql`place`)
      .prepare('read:secret.uses')
  })
  const rows = (await statement.execute({ teamId, ids: ids.join(',') })) as (SecretUse & { secretId: string })[]
  const bySecret = Map.groupBy(rows, ({ secretId }) => secretId)
  return ids.map((id) => (bySecret.get(id) ?? []).map(({ key, subjectId }) => ({ key, subjectId })))
}
