// The races that no planted bug stands for, and what holds them instead: what they are about is no guard of a statement, but a
// process that dies, a clock, a door.
export const unplanted: Readonly<Record<string, string>> = {
  R14: 'the order of a live stream is made in memory, by version: test/live/race.test.ts',
  R56: 'what has no run is removed by the same call, which is done at once: test/races/R55-R56-R62-teardown.test.ts',
  R60: 'the outcome is what the runner stores, and has no other source: test/races/R16-R47-R60-outcome.test.ts',
  R67: 'the end of work has a time of its own: test/loops/drain.test.ts',
  R68: 'recovery is shown by killing: test/crash/kill.test.ts, test/loops/sweep.test.ts and the deaths of the proof',
  R73: 'gone is done for every driver, and for what nobody owns: test/loops/sweep.test.ts',
  R76: 'no move leads from a provision that came to no end to nothing: test/races/R59-R76-R78-R103-worker.test.ts',
  R83: 'a cycle has a deadline: test/instances/ask.test.ts',
  R91: 'a pool has its bound, and no call of a driver holds a connection: test/races/resource-effect.test.ts',
  R99: 'the door refuses a mutation by GET: test/schema/promotion.test.ts',
  R102: 'a process that is told to end lets its work end: test/races/R90-R102-R104-replica.test.ts',
  R103: 'a lease lasts seconds, and a heartbeat renews it: test/races/R59-R76-R78-R103-worker.test.ts',
  R104: 'a worker asks for the kinds that it knows: test/races/R90-R102-R104-replica.test.ts',
  R106: 'a pass is cut off by its deadline: test/loops/sweep.test.ts',
}
