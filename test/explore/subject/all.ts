// All subjects, and the triples of them that the catalogue of races speaks of.
import type { Subject } from '../play.ts'
import { deploymentSubjects } from './deployment.ts'
import { externalSubjects } from './external.ts'
import { instanceSubjects } from './instance.ts'
import { lostSubjects } from './lost.ts'
import { promotionSubjects } from './promotion.ts'
import { resourceSubjects } from './resource.ts'
import { secretSubjects, stackSubjects } from './stack.ts'
import { teamSubjects } from './team.ts'
import { webhookSubjects } from './webhook.ts'

export const subjects: readonly Subject[] = [
  ...deploymentSubjects,
  ...resourceSubjects,
  ...stackSubjects,
  ...secretSubjects,
  ...promotionSubjects,
  ...teamSubjects,
  ...instanceSubjects,
  ...externalSubjects,
  ...webhookSubjects,
  ...lostSubjects,
]

/** Throws for a name that no subject has. */
export function subjectNamed(name: string): Subject {
  const subject = subjects.find((each) => each.name === name)
  if (!subject) throw new Error(`there is no subject ${name}, only ${subjects.map((each) => each.name).join(', ')}`)
  return subject
}

/** Subject and actors: who shares a row with two others at once, by the races of RACES.md that need three. */
export const triples: readonly (readonly [subject: string, ...cast: string[]])[] = [
  ['deployment', 'redeploy', 'expire', 'delete'],
  ['deployment', 'expire', 'permanent', 'ttl'],
  ['deployment', 'redeploy', 'deploy', 'stop'],
  ['deployment', 'env', 'env2', 'deploy'],
  ['deployment', 'anew', 'delete', 'deploy'],
  ['deployment', 'keyed', 'keyed', 'delete'],
  ['deployment.none', 'anew', 'anew', 'other'],
  ['deployment.building', 'redeploy', 'cancel', 'expire'],
  ['deployment.building', 'redeploy', 'delete', 'run'],
  ['deployment.failed', 'retry', 'redeploy', 'delete'],
  ['deployment.referring', 'redeploy', 'forget', 'keep'],
  ['resource', 'delete', 'delete', 'expire'],
  ['resource', 'create', 'delete', 'create'],
  ['resource', 'rotate', 'pause', 'delete'],
  ['resource.provisioning', 'cancel', 'delete', 'run'],
  ['stack', 'env', 'env2', 'delete'],
  ['stack', 'redeploy', 'change', 'delete'],
  ['secret', 'set', 'set2', 'delete'],
  ['secret.none', 'set', 'set2', 'keyed'],
  ['approval', 'approve', 'reject', 'withdraw'],
  ['approval.approved', 'promote', 'promote', 'withdraw'],
  ['approval.approved', 'promote', 'deleteTarget', 'envSource'],
  ['approval.new', 'promote', 'createTarget', 'createOther'],
  ['approval.twin', 'twin', 'create', 'delete'],
  ['member', 'demoteFirst', 'demoteSecond', 'removeSecond'],
  ['member', 'removeFirst', 'demoteSecond', 'promoteDeveloper'],
  ['invitation', 'accept', 'withdraw', 'removeInviter'],
  ['token', 'revoke', 'revoke', 'expire'],
  ['team', 'delete', 'expire', 'restore'],
  ['team.leaving', 'restore', 'expire', 'teardown'],
  ['token', 'revoke', 'removeMember', 'teardown'],
  ['deployment.claimed', 'run', 'redeploy', 'expire'],
  ['deployment.log', 'sequence', 'sequence', 'redeploy'],
  ['lost.BUILDING', 'sweep', 'sweep', 'redeploy'],
  ['resource.paused', 'resume', 'rotate', 'delete'],
  ['resource.suspended', 'small', 'ttl', 'delete'],
  ['secret.sealed', 'reseal', 'set', 'delete'],
  ['unit.dying', 'reconcile', 'dies', 'redeploy'],
  ['unit.gone', 'reconcile', 'stop', 'redeploy'],
  ['service.gone', 'reconcile', 'redeploy', 'delete'],
  ['external', 'heartbeat', 'remove', 'reconcile'],
  ['external.part', 'heartbeat', 'delete', 'reconcile'],
  ['external.none', 'register', 'register', 'other'],
  ['webhook', 'fanOut', 'disable', 'enable'],
  ['delivery', 'deliver', 'disable', 'enable'],
  ['delivery', 'redeliver', 'deliver', 'delete'],
  ['delivery.gone', 'deliver', 'enable', 'update'],
  ['delivery.abandoned', 'bury', 'deliver', 'redeliver'],
]
