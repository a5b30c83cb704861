// The work of every kind of operation, each begun as it begins in life: by a caller, or by a loop that has seen something.
import { expect } from 'vitest'
import type { Case, Scenario } from './scenario.ts'
import type { Caller, Stage, WorldCall } from './stage.ts'

/** Of loops, which have moments of their own. */
const looks = ['observe', 'observeInstance']

/** Of a subject: what is about it, and what it must have come to. */
const about = (
  kind: string,
  subjectId: string,
  finished: () => Promise<void>,
  more: (call: WorldCall) => boolean = () => false,
): Case => ({
  marks: [kind, subjectId],
  concerns: (call) => (call.ref?.subjectId === subjectId && !looks.includes(call.call)) || more(call),
  finished,
})

const row = async ({ sql }: Stage, table: string, id: string) => {
  const [found] = await sql`select * from ${sql(table)} where id = ${id}`
  return found as Readonly<Record<string, unknown>>
}
const reaches = (stage: Stage, table: string, id: string, expected: object) =>
  stage.until(async () => expect(await row(stage, table, id)).toMatchObject(expected))

/** How often calls of that generation had that effect on the subject. */
const times = ({ outside }: Stage, id: string, generation: number, effect: string): number =>
  [...outside.runtime.log(), ...outside.postgres.log()]
    .filter(({ ref, fence }) => ref?.subjectId === id && fence?.generation === generation)
    .flatMap(({ effects }) => effects as readonly { effect: string }[])
    .filter((each) => each.effect === effect).length
const runsOf = ({ outside }: Stage, id: string) =>
  outside.runtime.liveRuns().filter(({ subjectId }) => subjectId === id)

async function deployed(stage: Stage, { token }: Caller, nth: number, kind: string): Promise<string> {
  const input = { name: `${kind.replaceAll(/[._]/g, '-')}-${nth}`, image: `${kind.replaceAll('.', '-')}-${nth}` }
  const { deployment } = await stage.does<{ deployment: { id: string } }>(token, 'deploy', input, 'deployment { id }')
  await reaches(stage, 'deployment', deployment.id, { state: 'HEALTHY' })
  return deployment.id
}
async function stacked(stage: Stage, { token }: Caller, nth: number, kind: string): Promise<string> {
  const services = ['web', 'api'].map((name) => ({ name, image: `${kind.replaceAll('.', '-')}-${nth}` }))
  const input = { name: `${kind.replaceAll(/[._]/g, '-')}-${nth}`, services }
  const { stack } = await stage.does<{ stack: { id: string } }>(token, 'createStack', input, 'stack { id }')
  await reaches(stage, 'stack', stack.id, { state: 'HEALTHY' })
  return stack.id
}
const makes = async (stage: Stage, { token }: Caller, nth: number, kind: string): Promise<string> => {
  const input = { type: 'POSTGRES', name: `${kind.replace('.', '-')}-${nth}` }
  return (await stage.does<{ resource: { id: string } }>(token, 'createResource', input, 'resource { id }')).resource.id
}

/** A deployment that runs, and what a caller wants of it then. */
const ofDeployment = (
  kind: string,
  wish: (stage: Stage, caller: Caller, id: string) => Promise<unknown>,
  finished: (stage: Stage, id: string) => Promise<void>,
): Scenario => ({
  of: kind,
  async prepare(stage, caller, nth) {
    const id = await deployed(stage, caller, nth, kind)
    return async () => {
      await wish(stage, caller, id)
      return about(
        kind,
        id,
        () => finished(stage, id),
        ({ call, image }) => call === 'resolveImage' && image === `again-${id}`,
      )
    }
  },
})
const ofStack = (
  kind: string,
  wish: (stage: Stage, caller: Caller, id: string) => Promise<unknown>,
  finished: (stage: Stage, id: string) => Promise<void>,
): Scenario => ({
  of: kind,
  async prepare(stage, caller, nth) {
    const id = await stacked(stage, caller, nth, kind)
    return async () => {
      await wish(stage, caller, id)
      const images = [`again-${id}`, `${kind.replaceAll('.', '-')}-${nth}`]
      const resolves = ({ call, image }: WorldCall) => call === 'resolveImage' && images.includes(String(image))
      return about(kind, id, () => finished(stage, id), resolves)
    }
  },
})
/** A resource that is there, what is done with it first, and what is wanted of it then. */
const ofResource = (
  kind: string,
  wish: (stage: Stage, caller: Caller, id: string) => Promise<unknown>,
  finished: (stage: Stage, id: string) => Promise<void>,
  first: (stage: Stage, caller: Caller, id: string) => Promise<unknown> = async () => {},
): Scenario => ({
  of: kind,
  // Of the loop that measures, whose deaths are played by themselves.
  byChance: ['storeSize', 'suspendResource', 'releaseResource'],
  async prepare(stage, caller, nth) {
    const id = await makes(stage, caller, nth, kind)
    await reaches(stage, 'resource', id, { state: 'ACTIVE' })
    await first(stage, caller, id)
    return async () => {
      await wish(stage, caller, id)
      return about(kind, id, () => finished(stage, id))
    }
  },
})

const wishes =
  (name: string, selection: string, more: (id: string) => object = () => ({})) =>
  (stage: Stage, { token }: Caller, id: string) =>
    stage.does(token, name, { id, ...more(id) }, selection)
/** It holds more than its limit, or less, as the next measurement finds. */
const limited = (bytes: number) => (stage: Stage, _: Caller, id: string) =>
  stage.sql`update resource set limit_bytes = ${bytes}, measured_at = null where id = ${id}`
