// The log of what drivers were asked for and what came of it, as a file: one JSON object a line, in the order in which effects
// happened. Whoever has a world of fakes writes it (`driverLogLine`); `npm run check -- --driver-log FILE` reads it.
import { open } from 'node:fs/promises'
import { z } from 'zod'

/**
 * One line. `driver` is the holder's name, as `runtime.fake` or `provision.POSTGRES`. `call` is the seam's word for it (`ensure`,
 * `deprovision` …); what happened without being asked for, a crash or somebody's hand, is a line of its own with another word, and
 * without a fence. `effects` are what changed, in order: of a workload `reserved`, `started`, `ended`, `removed`, with the run's
 * `instanceId`, which alone tells what has `ended`; of a resource `made`, `paused`, `resumed`, `rotated`, `frozen`, `thawed`,
 * `removed`. `result` is the outcome's kind.
 */
const entrySchema = z.object({
  at: z.iso.datetime(),
  driver: z.string().min(1),
  call: z.string().min(1),
  ref: z.object({ subjectId: z.string(), incarnation: z.string() }).nullable(),
  fence: z.object({ operationId: z.string(), attempt: z.int(), subjectId: z.string(), generation: z.int() }).nullable(),
  effects: z.array(z.object({ effect: z.string(), instanceId: z.string().nullish() })).readonly(),
  result: z.string(),
})

export type DriverLogEntry = Readonly<z.infer<typeof entrySchema>>

/** An entry of a fake's `log()` as a line, with its end of line; of what the fake tells more, nothing is kept. */
export const driverLogLine = (driver: string, entry: Omit<DriverLogEntry, 'at' | 'driver'> & { readonly at: Date }) =>
  `${JSON.stringify(entrySchema.parse({ ...entry, driver, at: entry.at.toISOString() }))}\n`

/** Reads it line by line, so that a long one needs no more memory. Throws one line that names the first that is none of it. */
export async function* readDriverLog(path: string): AsyncGenerator<DriverLogEntry> {
  const file = await open(path)
  try {
    let number = 0
    for await (const line of file.readLines()) {
      number += 1
      if (line !== '') yield entryOf(line, `${path}, line ${number}`)
    }
  } finally {
    await file.close()
  }
}

function entryOf(line: string, where: string): DriverLogEntry {
  try {
    return entrySchema.parse(JSON.parse(line))
  } catch {
    throw new Error(`${where} is no line of a drivers' log`)
  }
}
