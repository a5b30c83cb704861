// Planted bugs of deployments: guards left out or looked past, moves and events in statements of their own, variables merged in
// the wrong place, the plan held by a count.
import { quoted } from '../../../src/db/columns.ts'
import { newId } from '../../../src/db/id.ts'
import { deploymentMachine, liveDeploymentStates } from '../../../src/lifecycle/deployment.ts'
import { deleteDeployment } from '../../../src/resolvers/deployment.ts'
import { ownerActor } from '../../owner.ts'
import { calls, type Subject } from '../play.ts'
import { subjectNamed } from '../subject/all.ts'
import { countedLater, hopeful, readModifyWrite, split, unevented } from './deployment-by-hand.ts'
import { both, type Mutant, rewriting, rewritingAll, unlocked, withActors, without } from './plant.ts'

const deployment = subjectNamed('deployment')
const workable = quoted(deploymentMachine.moves.redeployDeployment?.from as string[])

const scene = (name: string, state: string): Subject => ({
  ...deployment,
  name,
  scene: (on) => ({ ids: { id: on.deployment({ name: 'shop', state }) } }),
})
const stopped = scene('deployment.stopped', 'STOPPED')
/** Another one beside it, so that there is something to give back. */
const beside: Subject = {
  ...deployment,
  scene: (on) => {
    on.deployment()
    return deployment.scene(on)
  },
}
const roomy: Subject = { ...subjectNamed('deployment.none'), name: 'deployment.roomy', scene: () => ({ ids: {} }) }
/** Somebody of another team. */
const visited: Subject = {
  ...withActors('deployment', {
    strange: calls((context, ids) => deleteDeployment(context, { id: String(ids.id) }), 'stranger'),
  }),
  scene: (on) => ({
    ids: { id: on.deployment({ name: 'shop' }) },
    callers: { stranger: ownerActor(newId('ApiToken'), newId('Team')) },
  }),
}

