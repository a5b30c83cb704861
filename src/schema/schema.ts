// The whole schema: every file of it is loaded here, and here only; sorted, so that its print is the contract.
import { lexicographicSortSchema, printSchema } from 'graphql'
import './viewer.ts'
import './lifecycle.ts'
import './limits.ts'
import './event.ts'
import './operation.ts'
import './deployment.ts'
import './deployment-mutation.ts'
import './resource.ts'
import './stack.ts'
import './stack-mutation.ts'
import './instance.ts'
import './instance-mutation.ts'
import './secret.ts'
import './secret-mutation.ts'
import './promotion.ts'
import './promotion-plan.ts'
import './promotion-mutation.ts'
import './twin-mutation.ts'
import './self-approval.ts'
import './promote-mutation.ts'
import './api-token.ts'
import './team.ts'
import './team-mutation.ts'
import './member.ts'
import './member-mutation.ts'
import './webhook.ts'
import './webhook-mutation.ts'
import './node.ts'
import './stuck.ts'
import './subscription.ts'
import { builder } from './builder.ts'

export { extraRefusals } from './mutation.ts'

export const schema = builder.toSchema()

/** The closed label set of the metric `pawl_graphql_duration_seconds`: every root field, and what is none. */
export const graphqlOperations: readonly string[] = [
  ...new Set(
    [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].flatMap((type) =>
      Object.keys(type?.getFields() ?? {}),
    ),
  ),
  'introspection',
  'unknown',
]

/** The contract as it is committed. */
export const printedSchema = (): string => `${printSchema(lexicographicSortSchema(schema))}\n`
