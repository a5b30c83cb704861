// Ids: opaque, global, typed by a prefix, ordered by time. The same text in the API, the tables, logs and psql.
import { TypeID, typeidUnboxed } from 'typeid-js'

const prefixes = {
  Team: 'team',
  Member: 'mem',
  Invitation: 'inv',
  ApiToken: 'tok',
  Deployment: 'dep',
  Resource: 'res',
  Stack: 'stk',
  Secret: 'sec',
  PromotionApproval: 'apr',
  Operation: 'op',
  Instance: 'ins',
  Webhook: 'whk',
  WebhookDelivery: 'whd',
} as const

export type IdEntity = keyof typeof prefixes
const entityByPrefix = new Map<string, IdEntity>(
  Object.entries(prefixes).map(([entity, prefix]) => [prefix, entity as IdEntity]),
)

/** A new id, e.g. `dep_01k…`: 26 characters of base32 after the prefix, a UUIDv7 inside. */
export const newId = (entity: IdEntity): string => typeidUnboxed(prefixes[entity])

/** What an id is of, or null when it is none of ours: such an id can belong to nothing. */
export function entityOfId(id: string): IdEntity | null {
  if (id.length > 64) return null
  try {
    return entityByPrefix.get(TypeID.fromString(id).getType()) ?? null
  } catch {
    return null
  }
}
