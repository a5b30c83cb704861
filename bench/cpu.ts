// How much CPU time processes have taken, from /proc; only Linux has it.
import { readdirSync, readFileSync } from 'node:fs'

/** Linux counts in hundredths of a second, on every architecture. */
const ticksPerSecond = 100

/** Parent and times of a process: its own, and of its children that have ended; null when there is no such one. */
function read(pid: number | string): { parent: number; ticks: number } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // After the name, which may hold anything: state, parent, … and as 14th to 17th of all the times.
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number)
    return { parent: fields[1] ?? 0, ticks: [11, 12, 13, 14].reduce((sum, at) => sum + (fields[at] ?? 0), 0) }
  } catch {
    return null
  }
}

/** Seconds of CPU that a process and its children have taken since they were started; null where nobody tells. */
export function cpuSeconds(pid: number): number | null {
  const own = read(pid)
  if (own === null) return null
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const children = all.map(read).filter((each) => each?.parent === pid)
  return children.reduce((sum, each) => sum + (each?.ticks ?? 0), own.ticks) / ticksPerSecond
}
