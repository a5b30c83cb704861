// The same refusals where what they would otherwise advise is hindered itself: references lead nowhere, the plan is full, an image
// is not known any more, somebody else has moved the subject on. No remedy may be named that would be refused.
import { putMember } from '../../member-row.ts'
import { ownerOf } from '../../owner.ts'
import { withTriggersOff } from '../../row.ts'
import type { Case } from './pair.ts'
import { env, full, nowhere, refused } from './scene.ts'
import type { Stage } from './stage.ts'

const app = (state: string, more: object = {}) => ({ Deployment: { env: {}, name: 'app', state, ...more } })
const unresolved = { env: env(nowhere) }
/** An image that was known once. */
const forgotten = 'forgotten:1'
const forget = async ({ unknownImages }: Stage) => unknownImages.add(forgotten)
const again = { name: 'app', redeploy: true }
const ended = { state: 'DELETED', deleted_at: new Date() }

export const hinderedCases: readonly Case[] = [
  refused('redeployDeployment', 'NotRedeployable', 'STOPPED, and references lead nowhere', {
    but: app('STOPPED', unresolved),
  }),
  refused('startDeployment', 'IllegalState', 'FAILED, and references lead nowhere', { but: app('FAILED', unresolved) }),
  refused('deploy', 'NameTaken', 'HEALTHY, and references lead nowhere', {
    but: app('HEALTHY', unresolved),
    input: { name: 'app' },
  }),
  refused('deploy', 'NameTaken', 'STOPPED, and references lead nowhere', {
    but: app('STOPPED', unresolved),
    input: { name: 'app' },
  }),
  refused('deploy', 'NotRedeployable', 'STOPPED, and references lead nowhere', {
    but: app('STOPPED', unresolved),
    input: again,
  }),
  refused('deploy', 'NotRedeployable', 'EXPIRED, and the plan is full', {
    but: app('EXPIRED'),
    input: again,
    also: full('deployments'),
  }),
  refused('deploy', 'NothingToRedeploy', 'and the plan is full', { input: again, also: full('deployments') }),
  refused('redeployDeployment', 'NotRedeployable', 'DELETED, and the plan is full', {
    but: app('DELETED'),
    also: full('deployments'),
  }),
  refused('redeployDeployment', 'NotRedeployable', 'DELETED, and its image is not known any more', {
    but: app('DELETED', { image: forgotten }),
    input: { image: null },
    also: forget,
  }),
  refused('startDeployment', 'IllegalState', 'DELETED, and its image is not known any more', {
    but: app('DELETED', { image: forgotten }),
    also: forget,
  }),
  refused('redeployStack', 'StackDeleting', 'DELETED, and the plan is full', {
    but: { Stack: { env: {}, ...ended } },
    also: full('stacks'),
  }),
  refused('redeployStack', 'StackDeleting', 'DELETED, and its image is not known any more', {
    but: { Stack: { env: {}, ...ended, services: [{ name: 'web', image: forgotten, port: null, exposed: false }] } },
    input: { services: null },
    also: forget,
  }),
  refused('cancelOperation', 'IllegalState', 'RUNNING, and its deployment is being stopped already', {
    but: { ...app('STOPPING', { generation: 2 }), Operation: { state: 'RUNNING', claim_token: 'theirs', attempt: 1 } },
  }),
  refused('retryOperation', 'IllegalState', 'RUNNING, and its deployment is being deleted', {
    but: { ...app('DELETING', { generation: 2 }), Operation: { state: 'RUNNING', claim_token: 'theirs', attempt: 1 } },
  }),
  refused('heartbeatInstance', 'IllegalState', 'REMOVED, and the plan is full', {
    but: { Instance: { state: 'REMOVED' } },
    also: full('instances'),
  }),
  refused('registerInstance', 'IllegalState', 'its id is that of one that was removed, and the plan is full', {
    but: { Instance: { state: 'REMOVED', instance_id: 'known' } },
    input: { instanceId: 'known' },
    also: full('instances'),
  }),
  refused('twinResource', 'ApprovalRequired', 'there is one that can be used, and the plan is full', {
    input: { approvalId: null },
    also: full('resources'),
  }),
  refused('promoteStack', 'ApprovalRequired', 'there is one that can be used, and the plan is full', {
    input: { approvalId: null },
    also: full('stacks'),
  }),
  refused('promoteStack', 'ApprovalNotApproved', 'the caller has asked as another member', {
    also: async ({ sql }, { scene, input }) => {
      const [owner] = await sql<{ identity: string }[]>`select identity from member where id = ${ownerOf(scene.teamId)}`
      const before = await putMember(sql, { teamId: scene.teamId, role: 'owner', state: 'REMOVED', ...owner })
      await withTriggersOff(sql, async (tx) => {
        await tx`update team set self_approval = 'NEVER' where id = ${scene.teamId}`
        await tx`update promotion_approval set state = 'PENDING', requested_by = ${before.id} where id = ${String(input.approvalId)}`
      })
    },
  }),
  refused('stopDeployment', 'Forbidden', 'the team can be restored', {
    but: { Team: { state: 'DELETION_REQUESTED', deletion_at: new Date(Date.now() + 3_600_000) } },
  }),
]
