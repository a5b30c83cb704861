// Planted bugs of resources and of what drivers are asked for them: taken down twice, created twice, rotated twice; answers of a
// driver that are taken for others; work that goes on although the row is gone.
import type { Outcome } from '../../../src/drivers/outcome.ts'
import type { Provisioner } from '../../../src/drivers/provision/driver.ts'
import { resourceMachine } from '../../../src/lifecycle/resource.ts'
import { createResource } from '../../../src/resolvers/resource.ts'
import { calls, type Play, type Subject } from '../play.ts'
import { runs, settles, tearsDown } from '../runner.ts'
import { subjectNamed } from '../subject/all.ts'
import { both, driving, type Mutant, rewritingAll, unlocked, withActors, without } from './plant.ts'

const resource = subjectNamed('resource')

/** A resource that is made as soon as there is a row of it, and one that is not there any more as soon as it is asked for. */
const overhasty =
  (kinds: readonly (keyof Provisioner)[], answer: Outcome<unknown>) =>
  ({ provisioner }: Play): Partial<Play> => ({
    provisioner: { ...provisioner, ...Object.fromEntries(kinds.map((kind) => [kind, async () => answer])) },
  })
/** What a driver answers is read as another answer, by whoever wants it done. */
const takenFor =
  (kind: Outcome<unknown>['kind']) =>
  ({ provisioner }: Play): Partial<Play> => ({
    provisioner: {
      ...provisioner,
      deprovision: async (ref, fence, signal) => {
        const outcome = await provisioner.deprovision(ref, fence, signal)
        return outcome.kind === kind ? { kind: 'done', value: null } : outcome
      },
    },
  })

/** There, and to be taken down; its driver answers so the first time. */
const ending = (name: string, fault: Parameters<Play['provisioner']['faultNext']>[1]): Subject => ({
  name,
  scene: (scene) => {
    const id = scene.resource({ name: 'store', state: 'DELETING' })
    return { ids: { id, work: scene.operation('Resource', id, 'resource.deprovision') } }
  },
  prepare: async ({ scene, ids, provisioner }) => {
    const [row] = scene.tables.resource ?? []
    const ref = { subjectId: String(ids.id), incarnation: String(row?.incarnation) }
    const fence = { operationId: 'scene', attempt: 1, subjectId: ref.subjectId, generation: 1 }
    provisioner.world.provision({ ...ref, name: 'store', password: 'before'.repeat(4) }, fence)
    provisioner.faultNext('deprovision', fault)
    return {}
  },
  actors: {
    run: runs('Resource'),
    optimist: driving(runs('Resource'), takenFor('unknown')),
    deaf: driving(runs('Resource'), takenFor('refused')),
    hasty: driving(runs('Resource'), overhasty(['deprovision'], { kind: 'done', value: null })),
    create: calls((context) => createResource(context, { type: 'POSTGRES', name: 'store' })),
  },
  settles: settles('Resource'),
})
/** On its way out, and nobody works at it. */
const lost: Subject = {
  ...subjectNamed('resource.deleting'),
  name: 'resource.lost',
  settles: async (play) => {
    const [seat] = play.stage.seats
    if (seat) await tearsDown().run(play, seat, 'settle')
    return settles('Resource')(play)
  },
  scene: (scene) => ({ ids: { id: scene.resource({ name: 'store', state: 'DELETING' }) } }),
}
const unanswered = ending('resource.unanswered', { kind: 'unknown', done: false })
const refusing = ending('resource.refusing', { kind: 'refuse', reason: 'It is not one of ours' })

const born = withActors('resource.provisioning', {
  blind: driving(
    runs('Resource'),
    overhasty(['provision'], { kind: 'done', value: { url: 'fake://u:p@127.0.0.1/u' } }),
  ),
})

