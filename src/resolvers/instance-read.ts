// Reading instances: the team's list, those of an object, many by id, and one by what its provider calls it.
import { and, eq, getTableColumns, sql } from 'drizzle-orm'
import { quoted, stateIn } from '../db/columns.ts'
import { type InstanceRuntime, instance } from '../db/instance.ts'
import { statementOf } from '../db/prepared.ts'
import { type InstanceState, liveInstanceStates } from '../lifecycle/instance.ts'
import { lookUp } from './look-up.ts'
import { type NamedFilter, namedConditions } from './named-list.ts'
import { defineList } from './page.ts'
import type { Database } from './transition.ts'
import { textParam } from './transition-statement.ts'

const {
  incarnation: _incarnation,
  askedAt: _askedAt,
  failedChecks: _failedChecks,
  recentRestarts: _recentRestarts,
  ...shown
} = getTableColumns(instance)

/** An instance without what is bookkeeping of the loop that looks after it. */
export type InstanceView = Omit<
  typeof instance.$inferSelect,
  'incarnation' | 'askedAt' | 'failedChecks' | 'recentRestarts'
>

export type InstanceFilter = NamedFilter<InstanceState> & { readonly runtime?: InstanceRuntime | null }

export const instances = defineList<InstanceView>({
  name: 'instances',
  table: instance,
  columns: shown,
  key: 'created',
  owner: instance.subjectId,
  filters: { ...namedConditions(instance), runtime: eq(instance.runtime, textParam('runtime')) },
})

/** Instances of the team by id, in the order asked for; null where there is none. */
export const instancesById = (db: Database, teamId: string, ids: readonly string[]) =>
  lookUp<InstanceView>(db, 'read:instance.byId', { table: instance, columns: shown }, teamId, ids)

/** What the team has registered under that id of its provider, removed or not, or what Pawl runs under it now; null where there is none. */
export async function knownInstanceOf(db: Database, teamId: string, instanceId: string): Promise<InstanceView | null> {
  const statement = statementOf(db, 'read:instance.known', () =>
    db
      .select(shown)
      .from(instance)
      .where(
        and(
          eq(instance.teamId, textParam('teamId')),
          eq(instance.instanceId, textParam('instanceId')),
          sql`(${instance.runtime} = ${sql.raw(quoted(['EXTERNAL' satisfies InstanceRuntime]))} or ${stateIn(liveInstanceStates)})`,
        ),
      )
      .prepare('read:instance.known'),
  )
  const [row] = await statement.execute({ teamId, instanceId })
  return row ?? null
}
