// A terminal for the test of README: one bash that keeps its variables and functions from block to block, and servers in
// the background, each in a process group of its own. `close` ends all of it, and says what would not end.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

const pollMs = 50

export interface Ended {
  readonly output: string
  readonly code: number
}

export class Terminal {
  readonly #shell: ChildProcess
  #output = ''
  #served = ''
  #exited = false
  #wake: () => void = () => {}

  constructor(cwd: string, env: NodeJS.ProcessEnv) {
    this.#shell = spawn('bash', ['--noprofile', '--norc'], {
      cwd,
      env,
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    })
    const { stdout, stderr, stdio } = this.#shell
    // Servers write to a stream of their own, as they would in a window of their own.
    this.#listen(stdout, (text) => {
      this.#output += text
    })
    this.#listen(stderr, (text) => {
      this.#output += text
    })
    this.#listen(stdio[3] as Readable, (text) => {
      this.#served += text
    })
    // A SIGTERM to the whole group is for the servers; the shell waits for them.
    this.#shell.stdin?.write('trap : TERM\n')
    this.#shell.once('exit', () => {
      this.#exited = true
      this.#wake()
    })
  }

  #listen(stream: Readable | null, take: (text: string) => void): void {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      take(text)
      this.#wake()
    })
  }

  /** Runs a block to its end; its output and how its last command ended. */
  async run(command: string, timeoutMs: number): Promise<Ended> {
    const mark = randomUUID()
    const from = this.#output.length
    // Commands get no input: the terminal itself is fed through it.
    this.#shell.stdin?.write(`{\n${command}\n} </dev/null 3>&-\nprintf '\\n${mark} %d\\n' $?\n`)
    const end = new RegExp(`\\n${mark} (\\d+)\\n`)
    const match = await this.#until(() => end.exec(this.#output.slice(from)), timeoutMs, command)
    return { output: this.#output.slice(from, from + match.index), code: Number(match[1]) }
  }

  /** Starts a block that runs on; resolves with its output so far once it matches `ready`. */
  async start(command: string, ready: RegExp, timeoutMs: number): Promise<string> {
    const from = this.#served.length
    this.#shell.stdin?.write(`{\n${command}\n} </dev/null >&3 2>&3 &\n`)
    await this.#until(() => ready.exec(this.#served.slice(from)), timeoutMs, command)
    return this.#served.slice(from)
  }

  /** All that servers wrote so far. */
  get served(): string {
    return this.#served
  }

  /** Ends everything that was started from here, servers first by SIGTERM; rejects when something stays. */
  async close(timeoutMs: number): Promise<void> {
    const { pid } = this.#shell
    if (pid === undefined || this.#exited) return
    signal(pid, 'SIGTERM')
    this.#shell.stdin?.end('wait\nwait\n')
    await this.#until(() => (this.#exited ? true : null), timeoutMs, 'the end of the terminal')
    // npm ends before what it has started: the group is what counts, and nobody tells of its end.
    const deadline = performance.now() + timeoutMs
    while (signal(pid, 0) && performance.now() < deadline) await sleep(pollMs)
    if (signal(pid, 'SIGKILL')) throw new Error(`after ${timeoutMs} ms something that was started still ran`)
  }

  async #until<T>(look: () => T | null, timeoutMs: number, what: string): Promise<T> {
    const deadline = AbortSignal.timeout(timeoutMs)
    for (;;) {
      const found = look()
      if (found !== null) return found
      if (deadline.aborted)
        throw new Error(
          `after ${timeoutMs} ms still waiting for: ${what}\n${(this.#output + this.#served).slice(-6000)}`,
        )
      if (this.#exited)
        throw new Error(`the terminal has ended before: ${what}\n${(this.#output + this.#served).slice(-6000)}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        deadline.addEventListener('abort', () => resolve(), { once: true })
      })
    }
  }
}

/** To the whole group of a process; false when it is gone. */
function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-pid, name)
    return true
  } catch {
    return false
  }
}
