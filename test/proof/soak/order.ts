// What callers order, in which mix. The nth order of a caller is the same for the same seed; which objects it is about depends on
// what is there by then, since only names can be chosen beforehand.
import { needOf, type Role, scopesOfRole } from '../../../src/auth.ts'
import type { IdEntity } from '../../../src/db/id.ts'
import type { Book } from './book.ts'
import { Dice } from './dice.ts'
import { mutationNames } from './document.ts'

type Input = Record<string, unknown>
interface Making {
  readonly dice: Dice
  /** Of the caller's team, or for an order of the wrong team of another one. */
  readonly book: Book
  /** Where webhooks may be sent. */
  readonly receiver: string
}
interface Kind {
  readonly weight: number
  readonly make: (making: Making) => Input
}

const environments = ['development', 'staging', 'production']
const images = ['hello:1', 'hello:2', 'hello:3', 'guestbook:1', 'guestbook:2', 'crashing', 'unhealthy']
const names = ['shop', 'blog', 'mail', 'feed', 'chat']
const keys = ['LEVEL', 'MODE', 'PEER', 'LIMIT', 'COLOR', 'DB']
const any = 1_000_000

const image = (dice: Dice) => (dice.chance(0.9) ? images[dice.int(0, 4)] : dice.pick(images))
const value = (dice: Dice) =>
  dice.chance(0.9) ? `v${dice.int(1, 99)}` : dice.pick(['secret://KEY', 'resource://main', 'secret://NONE'])
const variable = (dice: Dice) => ({ key: dice.pick(keys), value: value(dice) })
const environment = (dice: Dice) => environments[dice.int(0, 1)]
const services = (dice: Dice) =>
  ['web', 'api', 'jobs'].slice(0, dice.int(1, 3)).map((name) => ({ name, image: image(dice), exposed: name === 'web' }))
const envMerge = (dice: Dice) => {
  const [first, ...others] = [...keys].sort(() => (dice.chance(0.5) ? 1 : -1))
  return {
    set: [{ key: first, value: value(dice) }],
    unset: dice.chance(0.3) ? [others[0]] : [],
    ...(dice.chance(0.1) ? { expect: [{ key: first, revision: dice.int(1, 4) }] } : {}),
  }
}
/** An order about one known object; what is said of it besides may be nothing. */
const about =
  (type: IdEntity, more: (dice: Dice) => Input = () => ({})) =>
  ({ dice, book }: Making): Input => {
    const { id } = book.some(type, dice.int(0, any))
    return { id, ...more(dice) }
  }
/** The use of an approval, mostly as it was asked for. */
const use =
  (subject: 'stackId' | 'resourceId') =>
  ({ dice, book }: Making): Input => {
    const { id, from } = book.approval(subject, dice.int(0, any))
    const other = book.some(subject === 'stackId' ? 'Stack' : 'Resource', dice.int(0, any)).id
    const elsewhere = dice.pick(environments)
    const asked = dice.chance(0.9)
    return {
      [subject]: (asked && from[subject]) || other,
      toEnvironment: (asked && from.toEnvironment) || elsewhere,
      ...(dice.chance(0.95) ? { approvalId: id } : {}),
    }
  }
const filter = (dice: Dice) =>
  dice.chance(0.5) ? { filter: { subjectTypes: [dice.pick(['Deployment', 'Stack', 'Resource'])] } } : {}