export const resourceMutants: readonly Mutant[] = [
  {
    name: 'a deletion looks past the lock: a resource is deprovisioned twice',
    races: ['R17'],
    subject: resource,
    cast: ['delete', 'delete'],
    wrap: unlocked('deleteResource', resourceMachine),
  },
  {
    name: 'the expirer is another way to delete, past the gate',
    races: ['R18', 'R17'],
    subject: resource,
    cast: ['delete', 'expire'],
    wrap: unlocked('deleteResource', resourceMachine),
  },
  {
    name: 'a time limit is set on what has expired',
    races: ['R05', 'R10'],
    subject: resource,
    cast: ['ttl', 'expire'],
    wrap: unlocked('setResourceTtl', resourceMachine),
  },
  {
    name: 'the expirer of resources repeats no time: what was just extended is taken down',
    races: ['R10', 'R11'],
    subject: resource,
    cast: ['ttl', 'expire'],
    wrap: both(
      without('expireResource', '"found"."expires_at" <= now()'),
      without('expireResource', '"resource"."expires_at" <= now()'),
    ),
  },
  {
    name: 'two rotations at once: the stored password is not the one that works',
    races: ['R48'],
    subject: resource,
    cast: ['rotate', 'rotate'],
    wrap: without(
      'rotateResourceCredentials',
      '"found"."next_password" is null',
      '(select x.next_password from resource x where x.id = "found".id) is null',
    ),
  },
  {
    name: 'a pause looks past the lock, and is accepted of what is deleted',
    races: ['R74', 'R94'],
    subject: resource,
    cast: ['pause', 'delete'],
    wrap: unlocked('pauseResource', resourceMachine),
  },
  {
    name: 'what was measured before its end brings a resource back',
    races: ['R13', 'R15'],
    subject: resource,
    cast: ['measure', 'delete'],
    wrap: both(
      unlocked('suspendResource', resourceMachine),
      rewritingAll(/^suspendResource$/, /"found"\."version" = \(select s\.version[^)]*\)/, 'true'),
    ),
  },
  {
    name: 'a name is free when nobody is seen to have it: two resources',
    races: ['R24', 'R25'],
    subject: subjectNamed('resource.deleting'),
    cast: ['create', 'create'],
    before: ['drop index resource_name'],
  },
  {
    name: 'the net under deprovisions asks for no work that is under way',
    races: ['R19', 'R20'],
    subject: subjectNamed('resource.deleting'),
    cast: ['teardown', 'teardown'],
    wrap: rewritingAll(
      /^deprovisionResource$/,
      /not exists \(select 1 from "operation" o\s+where\s[^)]*\([^)]*\)\)/,
      'true',
    ),
  },
  {
    name: 'the net under deprovisions decides from what it saw before it had the lock',
    races: ['R19', 'R20'],
    subject: lost,
    cast: ['teardown', 'teardown'],
    wrap: both(
      rewritingAll(/^deprovisionResource$/, /"found"\."version" = \(select s\.version[^)]*\)/, 'true'),
      rewritingAll(/^deprovisionResource$/, / skip locked/, ''),
    ),
  },
  {
    name: 'an answer that is not known is taken for done',
    races: ['R47', 'R61', 'R62'],
    subject: unanswered,
    cast: ['optimist', 'create'],
    right: ['run', 'create'],
    how: { bound: 1 },
  },
  {
    name: 'a removal that was refused is taken for done',
    races: ['R64', 'R72'],
    subject: refusing,
    cast: ['deaf', 'create'],
    right: ['run', 'create'],
    how: { bound: 1 },
  },
  {
    name: 'a row is DELETED before what it stands for is gone',
    races: ['R61', 'R62'],
    subject: unanswered,
    cast: ['hasty', 'create'],
    right: ['run', 'create'],
    how: { bound: 1 },
  },
  {
    name: 'a prober that looks at nothing makes it ACTIVE',
    races: ['R63'],
    subject: born,
    cast: ['blind', 'cancel'],
    right: ['run', 'cancel'],
    how: { bound: 1 },
  },
]
