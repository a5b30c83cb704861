// What is played against drivers: every kind of operation, at each of the calls that it makes, with everything that a driver may
// do there. A row says how the subject is brought to where the operation begins, and what asks for it.
import type {
  Fault as ProvisionFault,
  FakeCallName as ProvisionName,
} from '../../../src/drivers/provision/fake-script.ts'
import type { Fault as RuntimeFault, FakeCallName as RuntimeName } from '../../../src/drivers/runtime/fake-script.ts'
import type { FaultStage } from './stage.ts'

export type Fault = RuntimeFault & ProvisionFault
type CallName = RuntimeName | ProvisionName

/** A call of the operation at which something goes wrong. */
export interface Spot {
  readonly call: CallName
  /** What has to go wrong before, so that the operation comes to that call. */
  readonly after?: readonly [CallName, Fault]
  /** Whether a refusal here ends the operation: it has FAILED then. */
  readonly final?: boolean
  /** What is not there any more when it is called can be had back only by another wish. */
  readonly irreplaceable?: boolean
  /** It is asked under no claim. */
  readonly unclaimed?: boolean
}

/** A cell, as far as it needs to be known to those who act. */
export interface Acting {
  readonly stage: FaultStage
  readonly name: string
  /** Waits until the subject is in that state, and the world too. */
  rests(id: string, state: string): Promise<void>
}

export interface Kind {
  readonly kind: string
  readonly spots: readonly Spot[]
  /** Where it leads to when all goes well in the end. */
  readonly goal: string
  /** Everything before the operation; without it the operation is the birth. */
  readonly before?: (cell: Acting) => Promise<string>
  /** Asks for the operation; the id of its subject. */
  readonly act: (cell: Acting, id: string) => Promise<string>
}

const refusal = 'told to refuse'
export const refuse: Fault = { kind: 'refuse', reason: refusal }
const lost: Fault = { kind: 'unknown', done: true }
const services = (...names: string[]) => names.map((name) => ({ name, image: 'app:1' }))

const deploy = ({ stage, name }: Acting) => stage.does('deploy', { name, image: name })
const createStack = ({ stage, name }: Acting) =>
  stage.does('createStack', { name, services: ['api', 'web'].map((service) => ({ name: service, image: name })) })
const createResource = ({ stage, name }: Acting) => stage.does('createResource', { name, type: 'POSTGRES' })
const made =
  (make: (cell: Acting) => Promise<string>, state: string, ...steps: readonly (readonly [string, string])[]) =>
  async (cell: Acting): Promise<string> => {
    const id = await make(cell)
    cell.stage.know(id)
    await cell.rests(id, state)
    for (const [mutation, then] of steps) {
      await cell.stage.does(mutation, { id })
      await cell.rests(id, then)
    }
    return id
  }
const asks =
  (mutation: string, more: object = {}): Kind['act'] =>
  ({ stage }, id) =>
    stage.does(mutation, { id, ...more })
/** One of its runs is lost. */
const crash: Kind['act'] = async ({ stage: { outside } }, id) => {
  const [run] = outside.runtime.liveRuns().filter(({ subjectId }) => subjectId === id)
  if (!run) throw new Error(`${id} does not run`)
  outside.runtime.crash(run)
  return id
}
const nothing: Kind['act'] = async (_cell, id) => id

/** What the resource holds, through the sessions of a client. */
async function holds({ stage }: Acting, id: string, bytes: string): Promise<string> {
  const { resource } = await stage.data('query ($id: ID!) { resource(id: $id) { connection { url } } }', { id })
  const connection = resource?.connection as { url: string } | undefined
  const { data } = stage.outside.postgres.world.connect(String(connection?.url))
  data.clear()
  if (bytes !== '') data.set('a', bytes)
  await stage.sql`update resource set limit_bytes = 5 where id = ${id}`
  return id
}
const suspended = async (cell: Acting): Promise<string> => {
  const id = await made(createResource, 'ACTIVE')(cell)
  await holds(cell, id, '0123456789')
  await cell.rests(id, 'SUSPENDED')
  return id
}

const starts: readonly Spot[] = [
  { call: 'ensure', final: true },
  { call: 'observe', after: ['ensure', lost] },
  { call: 'stop', after: ['ensure', refuse], final: true },
]
const image: Spot = { call: 'resolveImage', final: true, unclaimed: true }
const rerun = starts.map((spot) => ({ ...spot, final: false }))
const asked: Spot = { call: 'observeInstance', unclaimed: true }

