// Under which user the embedded PostgreSQL runs. It refuses to run as root, so a root process hands it to an
// unprivileged user: the one who owns the cluster already, else `postgres`, made if it is missing. Any other
// process runs it as itself.

import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)
const USER = 'postgres'

/** Spawn options: empty means "as this process". */
export interface Identity {
  readonly uid?: number
  readonly gid?: number
}

/** Finds, or as root makes, the user for the cluster in that directory (which need not exist yet). */
export async function clusterIdentity(clusterDir: string): Promise<Identity> {
  const self = process.getuid?.()
  const owner = await stat(clusterDir).catch(() => undefined)
  if (self !== 0) {
    if (owner !== undefined && self !== undefined && owner.uid !== self) {
      throw new Error(
        `The database in ${clusterDir} belongs to user id ${owner.uid} and this process runs as user id ${self}; ` +
          'run as that user, or give another PAWL_DATA_DIR.',
      )
    }
    return {}
  }
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid }
  return (await lookUp()) ?? (await create())
}

async function lookUp(): Promise<Identity | undefined> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', USER]), run('id', ['-g', USER])])
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) }
  } catch {
    return undefined
  }
}

async function create(): Promise<Identity> {
  const problem = await run('useradd', ['--system', '--user-group', '--no-create-home', '--shell', '/bin/false', USER])
    .then(() => undefined)
    .catch((error: Error) => error.message.trim().replaceAll('\n', ' '))
  const identity = await lookUp()
  if (identity !== undefined) return identity
  throw new Error(
    `PostgreSQL does not run as root and no user "${USER}" could be made for it (${problem}); ` +
      'create that user, run Pawl as another user, or set DATABASE_URL.',
  )
}
