// Planted bugs of what runs, and of what is told to webhooks: a run that was not asked about is taken for gone, a dead one is
// forgotten, accepted work is lost, attempts are not counted; events that no webhook is told of.
import { subjectNamed } from '../subject/all.ts'
import { both, type Mutant, rewritingAll, without } from './plant.ts'

const flip = 'restartDeployment'
/** The row moves, and the work that goes with it is not stored. */
const acceptsNothing = (rule: RegExp) =>
  rewritingAll(rule, /(insert into "operation" .*? from "moved")(?= returning )/s, '$1 where false')
const unit = subjectNamed('unit.gone')

export const instanceMutants: readonly Mutant[] = [
  {
    name: 'the flip asks for no run: a healthy one is taken for gone',
    races: ['R79', 'R80'],
    subject: unit,
    cast: ['reconcile', 'stop'],
    wrap: both(without(flip, `"found".state in ('HEALTHY')`), without(flip, '"found"."generation" = ', '0 <> ')),
  },
  {
    name: 'what is gone goes OFFLINE, and nothing starts it again',
    races: ['R59', 'R78'],
    subject: unit,
    cast: ['reconcile', 'redeploy'],
    wrap: acceptsNothing(/^restartDeployment$/),
  },
  {
    name: 'accepted work is kept in memory',
    races: ['R78', 'R59'],
    subject: subjectNamed('deployment'),
    cast: ['redeploy', 'env'],
    wrap: acceptsNothing(/^redeployDeployment$/),
  },
  {
    name: 'what has expired runs on: its end is accepted by nobody',
    races: ['R55', 'R58'],
    subject: subjectNamed('deployment'),
    cast: ['expire', 'env'],
    wrap: acceptsNothing(/^expireDeployment$/),
  },
  {
    name: 'an attempt is not counted where it is claimed',
    races: ['R71'],
    subject: subjectNamed('deployment.building'),
    cast: ['run', 'env'],
    wrap: without('claimOperation:Deployment', '"attempt" = "found"."attempt" + 1', '"attempt" = "found"."attempt"'),
    how: { bound: 1 },
  },
  {
    name: 'a cursor goes further than what was stored',
    races: ['R49'],
    subject: subjectNamed('webhook'),
    cast: ['fanOut', 'rotate'],
    wrap: rewritingAll(/^fanOutWebhook$/, /e\.subject_type <> /, 'false and e.subject_type <> '),
  },
]
