// A control plane that can be killed: one process with a provisioner on the given data directory, for the tests that need a
// death at a named point. Prints the connection URL; with `dieAt`, kills itself just before that statement instead.
import { startEmbeddedPostgres } from '../../src/db/embedded.ts'
import { createPostgresProvisioner } from '../../src/drivers/provision/postgres.ts'
import { calm, fenceOf, specOf } from './provision.conformance.ts'
import { around, connectTo } from './provision-postgres-fixture.ts'

const [dataDir = '', subjectId = '', incarnation = '', password = '', dieAt = ''] = process.argv.slice(2)
const connect = around(connectTo(), {
  before: (name) => {
    if (name === dieAt) process.kill(process.pid, 'SIGKILL')
  },
})
const driver = createPostgresProvisioner({
  installation: 'tests',
  url: null,
  dataDir,
  startCluster: (at) =>
    startEmbeddedPostgres({
      dataDir: at.dataDir,
      durable: false,
      settings: at.port === null ? {} : { port: String(at.port) },
    }),
  connect,
})
const ref = { subjectId, incarnation }
console.log(JSON.stringify(await driver.provision(specOf(ref, password), fenceOf(ref, 1), calm)))
setInterval(() => {}, 1000)
