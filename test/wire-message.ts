// Cuts a PostgreSQL byte stream into protocol messages, as they arrive. Knows the framing and nothing else:
// https://www.postgresql.org/docs/current/protocol-message-formats.html

/** One whole message with its bytes; `type` is its letter, or `startup` for the untyped first ones of a client. */
export interface WireMessage {
  readonly type: string
  readonly bytes: Buffer
}

const SSL_REQUEST = 80877103
const GSS_REQUEST = 80877104
const CANCEL_REQUEST = 80877102

/** Returns a function that takes chunks and gives the messages that are complete by now. */
export function messageReader(side: 'frontend' | 'backend'): (chunk: Buffer) => WireMessage[] {
  let rest: Buffer = Buffer.alloc(0)
  let typed = side === 'backend'
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    const messages: WireMessage[] = []
    for (;;) {
      const header = typed ? 1 : 0
      if (rest.length < header + 4) return messages
      const length = header + rest.readUInt32BE(header)
      if (rest.length < length) return messages
      const bytes = rest.subarray(0, length)
      rest = rest.subarray(length)
      const type = typed ? String.fromCharCode(bytes[0] as number) : untypedKind(bytes)
      if (type === 'startup') typed = true
      messages.push({ type, bytes })
    }
  }
}

function untypedKind(bytes: Buffer): 'startup' | 'encryption' | 'cancel' {
  const code = bytes.readUInt32BE(4)
  if (code === SSL_REQUEST || code === GSS_REQUEST) return 'encryption'
  return code === CANCEL_REQUEST ? 'cancel' : 'startup'
}
