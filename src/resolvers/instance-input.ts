// The rules of an instance's input: how what runs elsewhere names itself, and what its heartbeats say.
import { z } from 'zod'
import { environment, line, name, optional, text } from './input.ts'

const defaultHeartbeatSeconds = 30
const beats = 'must be 5 to 3600 seconds'

/** Shown to all who may read, so it bears no password. */
const url = text(2048).refine((value) => {
  const read = URL.parse(value)
  return read !== null && /^https?:$/.test(read.protocol) && read.username === '' && read.password === ''
}, 'must be an http or https address without a user name or password')

export const registerInstanceInput = z.object({
  name,
  environment: optional(environment),
  instanceId: optional(text(255).regex(/^[\x21-\x7e]+$/, 'must be 1 to 255 printable ASCII characters without spaces')),
  deploymentId: optional(z.string()),
  url: optional(url),
  heartbeatSeconds: z
    .int('must be a whole number of seconds')
    .min(5, beats)
    .max(3600, beats)
    .nullish()
    .transform((value) => value ?? defaultHeartbeatSeconds),
})

/** What is said of one that is not well and does not say why. */
const unwell = 'it says that it is not well'

export const heartbeatInput = z
  .object({
    healthy: z
      .boolean()
      .nullish()
      .transform((value) => value ?? true),
    reason: optional(line(500)),
  })
  .refine(({ healthy, reason }) => !healthy || reason === null, {
    path: ['reason'],
    message: 'goes with healthy: false only',
  })
  .transform(({ healthy, reason }) => ({ healthy, reason: healthy ? null : reason?.trim() || unwell }))
