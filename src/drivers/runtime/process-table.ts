// Who runs: identity of processes that does not fall for a reused pid. A process is its pid plus the moment it
// started; a run's processes are also found by the instance id in their environment, whatever became of their
// parent or their process group. Linux is read from /proc, others are asked through ps.
import { execFileSync } from 'node:child_process'
import { closeSync, readdirSync, readFileSync } from 'node:fs'
import { errorCode } from './process-files.ts'

/** Names the run in the environment of each of its processes. */
export const INSTANCE_MARK = 'PAWL_INSTANCE_ID'
/** Names what it is a run of. */
export const SUBJECT_MARK = 'PAWL_SUBJECT_ID'

const onLinux = process.platform === 'linux'
const PS_TIMEOUT_MS = 2000
/** From Linux's fcntl.h, the same on all platforms that Node runs on. */
const O_CLOEXEC = 0o2000000
/** From Linux's sched.h. */
const PF_EXITING = 0x4
let bootId: string | undefined

const ps = (args: readonly string[]): string => {
  try {
    return execFileSync('/bin/ps', args, { encoding: 'utf8', env: {}, timeout: PS_TIMEOUT_MS, stdio: 'pipe' })
  } catch {
    return ''
  }
}

function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, 'utf8')
  } catch {
    return ''
  }
}

/** When that process started, as text that is only good for comparing; null when it is gone or a zombie. */
export function startMark(pid: number): string | null {
  if (!onLinux) {
    const line = ps(['-o', 'stat=,lstart=', '-p', String(pid)]).trim()
    return line === '' || line.startsWith('Z') ? null : line.replace(/^\S+\s+/, '')
  }
  const stat = readProc(`${pid}/stat`)
  // proc(5): the fields after the command, which may itself hold spaces and brackets; [0] state, [19] start time.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (stat === '' || fields[0] === 'Z' || fields[0] === 'X') return null
  bootId ??= readProc('sys/kernel/random/boot_id').trim()
  return `${bootId}:${fields[19]}`
}

/** Living processes that carry the instance id in their environment, the supervisor among them. */
export function processesOf(instanceId: string): number[] {
  const mark = `${INSTANCE_MARK}=${instanceId}`
  if (!onLinux) {
    const lines = ps(['-axwwE', '-o', 'pid=,stat=,command=']).split('\n')
    return lines
      .filter((line) => line.includes(mark) && !/^\s*\d+\s+Z/.test(line))
      .map((line) => Number.parseInt(line, 10))
  }
  const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))
  const marked = pids.filter((pid) => readProc(`${pid}/environ`).split('\0').includes(mark))
  return marked.map(Number).filter((pid) => startMark(pid) !== null)
}

/**
 * True while a process of that group is on its way out. Linux takes its environment away before it closes its files,
 * so for a moment it carries no mark and still listens on its port.
 */
export function isGroupExiting(group: number): boolean {
  if (!onLinux) return false
  const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))
  return pids.some((pid) => {
    const stat = readProc(`${pid}/stat`)
    // proc(5), counted as above: [0] state, [2] process group, [6] flags of the kernel.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return Number(fields[2]) === group && fields[0] !== 'Z' && (Number(fields[6]) & PF_EXITING) !== 0
  })
}

/** Sends a signal; a process (or, negative, a group) that is already gone is no error. */
export function sendSignal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error
  }
}

/**
 * Closes the files that this process got from its parent's parents. Node opens all of its own to close on exec; one
 * that was handed down without it would be handed on. Elsewhere than on Linux none is handed down in the first place.
 */
export function closeInheritedFiles(): void {
  if (!onLinux) return
  for (const fd of readdirSync('/proc/self/fd').map(Number)) {
    const flags = /^flags:\s*(\d+)/m.exec(readProc(`self/fdinfo/${fd}`))?.[1]
    if (fd > 2 && flags !== undefined && (Number.parseInt(flags, 8) & O_CLOEXEC) === 0) closeSync(fd)
  }
}

/** Living processes of runs, whoever started them: by run, with the subject that a workload is told. Null where nobody can tell. */
export function runsOnThisMachine(): Map<string, { readonly subjectId: string; readonly pid: number }> | null {
  if (!onLinux) return null
  const runs = new Map<string, { subjectId: string; pid: number }>()
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const environ = readProc(`${pid}/environ`).split('\0')
    const named = (name: string) => environ.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1)
    const [instanceId, subjectId] = [named(INSTANCE_MARK), named(SUBJECT_MARK)]
    if (!instanceId || !subjectId || startMark(Number(pid)) === null) continue
    runs.set(instanceId, { subjectId, pid: Number(pid) })
  }
  return runs
}
