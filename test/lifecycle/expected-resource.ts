// What a resource may do, written out by hand.
import type { ExpectedLifecycle } from './expected.ts'

export const resourceStates = [
  'PROVISIONING',
  'ACTIVE',
  'PAUSING',
  'PAUSED',
  'RESUMING',
  'SUSPENDED',
  'FAILED',
  'DELETING',
  'DELETED',
] as const

export const expectedResource: ExpectedLifecycle<(typeof resourceStates)[number]> = {
  passing: ['PROVISIONING', 'PAUSING', 'RESUMING', 'DELETING'],
  resting: ['ACTIVE', 'PAUSED', 'SUSPENDED', 'FAILED'],
  terminal: ['DELETED'],
  births: ['PROVISIONING'],
  pairs: {
    PROVISIONING: ['ACTIVE', 'FAILED', 'DELETING'],
    ACTIVE: ['PAUSING', 'SUSPENDED', 'DELETING'],
    PAUSING: ['PAUSED', 'DELETING'],
    PAUSED: ['RESUMING', 'DELETING'],
    RESUMING: ['ACTIVE', 'DELETING'],
    SUSPENDED: ['ACTIVE', 'DELETING'],
    FAILED: ['DELETING'],
    DELETING: ['DELETED'],
    DELETED: [],
  },
}

export const resourceGrid = `
action                    refusal                effect      PRO  ACT  PSG  PSD  RES  SUS  FAI  DLG  DLD
pauseResource             IllegalState           pause       -    PSG+ -    -    -    -    -    -    -
resumeResource            IllegalState           resume      -    -    -    RES+ -    -    -    -    -
rotateResourceCredentials IllegalState           rotate      -    ACT+ -    -    -    -    -    -    -
setResourceTtl            IllegalState           -           PRO  ACT  PSG  PSD  RES  SUS  FAI  -    -
sendResource              refused                -           PRO  ACT  PSG  PSD  RES  SUS  FAI  -    -
deleteResource            ResourceAlreadyDeleted deprovision DLG+ DLG+ DLG+ DLG+ DLG+ DLG+ DLG+ -    -
markResourceActive        refused                -           ACT  -    -    -    -    -    -    -    -
markResourceFailed        refused                -           FAI  -    -    -    -    -    -    -    -
markResourcePaused        refused                -           -    -    PSD  -    -    -    -    -    -
markResourceResumed       refused                -           -    -    -    -    ACT  -    -    -    -
markResourceRotated       refused                -           -    ACT  -    -    -    -    -    -    -
suspendResource           refused                suspend     -    SUS+ -    -    -    -    -    -    -
releaseResource           refused                release     -    -    -    -    -    ACT+ -    -    -
markResourceSuspended     refused                -           -    -    -    -    -    SUS  -    -    -
markResourceReleased      refused                -           -    ACT  -    -    -    -    -    -    -
continueProvision         refused                provision   PRO  -    -    -    -    -    -    -    -
continueResourcePause     refused                pause       -    -    PSG  -    -    -    -    -    -
continueResourceResume    refused                resume      -    -    -    -    RES  -    -    -    -
deprovisionResource       refused                deprovision -    -    -    -    -    -    -    DLG  -
markResourceDeleted       refused                -           -    -    -    -    -    -    -    DLD  -
`
