// Which apps there are and what one may be given: the only door through which a command line comes. An image is the
// name of a folder in the apps folder; its manifest, written by whoever runs Pawl, says what is run. A caller picks
// a name and an environment, nothing else.
import { lstat, readdir, readFile, realpath } from 'node:fs/promises'
import { isAbsolute, join, sep } from 'node:path'
import { z } from 'zod'
import { errorCode } from './process-files.ts'

export const MANIFEST_FILE = 'app.json'
const IMAGE = /^[a-z0-9][a-z0-9._-]{0,63}$/
const MAX_MANIFEST_BYTES = 64 * 1024
const MAX_APPS_NAMED = 20
const MAX_VARIABLES = 256
const MAX_VALUE_BYTES = 64 * 1024
const MAX_ENV_BYTES = 256 * 1024

/** `app.json`. Unknown fields are refused, so that a misspelt one is noticed. */
const manifestSchema = z.strictObject({
  description: z.string().max(500).optional(),
  /** Program and arguments, run in the app's folder without a shell. `node` is the Node that runs Pawl. */
  command: z
    .array(
      z
        .string()
        .min(1)
        .max(1000)
        .regex(/^[^\0]*$/),
    )
    .min(1)
    .max(50),
  healthPath: z
    .string()
    .max(200)
    .regex(/^\/[!-~]*$/, 'must be a path that begins with /')
    .default('/healthz'),
  /** How long a new run may take until its health check passes. */
  healthDeadlineMs: z.int().min(100).max(600_000).default(10_000),
})

export interface App {
  readonly image: string
  readonly dir: string
  readonly command: readonly string[]
  readonly healthPath: string
  readonly healthDeadlineMs: number
}
export type Resolved = { readonly app: App } | { readonly reason: string }

/** Finds the app that an image names. `reason` is one sentence; for an unknown image it names the apps there are. */
export async function resolveApp(appsDir: string, image: string): Promise<Resolved> {
  if (!IMAGE.test(image)) return unknownApp(appsDir, image)
  let dir: string
  try {
    const root = await realpath(appsDir)
    dir = join(root, image)
    if (!(await lstat(dir)).isDirectory() || (await realpath(dir)) !== dir) return unknownApp(appsDir, image)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return unknownApp(appsDir, image)
    throw error
  }
  const manifest = await readManifest(dir)
  if ('reason' in manifest) return { reason: `The app ${image} cannot be run: ${manifest.reason}` }
  const escaping = await escapingArgument(dir, manifest.command)
  if (escaping !== null) return { reason: `The app ${image} cannot be run: ${escaping} leads out of its folder` }
  return { app: { image, dir, ...manifest } }
}

async function unknownApp(appsDir: string, image: string): Promise<Resolved> {
  const names = await listApps(appsDir)
  const shown = names.slice(0, MAX_APPS_NAMED).join(', ')
  const more = names.length > MAX_APPS_NAMED ? ` and ${names.length - MAX_APPS_NAMED} more` : ''
  const allowed = names.length === 0 ? 'the apps folder has no app' : `the apps here are ${shown}${more}`
  return { reason: `There is no app named ${JSON.stringify(image.slice(0, 100))}; ${allowed}` }
}

async function listApps(appsDir: string): Promise<string[]> {
  const entries = await readdir(appsDir, { withFileTypes: true }).catch(() => [])
  const folders = entries.filter((entry) => entry.isDirectory() && IMAGE.test(entry.name)).map((entry) => entry.name)
  const withManifest = await Promise.all(
    folders.map((name) =>
      lstat(join(appsDir, name, MANIFEST_FILE)).then(
        (file) => file.isFile(),
        () => false,
      ),
    ),
  )
  return folders.filter((_, index) => withManifest[index]).sort()
}

async function readManifest(dir: string): Promise<z.infer<typeof manifestSchema> | { reason: string }> {
  const path = join(dir, MANIFEST_FILE)
  let text: string
  try {
    const file = await lstat(path)
    if (!file.isFile()) return { reason: `its ${MANIFEST_FILE} is not a plain file` }
    if (file.size > MAX_MANIFEST_BYTES)
      return { reason: `its ${MANIFEST_FILE} is larger than ${MAX_MANIFEST_BYTES} bytes` }
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return { reason: `it has no ${MANIFEST_FILE}` }
    throw error
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return { reason: `its ${MANIFEST_FILE} is not JSON` }
  }
  const parsed = manifestSchema.safeParse(json)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  return { reason: `in its ${MANIFEST_FILE}, ${issue?.path.join('.') || 'the top level'}: ${issue?.message}` }
}

/** The program must be a bare name or inside the folder; so must whatever exists there under an argument's name. */
async function escapingArgument(dir: string, command: readonly string[]): Promise<string | null> {
  for (const [index, argument] of command.entries()) {
    if (index === 0 && !argument.includes('/')) continue
    const outside = isAbsolute(argument) || argument.split('/').includes('..')
    if (index === 0 && outside) return argument
    const real = await realpath(join(dir, argument)).catch(() => null)
    if (real !== null && real !== dir && !real.startsWith(dir + sep)) return argument
  }
  return null
}

/** Variables that the driver sets itself, or that would make a runtime or the loader run something else. */
const RESERVED = /^(PORT|HOST|PATH|PAWL_.*|LD_.*|DYLD_.*|NODE_OPTIONS|NODE_PATH|NODE_REPL_.*|BASH_ENV|ENV|IFS)$/
const RESERVED_RUNTIMES =
  /^(PYTHON(PATH|HOME|STARTUP)|PERL5(OPT|LIB|DB)|RUBY(OPT|LIB)|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS)$/

/** Whether a variable of that name cannot be given. */
export const isReserved = (name: string): boolean => RESERVED.test(name) || RESERVED_RUNTIMES.test(name)

/** One sentence about the first variable that may not be given, or null. Names are told, values never. */
export function refuseEnv(env: Readonly<Record<string, string>>): string | null {
  const entries = Object.entries(env)
  if (entries.length > MAX_VARIABLES) return `At most ${MAX_VARIABLES} variables can be given, not ${entries.length}`
  let bytes = 0
  for (const [name, value] of entries) {
    const shown = JSON.stringify(name.slice(0, 100))
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,255}$/.test(name)) return `${shown} cannot be the name of a variable`
    if (isReserved(name)) return `The variable ${name} is reserved and cannot be given`
    const length = Buffer.byteLength(value)
    if (length > MAX_VALUE_BYTES) return `The value of ${name} is larger than ${MAX_VALUE_BYTES} bytes`
    if (value.includes('\0')) return `The value of ${name} holds a NUL character`
    bytes += name.length + length + 2
  }
  return bytes > MAX_ENV_BYTES ? `The variables are larger than ${MAX_ENV_BYTES} bytes together` : null
}