export const kinds: readonly Kind[] = [
  { kind: 'deployment.roll_out', spots: starts.slice(0, 2), goal: 'HEALTHY', act: deploy },
  {
    kind: 'deployment.roll_out again',
    spots: [image, ...starts],
    goal: 'HEALTHY',
    before: made(deploy, 'HEALTHY'),
    act: asks('redeployDeployment'),
  },
  {
    kind: 'deployment.stop',
    spots: [{ call: 'stop' }],
    goal: 'STOPPED',
    before: made(deploy, 'HEALTHY'),
    act: asks('stopDeployment'),
  },
  {
    kind: 'deployment.roll_out of a start',
    spots: starts.slice(0, 2),
    goal: 'HEALTHY',
    before: made(deploy, 'HEALTHY', ['stopDeployment', 'STOPPED']),
    act: asks('startDeployment'),
  },
  {
    kind: 'deployment.tear_down',
    spots: [{ call: 'remove' }],
    goal: 'DELETED',
    before: made(deploy, 'HEALTHY'),
    act: asks('deleteDeployment'),
  },
  {
    kind: 'deployment.restart',
    spots: [asked, ...rerun],
    goal: 'HEALTHY',
    before: made(deploy, 'HEALTHY'),
    act: crash,
  },
  {
    kind: 'deployment, asked about',
    spots: [asked],
    goal: 'HEALTHY',
    before: made(deploy, 'HEALTHY'),
    act: nothing,
  },
  { kind: 'stack.roll_out', spots: [{ call: 'reserve', final: true }, ...starts], goal: 'HEALTHY', act: createStack },
  {
    kind: 'stack.roll_out again',
    spots: [image, ...starts],
    goal: 'HEALTHY',
    before: made(createStack, 'HEALTHY'),
    act: asks('redeployStack'),
  },
  {
    kind: 'stack.roll_out of fewer services',
    spots: [{ call: 'remove' }],
    goal: 'HEALTHY',
    before: made(createStack, 'HEALTHY'),
    act: asks('redeployStack', { services: services('web') }),
  },
  {
    kind: 'stack.restart',
    spots: [asked, { ...image, final: false }, ...rerun],
    goal: 'HEALTHY',
    before: made(createStack, 'HEALTHY'),
    act: crash,
  },
  { kind: 'stack, asked about', spots: [asked], goal: 'HEALTHY', before: made(createStack, 'HEALTHY'), act: nothing },
  {
    kind: 'stack.tear_down',
    spots: [{ call: 'remove' }],
    goal: 'DELETED',
    before: made(createStack, 'HEALTHY'),
    act: asks('deleteStack'),
  },
  {
    kind: 'resource.provision',
    spots: [
      { call: 'provision', final: true },
      { call: 'deprovision', after: ['provision', refuse], final: true },
    ],
    goal: 'ACTIVE',
    act: createResource,
  },
  {
    kind: 'resource.pause',
    spots: [{ call: 'pause', irreplaceable: true }],
    goal: 'PAUSED',
    before: made(createResource, 'ACTIVE'),
    act: asks('pauseResource'),
  },
  {
    kind: 'resource.resume',
    spots: [
      { call: 'resume', irreplaceable: true },
      { call: 'setWritable', irreplaceable: true },
    ],
    goal: 'ACTIVE',
    before: made(createResource, 'ACTIVE', ['pauseResource', 'PAUSED']),
    act: asks('resumeResource'),
  },
  {
    kind: 'resource.rotate',
    spots: [
      { call: 'setWritable', irreplaceable: true },
      { call: 'rotate', irreplaceable: true },
    ],
    goal: 'ACTIVE',
    before: made(createResource, 'ACTIVE'),
    act: asks('rotateResourceCredentials'),
  },
  {
    kind: 'resource.suspend',
    spots: [{ call: 'setWritable', irreplaceable: true }],
    goal: 'SUSPENDED',
    before: made(createResource, 'ACTIVE'),
    act: (cell, id) => holds(cell, id, '0123456789'),
  },
  {
    kind: 'resource.release',
    spots: [{ call: 'setWritable', irreplaceable: true }],
    goal: 'ACTIVE',
    before: suspended,
    act: (cell, id) => holds(cell, id, ''),
  },
  {
    kind: 'resource.deprovision',
    spots: [{ call: 'deprovision' }],
    goal: 'DELETED',
    before: made(createResource, 'ACTIVE'),
    act: asks('deleteResource'),
  },
]

/** What a driver does; `times` is how often before it is well again. */
export interface Trouble {
  readonly name: string
  readonly fault?: Fault
  readonly times?: number
  /** The call is held, its claim taken over by another, and then it goes on. */
  readonly late?: 'before' | 'after'
}
const forEver = Number.POSITIVE_INFINITY

export const troubles: readonly Trouble[] = [
  { name: 'unreachable', fault: { kind: 'unreachable' }, times: 2 },
  { name: 'throws', fault: { kind: 'throw' }, times: 2 },
  { name: 'hangs, and has done nothing', fault: { kind: 'hang', done: false } },
  { name: 'hangs, and has done it', fault: { kind: 'hang', done: true } },
  { name: 'does it too late', fault: { kind: 'slow', delayMs: 60_000 } },
  { name: 'unknown, and has done nothing', fault: { kind: 'unknown', done: false }, times: 2 },
  { name: 'unknown, and has done it', fault: { kind: 'unknown', done: true }, times: 2 },
  { name: 'refuses', fault: refuse, times: 2 },
  { name: 'what it is about is gone already', fault: { kind: 'alreadyGone' }, times: 2 },
  { name: 'lies that nothing is there', fault: { kind: 'lieAbsent' } },
  { name: 'unknown for ever, and has done nothing', fault: { kind: 'unknown', done: false }, times: forEver },
  { name: 'unknown for ever, and has done it', fault: { kind: 'unknown', done: true }, times: forEver },
  { name: 'refuses for ever', fault: refuse, times: forEver },
  { name: 'acts after its claim was taken over', late: 'before' },
  { name: 'answers after its claim was taken over', late: 'after' },
]

/** Only who is asked what is there can lie about it, and only who is asked under a claim can lose it meanwhile. */
export const meets = ({ call, unclaimed }: Spot, { fault, late }: Trouble): boolean => {
  if (fault?.kind === 'lieAbsent') return /^observe/.test(call)
  if (fault?.kind === 'alreadyGone') return call !== 'resolveImage'
  return late === undefined || unclaimed !== true
}