export const lost = async (stage: Stage, id: string) => {
  const [unit] = runsOf(stage, id)
  if (unit) stage.outside.runtime.crash(unit)
  await stage.sql`update instance set asked_at = null where subject_id = ${id}`
}

export const operations: readonly Scenario[] = [
  ofDeployment(
    'deployment.roll_out',
    wishes('redeployDeployment', 'deployment { id }', (id) => ({ image: `again-${id}` })),
    async (stage, id) => {
      expect(await row(stage, 'deployment', id)).toMatchObject({ state: 'HEALTHY', generation: 2 })
      expect(runsOf(stage, id).map(({ run }) => run.generation)).toEqual([2])
      expect(times(stage, id, 2, 'started')).toBe(1)
    },
  ),
  ofDeployment('deployment.stop', wishes('stopDeployment', 'deployment { id }'), async (stage, id) => {
    expect(await row(stage, 'deployment', id)).toMatchObject({ state: 'STOPPED' })
    expect(runsOf(stage, id)).toEqual([])
    expect(times(stage, id, 2, 'ended')).toBe(1)
  }),
  ofDeployment('deployment.tear_down', wishes('deleteDeployment', 'deployment { id }'), async (stage, id) => {
    expect(await row(stage, 'deployment', id)).toMatchObject({ state: 'DELETED' })
    expect(times(stage, id, 2, 'removed')).toBe(1)
  }),
  ofDeployment(
    'deployment.restart',
    (stage, _, id) => lost(stage, id),
    async (stage, id) => {
      expect(await row(stage, 'deployment', id)).toMatchObject({ state: 'HEALTHY', generation: 1 })
      const [unit] = await stage.sql`select state, restarts from instance where subject_id = ${id}`
      expect(unit).toEqual({ state: 'ONLINE', restarts: 1 })
      expect(times(stage, id, 1, 'started')).toBe(2)
    },
  ),
  {
    of: 'resource.provision',
    prepare: async (stage, caller, nth) => async () => {
      const id = await makes(stage, caller, nth, 'resource.provision')
      return about('resource.provision', id, async () => {
        expect(await row(stage, 'resource', id)).toMatchObject({ state: 'ACTIVE' })
        expect(times(stage, id, 1, 'made')).toBe(1)
      })
    },
  },
  ofResource('resource.pause', wishes('pauseResource', 'resource { id }'), async (stage, id) => {
    expect(await row(stage, 'resource', id)).toMatchObject({ state: 'PAUSED' })
    expect(times(stage, id, 2, 'paused')).toBe(1)
  }),
  ofResource(
    'resource.resume',
    wishes('resumeResource', 'resource { id }'),
    async (stage, id) => {
      expect(await row(stage, 'resource', id)).toMatchObject({ state: 'ACTIVE' })
      expect(times(stage, id, 3, 'resumed')).toBe(1)
    },
    async (stage, caller, id) => {
      await wishes('pauseResource', 'resource { id }')(stage, caller, id)
      await reaches(stage, 'resource', id, { state: 'PAUSED' })
    },
  ),
  ofResource('resource.rotate', wishes('rotateResourceCredentials', 'resource { id }'), async (stage, id) => {
    expect(await row(stage, 'resource', id)).toMatchObject({ state: 'ACTIVE', next_password: null })
    expect(times(stage, id, 2, 'rotated')).toBe(1)
  }),
  ofResource('resource.suspend', limited(-1), async (stage, id) => {
    expect(await row(stage, 'resource', id)).toMatchObject({ state: 'SUSPENDED' })
    expect(times(stage, id, 2, 'frozen')).toBe(1)
  }),
  ofResource(
    'resource.release',
    limited(1_000),
    async (stage, id) => {
      expect(await row(stage, 'resource', id)).toMatchObject({ state: 'ACTIVE' })
      expect(times(stage, id, 3, 'thawed')).toBe(1)
    },
    async (stage, caller, id) => {
      await limited(-1)(stage, caller, id)
      await reaches(stage, 'resource', id, { state: 'SUSPENDED' })
    },
  ),
  ofResource('resource.deprovision', wishes('deleteResource', 'resource { id }'), async (stage, id) => {
    expect(await row(stage, 'resource', id)).toMatchObject({ state: 'DELETED' })
    expect(times(stage, id, 2, 'removed')).toBe(1)
  }),
  ofStack(
    'stack.roll_out',
    wishes('redeployStack', 'stack { id }', (id) => ({
      services: ['web', 'cache'].map((name) => ({ name, image: `again-${id}` })),
    })),
    async (stage, id) => {
      expect(await row(stage, 'stack', id)).toMatchObject({ state: 'HEALTHY', generation: 2 })
      expect(runsOf(stage, id).map(({ run }) => run.generation)).toEqual([2, 2])
      expect(times(stage, id, 2, 'started')).toBe(2)
    },
  ),
  ofStack('stack.tear_down', wishes('deleteStack', 'stack { id }'), async (stage, id) => {
    expect(await row(stage, 'stack', id)).toMatchObject({ state: 'DELETED' })
    expect(times(stage, id, 2, 'removed')).toBe(2)
  }),
  ofStack(
    'stack.restart',
    (stage, _, id) => lost(stage, id),
    async (stage, id) => {
      expect(await row(stage, 'stack', id)).toMatchObject({ state: 'HEALTHY', generation: 1 })
      const units = await stage.sql`select state from instance where subject_id = ${id}`
      expect(units).toEqual([{ state: 'ONLINE' }, { state: 'ONLINE' }])
      expect(times(stage, id, 1, 'started')).toBe(3)
    },
  ),
]
