// What the user of a resource may do: the data commands, on keys and channels of its own prefix, and nothing that sees or
// touches the rest of the server. A list of what is allowed, so that a command of a later version or of a module is not.
// Key patterns do not confine everything; what gets around them is named here, with the reason.
import type { Command } from './redis-session.ts'

/** Everything of a resource begins with it; a colon cannot be part of an incarnation. */
export const prefixOf = (incarnation: string): string => `pawl:${incarnation}:`

const allowed = [
  ...['@string', '@hash', '@list', '@set', '@sortedset', '@bitmap', '@hyperloglog', '@geo', '@stream', '@transaction'],
  ...['publish', 'subscribe', 'unsubscribe', 'psubscribe', 'punsubscribe', 'spublish', 'ssubscribe', 'sunsubscribe'],
  ...['del', 'unlink', 'exists', 'type', 'touch', 'rename', 'renamenx', 'dump'],
  ...['expire', 'expireat', 'pexpire', 'pexpireat', 'expiretime', 'pexpiretime', 'ttl', 'pttl', 'persist'],
  ...['object|encoding', 'object|freq', 'object|idletime', 'object|refcount', 'memory|usage'],
  ...['ping', 'echo', 'hello', 'quit', 'reset', 'time', 'command', 'acl|whoami'],
  ...[
    'client|id',
    'client|info',
    'client|getname',
    'client|setname',
    'client|setinfo',
    'client|reply',
    'client|no-touch',
  ],
]
/** Sub-commands that came with Redis 7.2: left out where the server does not know them. */
const since72 = ['client|setinfo', 'client|no-touch']

/**
 * Not allowed, though ordinary:
 * - `scan`, `keys`, `randomkey`, `dbsize`, `pubsub`, `client|list`, `info`, `slowlog`, `monitor`: show what others have;
 * - `client|tracking`: its broadcasts name the keys of others;
 * - `sort`: its BY and GET read other keys; `copy`, `move`, `select` (but 0): patterns hold in every database, and a
 *   removal looks into database 0 only; `swapdb`, `flushall`, `flushdb`: of all;
 * - `eval`, `fcall`, `script`, `function`: a script stops the server for all while it runs, functions and the script cache
 *   are shared, and the sandbox has been escaped before; `restore`, `migrate`: take a payload or an address from a stranger.
 */
const removed = ['@dangerous', '@admin', '@scripting', 'sort', 'sort_ro']

/** The command that makes the user exactly that, whatever it was. `sha256` is of the password, in hex. */
export function userCommand(name: string, incarnation: string, sha256: string, on: boolean, version: number): Command {
  const known = allowed.filter((rule) => version >= 7.02 || !since72.includes(rule))
  return [
    'ACL',
    'SETUSER',
    name,
    'reset',
    on ? 'on' : 'off',
    `#${sha256}`,
    `~${prefixOf(incarnation)}*`,
    'resetchannels',
    `&${prefixOf(incarnation)}*`,
    ...known.map((rule) => `+${rule}`),
    ...removed.map((rule) => `-${rule}`),
    '+select|0',
  ]
}

/** Ends every connection of the user, at the moment of the transaction that it is part of. */
export const killCommand = (name: string): Command => ['CLIENT', 'KILL', 'USER', name]
