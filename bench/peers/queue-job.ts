// What a job of a peer's queue does, the same as a runner of ours does when a driver has answered: the deployment moves to its end if
// it is still as the job wants it, and an event tells of it, in one statement that is prepared. The queue itself is the peer's.
import type pg from 'pg'

export interface Job {
  readonly id: string
  readonly teamId: string
  readonly generation: number
}

const text = `with moved as (
    update deployment set state = 'STOPPED', state_changed_at = clock_timestamp(), version = version + 1, url = null, instance_id = null
    where id = $1 and team_id = $2 and generation = $3 and state = 'STOPPING' returning *)
  insert into event (occurred_at, team_id, subject_type, subject_id, kind, from_state, to_state, generation, version, actor_kind, actor_id,
    request_id, transition_id)
  select clock_timestamp(), team_id, 'Deployment', id, 'markDeploymentStopped', 'STOPPING', state, generation, version, 'runner', 'peer',
    'bench', $4 from moved`

/** Carries a job out. Throws when the deployment is not as it must be. */
export async function stopDeployment(
  client: Pick<pg.ClientBase, 'query'> | pg.Pool,
  { id, teamId, generation }: Job,
): Promise<void> {
  const values = [id, teamId, generation, crypto.randomUUID()]
  const { rowCount } = await client.query({ name: 'stop', text, values })
  if (rowCount !== 1) throw new Error(`${id} was not stopped`)
}

/** Queues what its parent gives, then begins when that one says so; ends when it is gone. */
export function serve({
  queue,
  begin,
}: {
  queue(jobs: readonly Job[]): Promise<unknown>
  begin(): Promise<unknown>
}): void {
  process.on('message', async (told: { jobs?: readonly Job[] }) => {
    if (!told.jobs) return void (await begin())
    await queue(told.jobs)
    process.send?.({ queued: true })
  })
  process.once('disconnect', () => process.exit())
  process.send?.({ ready: true })
}
