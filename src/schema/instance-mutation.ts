// The mutations of instances that run elsewhere: their inputs, payloads and what the manual says of them beyond what is derived.
import { instanceMachine, missedHeartbeats } from '../lifecycle/instance.ts'
import * as calls from '../resolvers/instance.ts'
import { keptOfflineHours } from '../resolvers/instance-external-rule.ts'
import type { Fields, InputFields } from './builder.ts'
import { declareMutation } from './mutation.ts'
import { InstanceRef } from './ref.ts'

const id = (t: InputFields) => ({ id: t.id({ required: true, description: 'Id of the instance, `ins_…`.' }) })
const payload = (t: Fields<calls.InstancePayload>) => ({
  instance: t.field({
    type: InstanceRef,
    nullable: true,
    description: 'The instance after the move; never null here.',
    resolve: (row) => row.instance,
  }),
})

declareMutation<calls.InstancePayload>({
  name: 'registerInstance',
  machine: instanceMachine,
  summary:
    'Makes known a unit that runs elsewhere (runtime EXTERNAL) and takes a place in the plan. It is ONLINE with its first heartbeat. ' +
    `After ${missedHeartbeats} heartbeats that did not come it is OFFLINE; after ${keptOfflineHours} hours of that, or when its deployment ends, it is REMOVED. ` +
    'ILLEGAL_STATE shows the instance that is known by that `instanceId` (that of a removed one is not taken again for 7 days), or the deployment that has ended.',
  undo: '`removeInstance`.',
  versioned: false,
  input: (t) => ({
    name: t.string({
      required: true,
      description: '1 to 63 of a-z, 0-9 and -, beginning with a letter; several may have it.',
    }),
    environment: t.string({
      description: '1 to 32 of a-z, 0-9 and -; when left out that of the deployment, or `development`.',
    }),
    instanceId: t.string({
      description:
        'The provider’s id of it: 1 to 255 printable ASCII characters; one is made when it is left out. No other EXTERNAL one of the ' +
        'team has it, removed ones included for as long as they can be looked up, and no run that Pawl has under way.',
    }),
    deploymentId: t.id({ description: 'Id of the deployment, `dep_…`, that it is part of; it may be part of none.' }),
    url: t.string({ description: 'Where it answers: http or https, without a user name or password.' }),
    heartbeatSeconds: t.int({ description: 'How often it promises a heartbeat: 5 to 3600, 30 when nothing is said.' }),
  }),
  payload,
  refusals: ['IllegalState', 'QuotaExceeded'],
  resolve: calls.registerInstance,
})

declareMutation<calls.InstancePayload>({
  name: 'heartbeatInstance',
  machine: instanceMachine,
  summary:
    'A heartbeat of an EXTERNAL instance: it is ONLINE, or with `healthy: false` DEGRADED, and brings back one that was OFFLINE. What ' +
    'was removed is never brought back. Of what Pawl runs itself it is refused, and of a part of a deployment that has ended. Only a change of the state is an event.',
  undo: 'none is needed: the next heartbeat says what is so then.',
  versioned: true,
  input: (t) => ({
    ...id(t),
    healthy: t.boolean({ description: 'Whether it is well; true when nothing is said. False leads to DEGRADED.' }),
    reason: t.string({
      description:
        'With `healthy: false`: why, in one line of at most 500 characters without control or format characters; shown as `stateReason`.',
    }),
  }),
  payload,
  refusals: ['IllegalState'],
  resolve: calls.heartbeatInstance,
})

declareMutation<calls.InstancePayload>({
  name: 'removeInstance',
  machine: instanceMachine,
  summary:
    'Takes an EXTERNAL instance off the list for good: it will not come back. Its place in the plan is free at once; its `instanceId` ' +
    'is not taken again for 7 days. What Pawl runs itself ends with its deployment or stack, and is refused here.',
  undo: 'none: `registerInstance` makes a new one, under another `instanceId`.',
  versioned: true,
  input: id,
  payload,
  refusals: ['IllegalState'],
  resolve: calls.removeInstance,
})
