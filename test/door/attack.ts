// Every attack on the front door: what is sent, and the one refusal that answers it. Run one by one against a server whose
// statements are watched (attack.test.ts), and all of them over and over against a process of its own (test/attack).
import type { Seen, Target } from './client.ts'
import { documentAttacks } from './document-attack.ts'
import { requestAttacks } from './request-attack.ts'

export interface Attack {
  readonly name: string
  readonly answer: { readonly status: number; readonly code: string }
  send(target: Target): Promise<Seen>
}

export const attacks: readonly Attack[] = [...documentAttacks, ...requestAttacks]
