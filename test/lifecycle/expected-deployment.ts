// What a deployment may do, written out by hand. `deploy` stands for a call with the name of a deployment in that state;
// `deployAgain` for the same call with redeploy: true.
import type { ExpectedLifecycle } from './expected.ts'

export const deploymentStates = [
  'BUILDING',
  'DEPLOYING',
  'HEALTHY',
  'FAILED',
  'STOPPING',
  'STOPPED',
  'EXPIRED',
  'DELETING',
  'DELETED',
] as const

export const expectedDeployment: ExpectedLifecycle<(typeof deploymentStates)[number]> = {
  passing: ['BUILDING', 'DEPLOYING', 'STOPPING', 'EXPIRED', 'DELETING'],
  resting: ['HEALTHY', 'FAILED', 'STOPPED'],
  terminal: ['DELETED'],
  births: ['BUILDING'],
  pairs: {
    BUILDING: ['DEPLOYING', 'FAILED', 'STOPPING', 'EXPIRED', 'DELETING'],
    DEPLOYING: ['BUILDING', 'HEALTHY', 'FAILED', 'STOPPING', 'EXPIRED', 'DELETING'],
    HEALTHY: ['BUILDING', 'FAILED', 'STOPPING', 'EXPIRED', 'DELETING'],
    FAILED: ['BUILDING', 'STOPPING', 'EXPIRED', 'DELETING'],
    STOPPING: ['STOPPED', 'EXPIRED', 'DELETING'],
    STOPPED: ['BUILDING', 'EXPIRED', 'DELETING'],
    EXPIRED: ['DELETED'],
    DELETING: ['DELETED'],
    DELETED: [],
  },
}

export const deploymentGrid = `
action                  refusal                  effect     BUI  DEP  HEA  FAI  SPG  SPD  EXP  DLG  DLD
redeployDeployment      NotRedeployable          roll_out   BUI+ BUI+ BUI+ BUI+ -    -    -    -    -
deployAgain             NotRedeployable          roll_out   BUI+ BUI+ BUI+ BUI+ -    -    -    -    (NothingToRedeploy)
startDeployment         IllegalState             roll_out   -    -    -    -    -    BUI+ -    -    -
stopDeployment          IllegalState             stop       SPG+ SPG+ SPG+ SPG+ -    -    -    -    -
deleteDeployment        DeploymentAlreadyDeleted tear_down  DLG+ DLG+ DLG+ DLG+ DLG+ DLG+ -    -    -
mergeDeploymentEnv      IllegalState             -          BUI  DEP  HEA  FAI  SPG  SPD  -    -    -
setDeploymentTtl        NotExtendable            -          BUI  DEP  HEA  FAI  SPG  SPD  -    -    -
makeDeploymentPermanent NotExtendable            -          BUI  DEP  HEA  FAI  SPG  SPD  -    -    -
rollOutDeployment       refused                  -          DEP  -    -    -    -    -    -    -    -
markDeploymentHealthy   refused                  -          -    HEA  -    -    -    -    -    -    -
markDeploymentFailed    refused                  -          FAI  FAI  -    -    -    -    -    -    -
restartDeployment       refused                  restart    -    -    HEA  -    -    -    -    -    -
beginDeploymentRestart  refused                  -          -    -    HEA  -    -    -    -    -    -
markDeploymentRestarted refused                  -          -    -    HEA  -    -    -    -    -    -
giveUpDeployment        refused                  -          -    -    FAI  -    -    -    -    -    -
markDeploymentStopped   refused                  -          -    -    -    -    SPD  -    -    -    -
markDeploymentDeleted   refused                  -          -    -    -    -    -    -    DLD  DLD  -
expireDeployment        refused                  tear_down  EXP+ EXP+ EXP+ EXP+ EXP+ EXP+ -    -    -
continueDeployment      refused                  roll_out   BUI  DEP  -    -    -    -    -    -    -
continueDeploymentStop  refused                  stop       -    -    -    -    SPG  -    -    -    -
tearDownDeployment      refused                  tear_down  -    -    -    -    -    -    EXP  DLG  -
`
