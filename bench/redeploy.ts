// The call that is measured: `redeployDeployment` under an idempotency key, as each contestant takes it, and what its answer
// means. What is the same in all of them is compared before anything is counted (redeploy-check.ts).
import type { Asking, Call } from './asking.ts'
import { anyOf, idOf, type Share, tokenOf } from './subject.ts'

/** What an answer means, whoever gives it. */
export type Meaning =
  | {
      readonly kind: 'moved'
      readonly id: string
      readonly state: string
      readonly version: number
      readonly operationId: string
      readonly operationState: string
      readonly replayed: boolean
    }
  | { readonly kind: 'refused'; readonly code: string }
  | { readonly kind: 'stranger' }
  | { readonly kind: 'senseless'; readonly text: string }

export interface Dialect {
  readonly query: string
  meaning(status: number, text: string): Meaning
}

interface Payload {
  readonly deployment: { readonly id: string; readonly state: string; readonly version: string | number }
  readonly operation: { readonly id: string; readonly state: string }
  readonly replayed: boolean
}
interface Answer {
  readonly data?: {
    readonly redeployDeployment?: (Payload & { code?: string }) | { result: Payload & { refusal?: string } }
  }
  readonly errors?: readonly unknown[]
}

const moved = ({ deployment, operation, replayed }: Payload): Meaning => ({
  kind: 'moved',
  id: deployment.id,
  state: deployment.state,
  version: Number(deployment.version),
  operationId: operation.id,
  operationState: operation.state,
  replayed,
})

function meaning(status: number, text: string): Meaning {
  if (status === 401) return { kind: 'stranger' }
  const { data, errors }: Answer = JSON.parse(text)
  const answer = data?.redeployDeployment
  const payload = answer && 'result' in answer ? answer.result : answer
  if (status !== 200 || errors || !payload) return { kind: 'senseless', text }
  const refused = 'refusal' in payload ? payload.refusal : 'code' in payload ? payload.code : undefined
  if (refused === 'UNAUTHENTICATED') return { kind: 'stranger' }
  return refused ? { kind: 'refused', code: refused } : moved(payload)
}

const shown = 'replayed deployment { id state version } operation { id state }'
const query = `mutation Redeploy($input: RedeployDeploymentInput!) {
  redeployDeployment(input: $input) { ... on RedeployDeploymentPayload { ${shown} } ... on Refusal { code message } }
}`
export const dialects = {
  pawl: { query, meaning },
  mercurius: { query, meaning },
  apollo: { query, meaning },
  // It takes `id` for an id of its own, and calls ours `rowId`.
  postgraphile: {
    query: `mutation Redeploy($input: RedeployDeploymentInput!) {
      redeployDeployment(input: $input) { result { refusal ${shown.replaceAll('{ id', '{ id: rowId')} } } }`,
    meaning,
  },
} as const satisfies Record<string, Dialect>
export type DialectName = keyof typeof dialects

export interface Input {
  readonly id: string
  readonly idempotencyKey?: string
  readonly image?: string
}
export const bodyOf = ({ query }: Dialect, input: Input): string => JSON.stringify({ query, variables: { input } })

/** Calls on any deployment of a kind, each with a key of its own; right is what `rightly` says of what the answer means. */
function asking(dialect: Dialect, kind: Share, rightly: (meaning: Meaning, id: string) => boolean): Asking {
  // Only what varies is put together for each call: who asks shares the machine with who is asked.
  const [before = '', between = '', after = ''] = bodyOf(dialect, { id: '\0', idempotencyKey: '\0' }).split('\\u0000')
  return (seeded) => () => {
    const n = anyOf(seeded, kind)
    const id = idOf('dep', n)
    return {
      token: tokenOf(seeded, n),
      body: `${before}${id}${between}${crypto.randomUUID()}${after}`,
      right: (status, text) => rightly(dialect.meaning(status, text), id),
    } satisfies Call
  }
}

const accepted = (meaning: Meaning, id: string) =>
  meaning.kind === 'moved' &&
  meaning.id === id &&
  meaning.state === 'BUILDING' &&
  meaning.operationState === 'PENDING' &&
  !meaning.replayed
const refused = (meaning: Meaning) => meaning.kind === 'refused' && meaning.code === 'NOT_REDEPLOYABLE'

const accepting = (name: DialectName) => asking(dialects[name], 'redeployable', accepted)
export const pawl = accepting('pawl')
export const mercurius = accepting('mercurius')
export const apollo = accepting('apollo')
export const postgraphile = accepting('postgraphile')
export const pawlRefuses = asking(dialects.pawl, 'deleted', refused)
