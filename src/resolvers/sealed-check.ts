// Whether what is stored sealed can be opened with the keys in hand, each at its own place; nothing of it is ever told. And what
// variables refer to: that a name leads somewhere is asked where something is started, so one that does not is told and no finding.
import { sql } from 'drizzle-orm'
import { liveDeploymentStates } from '../lifecycle/deployment.ts'
import { liveStackStates } from '../lifecycle/stack.ts'
import { type Sealing, UnsealError } from '../sealing.ts'
import { type Check, type Checked, checkedOf, names } from './check.ts'
import { referableResources, referableSecrets } from './reference.ts'
import { sealedColumns, sealedPage } from './sealed.ts'
import type { Database } from './transition.ts'

const batch = 1_000

/** Opens all of it, page by page: each value stands in its row with the place that it is sealed for. */
export async function checkSealed(db: Database, sealing: Sealing): Promise<Checked> {
  let count = 0
  const found: string[] = []
  for (const of of sealedColumns) {
    for (let after = ''; ; ) {
      const rows = await sealedPage(db, of, after, batch)
      const last = rows.at(-1)
      if (!last) break
      after = last.id
      count += rows.length
      for (const row of rows) {
        try {
          sealing.open(row.sealed, of.place(row))
        } catch (error) {
          if (!(error instanceof UnsealError)) throw error
          found.push(`${row.id}: ${of.name}: ${error.message}`)
        }
      }
    }
  }
  return checkedOf(`${count} sealed values, with the keys ${sealing.keyIds.join(', ')}`, found)
}

const referring = (table: 'deployment' | 'stack', states: readonly string[]) =>
  sql`select s.id, s.team_id, s.environment, e.value ->> 'value' as value from ${sql.identifier(table)} s, jsonb_each(s.env) e
    where s.state in (${names(states)}) and e.value ->> 'value' ~ '^(secret|resource)://'`

export const references: Check = {
  name: 'references',
  steps: {
    reference: sql`select r.*, exists (select 1 from secret s where s.team_id = r.team_id and s.environment = r.environment
          and s.name = substr(r.value, 10) and r.value like 'secret:%' and s.state in (${names(referableSecrets)}))
        or exists (select 1 from resource s where s.team_id = r.team_id and s.environment = r.environment
          and s.name = substr(r.value, 12) and r.value like 'resource:%' and s.state in (${names(referableResources)})) as leads
      from (${referring('deployment', liveDeploymentStates)} union all ${referring('stack', liveStackStates)}) r`,
    bare: sql`select id, environment from secret where state in (${names(referableSecrets)}) and value is null`,
  },
  looked: sql`select count(*) || ' references, ' || count(*) filter (where not leads) || ' of them to what is not there: started with it nothing is' from reference`,
  flaws: sql`select format('%s: can be referred to and has no value', id) as line from bare order by id`,
}
