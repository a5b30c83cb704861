// The rules of a webhook's input. Where it may be sent is another question, which the address itself answers.
import { z } from 'zod'
import { entityOfId } from '../db/id.ts'
import type { WebhookFilter } from '../db/webhook.ts'
import { machines } from '../lifecycle/machines.ts'
import { optional, text } from './input.ts'

const entities = machines.map(({ entity }) => entity)
const actions = new Set(machines.flatMap(({ moves }) => Object.keys(moves)))

const some = <T extends z.ZodType<string, string>>(one: T, most: number) =>
  optional(
    z
      .array(one)
      .min(1, 'must name at least one; leave it out for all')
      .max(most, `may name at most ${most}`)
      .transform((list) => [...new Set(list)]),
  )

const filter = z.object({
  kinds: some(
    text(63).refine((kind) => actions.has(kind), 'is not the kind of any event: see lifecycles'),
    100,
  ),
  subjectTypes: some(
    text(63).refine((type) => entities.includes(type), `must be one of ${entities.join(', ')}`),
    entities.length,
  ),
  subjects: some(
    text(64).refine((id) => entityOfId(id) !== null, 'is not the id of an object'),
    100,
  ),
}) satisfies z.ZodType<WebhookFilter>

const everything: WebhookFilter = { kinds: null, subjectTypes: null, subjects: null }
const url = text(2_000)

export const createWebhookInput = z.object({
  url,
  filter: filter.nullish().transform((given) => given ?? everything),
})

/** What is left out stays as it is. */
export const updateWebhookInput = z
  .object({
    url: optional(url),
    filter: optional(filter),
    enabled: optional(z.boolean()),
    rotateSecret: z
      .boolean()
      .nullish()
      .transform((given) => given ?? false),
  })
  .refine(({ url, filter, enabled, rotateSecret }) => (url ?? filter ?? enabled) !== null || rotateSecret, {
    path: ['url'],
    message: 'or filter, enabled or rotateSecret must be given: there is nothing to change',
  })
