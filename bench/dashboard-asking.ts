// The call of the benchmark `dashboard`, as each contestant takes it: fifty deployments of a team with their instance, their last
// operation and what may be done with them, and its resources.
import type { Asking } from './asking.ts'

const shown = (id: string, newest: string, before = '') => `query Dashboard {
  deployments${before}(first: 50${newest}) { nodes { ${id} name environment state url generation allowedActions { action allowed because }
    instances(first: 2${newest}) { nodes { ${id} state runtime } }
    operations(first: 1${newest}) { nodes { ${id} kind state generation } } } }
  resources${before.replace('allDeployments', 'allResources')}(first: 20${newest}) { nodes { ${id} name state type } }
}`
/** In PostGraphile ids are called rowId, lists of all `all…`, and the order is said. */
export const queries = {
  pawl: shown('id', ''),
  apollo: shown('id', ''),
  postgraphile: shown('id: rowId', ', orderBy: [CREATED_AT_DESC, ROW_ID_DESC]', ': allDeployments'),
} as const
export type Asked = keyof typeof queries
export const bodyOf = (asked: Asked): string => JSON.stringify({ query: queries[asked] })

/** Every answer has all of its deployments; that they are the same was seen before. */
const asking =
  (asked: Asked): Asking =>
  ({ tokens }) => {
    const body = bodyOf(asked)
    let next = 0
    return () => ({
      token: String(tokens[next++ % tokens.length]),
      body,
      right: (status, text) =>
        status === 200 && text.split('"allowedActions"').length === 51 && !text.includes('"errors"'),
    })
  }
export const pawl = asking('pawl')
export const apollo = asking('apollo')
export const postgraphile = asking('postgraphile')