const kinds: Readonly<Record<string, Kind>> = {
  deploy: {
    weight: 10,
    make: ({ dice }) => ({
      name: dice.pick(names),
      environment: environment(dice),
      image: image(dice),
      env: [variable(dice)],
      redeploy: dice.chance(0.4),
      ...(dice.chance(0.3) ? { ttlHours: dice.int(1, 48) } : {}),
    }),
  },
  redeployDeployment: {
    weight: 8,
    make: about('Deployment', (dice) => (dice.chance(0.7) ? { image: image(dice) } : {})),
  },
  stopDeployment: { weight: 3, make: about('Deployment') },
  startDeployment: { weight: 4, make: about('Deployment') },
  deleteDeployment: { weight: 2.5, make: about('Deployment') },
  mergeDeploymentEnv: { weight: 6, make: about('Deployment', envMerge) },
  setDeploymentTtl: { weight: 2, make: about('Deployment', (dice) => ({ ttlHours: dice.int(1, 48) })) },
  makeDeploymentPermanent: { weight: 1, make: about('Deployment') },
  createResource: {
    weight: 4,
    make: ({ dice }) => ({
      name: dice.pick(['main', 'cache', 'queue']),
      environment: environment(dice),
      type: dice.pick(['POSTGRES', 'REDIS']),
      ...(dice.chance(0.2) ? { ttlHours: dice.int(1, 48) } : {}),
    }),
  },
  deleteResource: { weight: 2.5, make: about('Resource') },
  pauseResource: { weight: 2, make: about('Resource') },
  resumeResource: { weight: 3, make: about('Resource') },
  rotateResourceCredentials: { weight: 2, make: about('Resource') },
  setResourceTtl: { weight: 1, make: about('Resource', (dice) => ({ ttlHours: dice.int(1, 48) })) },
  createStack: {
    weight: 3,
    make: ({ dice }) => ({
      name: dice.pick(['suite', 'portal', 'desk']),
      environment: dice.chance(0.8) ? 'development' : 'staging',
      services: services(dice),
      env: [variable(dice)],
    }),
  },
  redeployStack: { weight: 2, make: about('Stack', (dice) => (dice.chance(0.4) ? { services: services(dice) } : {})) },
  deleteStack: { weight: 1, make: about('Stack') },
  mergeStackEnv: { weight: 3, make: about('Stack', envMerge) },
  requestPromotion: {
    weight: 6,
    make: ({ dice, book }) => ({
      stackId: book.some('Stack', dice.int(0, any)).id,
      toEnvironment: dice.pick(['staging', 'production']),
    }),
  },
  requestTwin: {
    weight: 1.5,
    make: ({ dice, book }) => ({
      resourceId: book.some('Resource', dice.int(0, any)).id,
      toEnvironment: dice.pick(environments),
    }),
  },
  approvePromotion: { weight: 10, make: about('PromotionApproval') },
  rejectPromotion: { weight: 0.5, make: about('PromotionApproval') },
  withdrawPromotion: { weight: 0.5, make: about('PromotionApproval') },
  promoteStack: { weight: 10, make: use('stackId') },
  twinResource: { weight: 1.5, make: use('resourceId') },
  setSecret: {
    weight: 3,
    make: ({ dice }) => ({
      name: dice.pick(['KEY', 'PEPPER']),
      environment: environment(dice),
      value: `s${dice.int(1, 99)}`,
    }),
  },
  deleteSecret: { weight: 0.7, make: about('Secret') },
  registerInstance: {
    weight: 2,
    make: ({ dice }) => ({ name: dice.pick(names), environment: environment(dice), heartbeatSeconds: dice.int(5, 20) }),
  },
  heartbeatInstance: { weight: 4, make: about('Instance', (dice) => ({ healthy: dice.chance(0.8) })) },
  removeInstance: { weight: 1, make: about('Instance') },
  retryOperation: { weight: 2, make: about('Operation') },
  cancelOperation: { weight: 2, make: about('Operation') },
  createApiToken: {
    weight: 0.8,
    make: ({ dice }) => ({ name: `t${dice.int(1, 99)}`, scopes: ['read', dice.pick(['deploy', 'stack'])] }),
  },
  revokeApiToken: { weight: 0.8, make: about('ApiToken') },
  createTeam: { weight: 0.05, make: ({ dice }) => ({ name: `Team ${dice.int(1, 99)}` }) },
  deleteTeam: { weight: 0, make: about('Team') },
  restoreTeam: { weight: 0, make: about('Team') },
  setSelfApproval: { weight: 0.2, make: ({ dice }) => ({ policy: dice.chance(0.8) ? 'ALWAYS' : 'UNLESS_OTHERS_CAN' }) },
  inviteMember: {
    weight: 1,
    make: ({ dice }) => ({
      email: `m${dice.int(1, 999)}@example.com`,
      role: dice.pick(['DEVELOPER', 'VIEWER', 'ADMIN']),
    }),
  },
  acceptInvitation: { weight: 1, make: ({ dice }) => ({ name: `Member ${dice.int(1, 999)}` }) },
  withdrawInvitation: { weight: 0.4, make: about('Invitation') },
  setMemberRole: {
    weight: 0.6,
    make: about('Member', (dice) => ({ role: dice.pick(['DEVELOPER', 'VIEWER', 'ADMIN', 'OWNER']) })),
  },
  removeMember: { weight: 0.5, make: about('Member') },
  createWebhook: {
    weight: 0.4,
    make: ({ dice, receiver }) => ({ url: `${receiver}/passing/${dice.int(1, 99)}`, ...filter(dice) }),
  },
  updateWebhook: {
    weight: 0.8,
    make: about('Webhook', (dice) => (dice.chance(0.5) ? { enabled: dice.chance(0.6) } : filter(dice))),
  },
  deleteWebhook: { weight: 0.4, make: about('Webhook') },
  redeliverWebhookEvent: { weight: 0.4, make: about('WebhookDelivery') },
}

