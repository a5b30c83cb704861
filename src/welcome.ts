// What the terminal says once Pawl is up: where it is, the token of a new database (this once), and a first request that
// can be pasted as it is.

export interface Welcome {
  /** Null when this process opens no port. */
  readonly address: string | null
  /** Plaintext of the first token, when this start made it. */
  readonly token: string | null
  readonly role: 'all' | 'api' | 'worker'
  readonly tookMs: number
}

const firstMutation =
  'mutation { deploy(input: { name: "hello", image: "hello" }) { __typename ' +
  '... on DeployPayload { deployment { id state } operation { id } } ... on Refusal { code message } } }'
const firstQuery = '{ deployments { nodes { id name state url stateReason } } }'

/** The lines to print; `Token:` and `GraphQL:` stand on lines of their own for programs that read them. */
export function welcome({ address, token, role, tookMs }: Welcome): string {
  const lines = [`Pawl is ready (${(tookMs / 1000).toFixed(1)} s).`]
  if (role === 'worker') {
    lines.push('It works off operations; the API runs elsewhere.')
    if (address) lines.push(`Health: ${address}/healthz`)
    return `${lines.join('\n')}\n`
  }
  if (token) lines.push(`Token: ${token}`)
  lines.push(`GraphQL: ${address}/graphql`)
  if (!token) {
    lines.push('The token is the one that the first start on this data printed.')
    return `${lines.join('\n')}\n`
  }
  lines.push(
    '',
    'The token is shown this once: it owns everything. Keep it.',
    'Open the address in a browser, or deploy the example app from here:',
    '',
    request(address, token, firstMutation),
    '',
    'Then see it become HEALTHY, and open its url:',
    '',
    request(address, token, firstQuery),
    '',
  )
  return `${lines.join('\n')}\n`
}

const request = (address: string | null, token: string, query: string) =>
  `  curl -s ${address}/graphql -H 'content-type: application/json' \\\n    -H 'authorization: Bearer ${token}' \\\n    -d '${JSON.stringify({ query })}'`
