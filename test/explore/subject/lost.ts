// What is on its way and has lost its operation, on the stage, as a restore or a defect would leave it; the sweep that queues it
// again, and everybody who moves it otherwise meanwhile.
import * as deployments from '../../../src/resolvers/deployment.ts'
import * as resources from '../../../src/resolvers/resource.ts'
import * as stacks from '../../../src/resolvers/stack.ts'
import { type Actor, calls, type Ids, type Play, type Subject } from '../play.ts'
import { runs, settles, sweeps, tearsDown } from '../runner.ts'
import { hoursFromNow, type Scene } from '../scene.ts'
import type { Row } from '../stage.ts'

const id = (ids: Ids) => ({ id: String(ids.id) })
const overdue = (state: string): Row => ({ state, state_changed_at: hoursFromNow(-1) })

/** A pass of the net, and then what it has queued. */
const settled = (of: 'Deployment' | 'Resource' | 'Stack', net: Actor) => async (play: Play) => {
  const [seat] = play.stage.seats
  if (seat) await net.run(play, seat, 'settle')
  return settles(of)(play)
}

const deployment = (state: string, sweep: Actor, actors: Readonly<Record<string, Actor>>): Subject => ({
  name: `lost.${state}`,
  scene: (scene: Scene) => ({ ids: { id: scene.deployment({ name: 'shop', ...overdue(state) }) } }),
  actors: {
    sweep,
    delete: calls((context, ids) => deployments.deleteDeployment(context, id(ids))),
    run: runs('Deployment', 'deployment.roll_out', 'deployment.stop', 'deployment.tear_down'),
    ...actors,
  },
  settles: settled('Deployment', sweep),
})
const redeploy = calls((context, ids) => deployments.redeployDeployment(context, id(ids)))
const stop = calls((context, ids) => deployments.stopDeployment(context, id(ids)))

const resource = (state: string, sweep: Actor): Subject => ({
  name: `lost.${state}`,
  scene: (scene: Scene) => ({ ids: { id: scene.resource({ name: 'store', ...overdue(state) }) } }),
  prepare: async ({ scene, ids, provisioner }) => {
    const [row] = scene.tables.resource ?? []
    const ref = { subjectId: String(ids.id), incarnation: String(row?.incarnation) }
    const fence = { operationId: 'scene', attempt: 1, subjectId: ref.subjectId, generation: 1 }
    if (state !== 'PROVISIONING')
      provisioner.world.provision({ ...ref, name: 'store', password: 'before'.repeat(4) }, fence)
    return {}
  },
  actors: {
    sweep,
    delete: calls((context, ids) => resources.deleteResource(context, id(ids))),
    run: runs('Resource'),
  },
  settles: settled('Resource', sweep),
})

export const lostSubjects: readonly Subject[] = [
  deployment('BUILDING', sweeps('continueDeployment'), { redeploy, stop }),
  deployment('STOPPING', sweeps('continueDeploymentStop'), {}),
  deployment('EXPIRED', tearsDown('tearDownDeployment'), {}),
  {
    name: 'lost.stack',
    scene: (scene) => ({ ids: { id: scene.stack({ name: 'shop', ...overdue('BUILDING') }) } }),
    actors: {
      sweep: sweeps('continueStack'),
      redeploy: calls((context, ids) => stacks.redeployStack(context, id(ids))),
      delete: calls((context, ids) => stacks.deleteStack(context, id(ids))),
      run: runs('Stack', 'stack.roll_out', 'stack.tear_down'),
    },
    settles: settled('Stack', sweeps('continueStack')),
  },
  {
    name: 'lost.stackDeleting',
    scene: (scene) => ({ ids: { id: scene.stack({ name: 'shop', ...overdue('DELETING') }) } }),
    actors: {
      teardown: tearsDown('tearDownStack'),
      delete: calls((context, ids) => stacks.deleteStack(context, id(ids))),
      run: runs('Stack', 'stack.tear_down'),
    },
    settles: settled('Stack', tearsDown('tearDownStack')),
  },
  resource('PROVISIONING', sweeps('continueProvision')),
  resource('PAUSING', sweeps('continueResourcePause')),
  resource('RESUMING', sweeps('continueResourceResume')),
  resource('DELETING', tearsDown('deprovisionResource')),
]
