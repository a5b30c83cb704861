// Which runtime an instance is told to run on. The fake stands for processes.
import type { InstanceRuntime } from '../db/instance.ts'
import type { RuntimeDriver } from '../drivers/runtime/driver.ts'

export const runtimeOf = ({ name }: Pick<RuntimeDriver, 'name'>): InstanceRuntime =>
  name === 'docker' ? 'DOCKER' : 'PROCESS'
