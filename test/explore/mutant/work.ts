// Planted bugs of accepted work and of who does it: claimed twice, two at once for one subject, written by who has lost the claim or
// is of an older generation; drivers called past their fence; keys that are looked up and not stored.
import { deploy, redeployDeployment } from '../../../src/resolvers/deployment.ts'
import { type Actor, calls, type Subject } from '../play.ts'
import { runs } from '../runner.ts'
import { subjectNamed } from '../subject/all.ts'
import { both, type Mutant, rewritingAll, through, withActors, without } from './plant.ts'

const building = subjectNamed('deployment.building')

/** A worker that stops where it claims, and where it tells how that has ended. */
const claiming = (kind: string): Actor => ({
  ...runs('Deployment', kind),
  stops: (label) => /^(claimOperation|markDeployment)/.test(label),
})
/** Two operations wait; the second one may begin when the first has ended. */
const twoWishes: Subject = {
  ...building,
  name: 'deployment.twoWishes',
  scene: (on) => {
    const id = on.deployment({ name: 'shop', state: 'BUILDING' })
    on.operation('Deployment', id, 'deployment.roll_out')
    return { ids: { id, work: on.operation('Deployment', id, 'deployment.stop') } }
  },
  actors: { rollOut: claiming('deployment.roll_out'), stop: claiming('deployment.stop') },
}

/** It asks again under one key whatever it was told. */
const keyed: Actor = {
  key: 'one',
  ...calls((context, ids) => redeployDeployment(context, { id: String(ids.id), idempotencyKey: 'one' })),
}
const dropped = rewritingAll(
  /^redeployDeployment$/,
  /(insert into "idempotency_key".*? is not null)(?=\) select )/s,
  '$1 and false',
)

export const workMutants: readonly Mutant[] = [
  {
    name: 'two operations of one subject at once',
    races: ['R31', 'R32'],
    subject: twoWishes,
    cast: ['rollOut', 'stop'],
    before: ['drop index operation_one_per_subject'],
    wrap: rewritingAll(
      /^claimOperation:Deployment$/,
      /and not exists \(select 1 from "operation" o where [\s\S]*?due_at <= now\(\)\)\)\)\)/,
      '',
    ),
  },
  {
    name: 'the generation is not asked for',
    races: ['R02', 'R03', 'R33'],
    subject: building,
    cast: ['redeploy', 'run'],
    wrap: rewritingAll(
      /^(rollOutDeployment|markDeployment)/,
      /"found"\."generation" = (\$\d+)::text::int/,
      '$1::text is not null',
    ),
  },
  {
    name: 'work is claimed whose lease lasts',
    races: ['R19', 'R20', 'R39'],
    subject: building,
    cast: ['run', 'run'],
    wrap: both(
      without('claimOperation:Deployment', '"operation"."due_at" <= now()'),
      without('claimOperation:Deployment', '"found"."due_at" <= now()'),
    ),
    how: { bound: 2 },
  },
  {
    name: 'the net under teardowns asks for no work that is under way',
    races: ['R19', 'R58'],
    subject: subjectNamed('deployment.expired'),
    cast: ['teardown', 'teardown'],
    wrap: rewritingAll(
      /^tearDownDeployment$/,
      /not exists \(select 1 from "operation" o\s+where\s[^)]*\([^)]*\)\)/,
      'true',
    ),
  },
  {
    name: 'a key is looked up and not stored',
    races: ['R22', 'R23'],
    subject: withActors('deployment', { keyed }),
    cast: ['keyed', 'keyed'],
    wrap: dropped,
  },
  {
    name: 'a key is stored unless somebody else has it, and nobody asks',
    races: ['R22', 'R23'],
    subject: withActors('deployment', { keyed }),
    cast: ['keyed', 'keyed'],
    wrap: rewritingAll(
      /^redeployDeployment$/,
      /("remembered" as \(insert into .*? is not null)(?=\) select )/s,
      '$1 on conflict do nothing',
    ),
  },
  {
    name: 'a refusal is kept under its key, and told as done',
    races: ['R97'],
    subject: withActors('deployment', { keyed }),
    cast: ['stop', 'keyed', 'keyed'],
    wrap: keptRefusal(),
    how: { bound: 2 },
  },
  {
    name: 'the order of locks is turned round: the plan before the row',
    races: ['R89', 'R90'],
    subject: withActors('deployment', {
      anewOther: calls((context) => deploy(context, { name: 'other', image: 'hello:5' })),
      turned: through(subjectNamed('deployment').actors.delete as Actor, turnedRound()),
    }),
    cast: ['env', 'anewOther', 'turned', 'delete'],
    right: ['env', 'delete'],
    how: { bound: 2 },
  },
]

function keptRefusal() {
  return rewritingAll(
    /^redeployDeployment$/,
    /from moved m cross join found where/,
    'from found m cross join found where',
  )
}

/** Its own counter is locked first, and its row when that is had. */
function turnedRound() {
  return both(
    without(
      'deleteDeployment',
      'with "found" as (',
      `with "plan" as materialized (select 1 from plan_usage where kind = 'deployments' for no key update), "found" as (`,
    ),
    without(
      'deleteDeployment',
      ' from "deployment" where ',
      ' from "deployment" where (select count(*) from plan) >= 0 and ',
    ),
  )
}
