// What the users of Redis resources can see and reach: command by command against a real server. And where passwords never
// are. Needs PAWL_TEST_REDIS_URL or a redis-server of version 7 or later on PATH; without one the main file says so.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ResourceSpec } from '../../src/drivers/provision/driver.ts'

import { userCommand } from '../../src/drivers/provision/redis-acl.ts'
import { calm, doneValue, fenceOf, newRef, specOf } from './provision.conformance.ts'
import {
  clientOf,
  createRedisFixture,
  type RedisFixture,
  type RedisServer,
  redisSource,
  startRedis,
} from './provision-redis-fixture.ts'

test('the user of a resource begins from nothing and names its own prefix only', () => {
  const command = userCommand('pawl_x', 'x', 'f'.repeat(64), true, 7)
  expect(command.slice(0, 9)).toEqual([
    'ACL',
    'SETUSER',
    'pawl_x',
    'reset',
    'on',
    `#${'f'.repeat(64)}`,
    '~pawl:x:*',
    'resetchannels',
    '&pawl:x:*',
  ])
  expect(command.filter((rule) => /^[~&%]|all/.test(rule))).toEqual(['~pawl:x:*', '&pawl:x:*'])
})

describe.skipIf(redisSource === null)('Redis provisioner: confinement', () => {
  let server: RedisServer | null = null
  let fixture: RedisFixture
  beforeAll(async () => {
    if (redisSource === 'redis-server') server = await startRedis()
    fixture = await createRedisFixture(server?.url ?? String(process.env.PAWL_TEST_REDIS_URL))
  })
  afterAll(async () => {
    await fixture?.dispose()
    await server?.stop()
  })

  const made = async (spec: ResourceSpec, generation = 1) =>
    (await doneValue(fixture.provisioner().provision(spec, fenceOf(spec, generation), calm))).url

  test('every command that is allowed works on keys or channels, but for a few that tell nothing of others', async () => {
    const spec = specOf(newRef())
    await made(spec)
    const all = (await fixture.admin('COMMAND')) as [string, number, string[], number, ...unknown[]][]
    const free: string[] = []
    for (const [name, arity, flags, firstKey] of all) {
      const words = Array.from({ length: Math.abs(arity) - 1 }, () => '1')
      const verdict = await fixture
        .admin('ACL', 'DRYRUN', `pawl_${spec.incarnation}`, name, ...words)
        .catch(() => 'subcommands')
      const mayRun = verdict === 'OK' || !/no permissions to run/.test(String(verdict))
      const keyed = firstKey !== 0 || flags.includes('movablekeys')
      if (mayRun && !keyed && verdict !== 'subcommands') free.push(name)
    }
    const channels = ['publish', 'psubscribe', 'punsubscribe', 'subscribe', 'unsubscribe']
    const own = ['auth', 'discard', 'echo', 'exec', 'hello', 'multi', 'ping', 'quit', 'reset', 'time', 'unwatch']
    const told = ['command']
    // In newer versions the containers of sub-commands are in this list too; what of them may run is tried below.
    const containers = ['acl', 'client', 'memory', 'object', 'xgroup', 'xinfo']
    expect(free.filter((name) => ![...channels, ...own, ...told, ...containers].includes(name))).toEqual([])
  })

  test('nothing that sees, stops or changes what others have', async () => {
    const [one, other] = [specOf(newRef()), specOf(newRef())]
    const mine = await clientOf(await made(one))
    const theirs = await clientOf(await made(other))
    await mine.write('mine')
    await theirs.write('theirs')
    const key = `${theirs.prefix}note`
    const own = `${mine.prefix}note`
    const attempts: [string, ...string[]][] = [
      ['GET', key],
      ['SET', key, 'x'],
      ['GET', 'pawl-provision:owned'],
      ['HGETALL', `pawl-provision:ledger:${other.incarnation}`],
      ['HSET', `pawl-provision:ledger:${one.incarnation}`, 'generation', '0'],
      ['GET', 'pawl:'],
      ['RENAME', key, own],
      ['RENAME', own, key],
      ['COPY', key, own],
      ['COPY', own, `${mine.prefix}copy`, 'DB', '1'],
      ['MOVE', own, '1'],
      ['SELECT', '1'],
      ['SWAPDB', '0', '1'],
      ['BITOP', 'NOT', own, key],
      ['SUNIONSTORE', own, key],
      ['LMPOP', '2', own, key, 'LEFT'],
      ['XREAD', 'STREAMS', key, '0'],
      ['SORT', own, 'BY', 'nosort', 'GET', key],
      ['SORT_RO', own, 'GET', key],
      ['SCAN', '0'],
      ['KEYS', '*'],
      ['RANDOMKEY'],
      ['DBSIZE'],
      ['INFO'],
      ['MONITOR'],
      ['SLOWLOG', 'GET'],
      ['LATENCY', 'LATEST'],
      ['MEMORY', 'STATS'],
      ['MEMORY', 'USAGE', key],
      ['OBJECT', 'ENCODING', key],
      ['DEBUG', 'OBJECT', own],
      ['CONFIG', 'GET', '*'],
      ['FLUSHALL'],
      ['FLUSHDB'],
      ['SHUTDOWN', 'NOSAVE'],
      ['REPLICAOF', '127.0.0.1', '1'],
      ['MIGRATE', '127.0.0.1', '1', own, '0', '1'],
      ['RESTORE', `${mine.prefix}new`, '0', 'x'],
      ['EVAL', "return redis.call('GET', KEYS[1])", '1', key],
      ['EVAL', 'return 1', '0'],
      ['EVALSHA', '0'.repeat(40), '0'],
      ['SCRIPT', 'FLUSH'],
      ['SCRIPT', 'LOAD', 'return 1'],
      ['FUNCTION', 'LIST'],
      ['FUNCTION', 'FLUSH'],
      ['FCALL', 'f', '0'],
      ['ACL', 'LIST'],
      ['ACL', 'SETUSER', `pawl_${one.incarnation}`, 'allkeys'],
      ['ACL', 'USERS'],
      ['ACL', 'SAVE'],
      ['CLIENT', 'LIST'],
      ['CLIENT', 'KILL', 'USER', `pawl_${other.incarnation}`],
      ['CLIENT', 'PAUSE', '1000'],
      ['CLIENT', 'UNBLOCK', '1'],
      ['CLIENT', 'NO-EVICT', 'on'],
      ['CLIENT', 'TRACKING', 'on', 'BCAST'],
      ['PUBSUB', 'CHANNELS'],
      ['PUBLISH', `${theirs.prefix}news`, 'x'],
      ['SPUBLISH', `${theirs.prefix}news`, 'x'],
      ['MODULE', 'LIST'],
      ['CLUSTER', 'INFO'],
      ['WAIT', '0', '0'],
    ]
    for (const attempt of attempts) {
      await expect(mine.send(...attempt), attempt.join(' ')).rejects.toThrow(
        /NOPERM|unknown command|DEBUG command not allowed/,
      )
    }
    for (const command of [
      ['PSUBSCRIBE', '*'],
      ['SUBSCRIBE', '__keyevent@0__:set'],
      ['SSUBSCRIBE', `${theirs.prefix}news`],
    ] as [string, ...string[]][]) {
      await expect(mine.send(...command), command.join(' ')).rejects.toThrow(/NOPERM/)
    }
    const queued = await Promise.allSettled([mine.send('MULTI'), mine.send('GET', key), mine.send('EXEC')])
    expect(queued.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
    expect(await mine.read()).toBe('mine')
    expect(await theirs.read()).toBe('theirs')
    await Promise.all([mine.end(), theirs.end()])
  })

  test('ordinary work is allowed', async () => {
    const spec = specOf(newRef())
    const { send, prefix, end } = await clientOf(await made(spec))
    const work: [string, ...string[]][] = [
      ['SET', `${prefix}a`, '1', 'EX', '100'],
      ['INCR', `${prefix}a`],
      ['MGET', `${prefix}a`, `${prefix}b`],
      ['TTL', `${prefix}a`],
      ['TYPE', `${prefix}a`],
      ['RENAME', `${prefix}a`, `${prefix}b`],
      ['HSET', `${prefix}h`, 'f', 'v'],
      ['HSCAN', `${prefix}h`, '0'],
      ['LPUSH', `${prefix}l`, 'x'],
      ['BLPOP', `${prefix}l`, '1'],
      ['ZADD', `${prefix}z`, '1', 'm'],
      ['XADD', `${prefix}x`, '*', 'f', 'v'],
      ['XGROUP', 'CREATE', `${prefix}x`, 'g', '0'],
      ['SETBIT', `${prefix}bits`, '7', '1'],
      ['PFADD', `${prefix}hll`, 'x'],
      ['GEOADD', `${prefix}geo`, '13.4', '52.5', 'berlin'],
      ['WATCH', `${prefix}b`],
      ['MULTI'],
      ['DEL', `${prefix}b`],
      ['EXEC'],
      ['PUBLISH', `${prefix}news`, 'hello'],
      ['MEMORY', 'USAGE', `${prefix}h`],
      ['SELECT', '0'],
      ['CLIENT', 'SETNAME', 'me'],
      ['ACL', 'WHOAMI'],
      ['UNLINK', `${prefix}h`],
    ]
    for (const command of work) await send(...command)
    await end()
  })

  test('no password reaches Redis but when a client logs in', async () => {
    const spec = specOf(newRef(), 'canaryFirst0canaryFirst0canaryFirst0')
    const sent: unknown[] = []
    const driver = fixture.provisioner({ beforeCommand: (command) => void sent.push(command) })
    await doneValue(driver.provision(spec, fenceOf(spec, 1), calm))
    await doneValue(driver.rotate(specOf(spec, 'canarySecond0canarySecond0canarySecond0'), fenceOf(spec, 2), calm))
    expect(JSON.stringify(sent)).not.toMatch(/canary(First|Second)0/)
    const kept = await fixture.admin('HGETALL', `pawl-provision:ledger:${spec.incarnation}`)
    expect(JSON.stringify(kept)).not.toMatch(/canary/)
    if (server) expect(server.log()).not.toMatch(/canary/)
    await doneValue(driver.deprovision(spec, fenceOf(spec, 3), calm))
  })
})
