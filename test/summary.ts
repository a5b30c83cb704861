// Sums the JSON reports of several vitest runs and prints `N passed, N failed` (and `, N skipped`) alone on a line. A run
// that left no report, or a file that could not even be loaded, counts as one failure: silence is never success.
// Usage: node test/summary.ts <folder of reports> <failed steps> <report>…
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'

interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[]
  }[]
}

const [folder = '.', failedSteps = '0', ...names] = process.argv.slice(2)
const total = { passed: 0, failed: Number(failedSteps), skipped: 0 }

for (const name of names) {
  const report = read(name)
  if (report === null) {
    total.failed++
    process.stdout.write(`${name}: no report, the run did not end\n`)
    continue
  }
  total.passed += report.numPassedTests
  total.failed += report.numFailedTests
  total.skipped += report.numPendingTests + report.numTodoTests
  for (const file of report.testResults) {
    const failed = file.assertionResults.filter(({ status }) => status === 'failed')
    for (const { fullName } of failed) process.stdout.write(`${name}: failed: ${fullName}\n`)
    if (file.status !== 'failed' || failed.length > 0) continue
    total.failed++
    process.stdout.write(`${name}: failed: ${basename(file.name)} as a whole: ${file.message.split('\n')[0]}\n`)
  }
  if (report.testResults.length === 0) {
    total.failed++
    process.stdout.write(`${name}: no test was found\n`)
  }
}

process.stdout.write(
  `${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ''}\n`,
)
process.exitCode = total.failed > 0 ? 1 : 0

function read(name: string): Report | null {
  try {
    return JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as Report
  } catch {
    return null
  }
}