/** Every mutation of the schema is ordered by somebody. */
export const neverOrdered = mutationNames.filter((name) => !Object.hasOwn(kinds, name))

/** About whom it is; may the team of the caller end within the run, its end is ordered, too. */
export interface Orderer {
  readonly index: number
  readonly role: Role
  readonly ends: boolean
}

export interface Order {
  readonly mutation: string
  readonly input: Input
  /** It names what is another team's. */
  readonly wrongTeam: boolean
  readonly keyed: boolean
  /** How often a keyed one is sent again after it was answered. */
  readonly repeats: number
  /** It is sent twice at the same moment, to two replicas. */
  readonly doubled: boolean
  readonly replica: number
  readonly thinkMs: number
}

/** Of orders that make something no id is in the input that could be another team's. */
const namesNothing = new Set(
  Object.keys(kinds).filter((name) => /^(create|invite|accept|deploy$|register|setSe)/.test(name)),
)

/** The nth order of a caller. `elsewhere` is the book of another team. */
export function orderOf(
  seed: number,
  { index, role, ends }: Orderer,
  n: number,
  books: { readonly own: Book; readonly elsewhere: Book },
  receiver: string,
): Order {
  const dice = new Dice(`${seed}/caller/${index}/${n}`)
  const beyond = role === 'viewer' || dice.chance(0.03)
  const weights = Object.fromEntries(
    Object.entries(kinds).map(([name, { weight }]) => {
      const scope = needOf(name)?.scope ?? null
      const may = beyond || scope === null || scopesOfRole[role].includes(scope)
      const ending = ends && (name === 'deleteTeam' || name === 'restoreTeam')
      return [name, ending ? 3 : may ? weight : 0]
    }),
  )
  const mutation = dice.weighted(weights)
  const wrongTeam = dice.chance(0.03) && !namesNothing.has(mutation)
  const rest = {
    wrongTeam,
    keyed: dice.chance(0.6),
    repeats: dice.chance(0.15) ? dice.int(1, 2) : 0,
    doubled: dice.chance(0.05),
    replica: dice.int(0, 5),
    thinkMs: dice.int(20, 250) * (role === 'viewer' ? 8 : 1),
  }
  const book = wrongTeam ? books.elsewhere : books.own
  const version = dice.chance(0.3) ? (dice.chance(0.3) ? '1' : 'known') : null
  const made = (kinds[mutation] as Kind).make({ dice, book, receiver })
  return {
    mutation,
    input: version && typeof made.id === 'string' ? expecting(made, mutation, version, book) : made,
    ...rest,
  }
}

/** Orders that take no version, although they name an object. */
const versionless = new Set(['redeliverWebhookEvent'])

function expecting(input: Input, mutation: string, version: string, book: Book): Input {
  if (versionless.has(mutation)) return input
  const known = version === 'known' ? book.versionOf(String(input.id)) : version
  return known === null ? input : { ...input, expectedVersion: known }
}