const snapshotEnv = (name: string) =>
  rewritingAll(
    new RegExp(`^${name}$`),
    /"env" = \("found"\."env" - /,
    '"env" = ((select x.env from "deployment" x where x.id = "found".id) - ',
  )
const overdueAs = (value: string) =>
  rewriting(
    {
      name: 'expireDeployment',
      from: `"deployment"."expires_at" is not null and "deployment"."ttl_policy" = 'TTL' and "deployment"."expires_at" <= now()`,
      to: value,
    },
    { name: 'expireDeployment', from: `"found"."ttl_policy" = 'TTL' and "found"."expires_at" <= now()`, to: value },
  )

export const deploymentMutants: readonly Mutant[] = [
  {
    name: 'a redeploy asks for no state',
    races: ['R01'],
    subject: deployment,
    cast: ['redeploy', 'delete'],
    wrap: without('redeployDeployment', `"found".state in (${workable})`),
  },
  {
    name: 'a redeploy looks past the lock, and revives what has expired',
    races: ['R01', 'R15'],
    subject: deployment,
    cast: ['redeploy', 'expire'],
    wrap: unlocked('redeployDeployment', deploymentMachine),
  },
  {
    name: 'the same, and the trigger is in its way',
    races: ['R01', 'R101'],
    subject: deployment,
    cast: ['redeploy', 'delete'],
    guards: true,
    wrap: unlocked('redeployDeployment', deploymentMachine),
  },
  {
    name: 'a stop looks past the lock, and hits what is being deleted',
    races: ['R29', 'R32'],
    subject: deployment,
    cast: ['stop', 'delete'],
    wrap: unlocked('stopDeployment', deploymentMachine),
  },
  {
    name: 'a start looks past the lock, and starts twice',
    races: ['R30'],
    subject: stopped,
    cast: ['start', 'start'],
    wrap: unlocked('startDeployment', deploymentMachine),
  },
  {
    name: 'a repeat asks for its generation no more, looks past the lock, and revives what is being deleted',
    races: ['R01', 'R33'],
    subject: subjectNamed('deployment.failed'),
    cast: ['retry', 'delete'],
    wrap: both(
      unlocked('retryRollOut', deploymentMachine, 'redeployDeployment'),
      rewritingAll(
        /^retryRollOut$/,
        /"found"\."state" = 'FAILED' and "found"\."generation" = (\$\d+::text)::int/,
        '$1 is not null',
      ),
    ),
  },
  {
    name: 'a time limit is set whatever the policy has become',
    races: ['R05'],
    subject: deployment,
    cast: ['permanent', 'ttl'],
    wrap: without(
      'setDeploymentTtl',
      `"found"."ttl_policy" = 'TTL'`,
      `(select x.ttl_policy from deployment x where x.id = "found".id) = 'TTL'`,
    ),
  },
  {
    name: 'what has expired is made permanent',
    races: ['R06'],
    subject: deployment,
    cast: ['permanent', 'expire'],
    wrap: unlocked('makeDeploymentPermanent', deploymentMachine),
  },
  {
    name: 'the expirer repeats the state alone, and no time',
    races: ['R04', 'R10'],
    subject: deployment,
    cast: ['permanent', 'expire'],
    wrap: overdueAs('true'),
  },
  {
    name: 'a deletion is split in two',
    races: ['R01', 'R17'],
    subject: withActors('deployment', { split }),
    cast: ['split', 'delete'],
    right: ['delete', 'delete'],
  },
  {
    name: 'an event is outside of the statement',
    races: ['R45'],
    subject: withActors('deployment', { unevented }),
    cast: ['unevented', 'env'],
    right: ['env', 'env'],
    guards: true,
  },
  {
    name: 'a counter is changed outside of the statement',
    races: ['R54'],
    subject: withActors('deployment', { countedLater }),
    cast: ['countedLater', 'anew'],
    right: ['delete', 'anew'],
  },
  {
    name: 'who has lost still gives back its place',
    races: ['R21', 'R34', 'R54'],
    subject: beside,
    cast: ['delete', 'delete'],
    wrap: rewritingAll(/^deleteDeployment$/, /-1 as n\s+from "moved" r/, '-1 as n from "found" r'),
  },
  {
    name: 'who has lost still tells of it',
    races: ['R21', 'R34'],
    subject: deployment,
    cast: ['delete', 'delete'],
    wrap: without(
      'deleteDeployment',
      `from "moved" join "found" on "found".id = "moved".id`,
      `from "found" as "moved" join "found" on "found".id = "moved".id`,
    ),
  },
  {
    name: 'variables are merged into what was read of them before',
    races: ['R41'],
    subject: withActors('deployment', { readModifyWrite }),
    cast: ['readModifyWrite', 'env'],
    right: ['env', 'env2'],
  },
  {
    name: 'variables are merged into those of the snapshot',
    races: ['R41'],
    subject: deployment,
    cast: ['env', 'env2'],
    wrap: snapshotEnv('mergeDeploymentEnv'),
  },
  {
    name: 'a redeploy drops a variable that was merged while it waited',
    races: ['R43'],
    subject: deployment,
    cast: ['deploy', 'env'],
    wrap: snapshotEnv('redeployByName'),
  },
  {
    name: 'a merge answers success whatever was stored',
    races: ['R42'],
    subject: withActors('deployment', { hopeful }),
    cast: ['hopeful', 'delete'],
    right: ['env', 'delete'],
  },
  {
    name: 'the plan is held by a count',
    races: ['R85', 'R86'],
    subject: subjectNamed('deployment.none'),
    cast: ['anew', 'other'],
    wrap: without(
      'deploy',
      'u.used + c.n > u.cap',
      `(select count(*) from deployment x where x.team_id = u.team_id and x.state in (${quoted(liveDeploymentStates)})) + c.n > u.cap`,
    ),
  },
  {
    name: 'a name is free when nobody is seen to have it',
    races: ['R24', 'R25', 'R108'],
    subject: roomy,
    cast: ['anew', 'anew'],
    before: ['drop index deployment_name'],
  },
  {
    name: 'rows are found by id, whoever’s they are',
    races: [],
    subject: visited,
    cast: ['strange', 'env'],
    wrap: rewritingAll(/^deleteDeployment$/, /"deployment"\."team_id" = (\$\d+::text)/, '$1 is not null'),
  },
]
