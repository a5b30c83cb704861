// `npm run new-token`: prints a token for PAWL_BOOTSTRAP_TOKEN. It works once a new database was started with it.
import { mintToken } from './token.ts'

process.stdout.write(`${mintToken().plaintext}\n`)
