// Reading instances: the team's list, those of an object, and many by id.
import { eq, getTableColumns } from 'drizzle-orm'
import { instance } from '../db/instance.ts'
import type { InstanceState } from '../lifecycle/instance.ts'
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

export type InstanceFilter = NamedFilter<InstanceState>

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
