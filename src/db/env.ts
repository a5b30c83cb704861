// What a row keeps of an environment: one jsonb with the provenance of each variable, so that a merge sees it through the
// row's lock.
import { integer, jsonb } from 'drizzle-orm/pg-core'

/** One environment variable with its provenance. `revision` is never used twice on a row. */
export interface EnvEntry {
  value: string
  revision: number
  changedAt: string
  changedBy: string
}
export type Env = Record<string, EnvEntry>

export const envColumns = () => ({
  env: jsonb('env').$type<Env>().notNull().default({}),
  /** Goes up with each merge; the revision of every key that the merge sets. */
  envRevision: integer('env_revision').notNull().default(0),
})
