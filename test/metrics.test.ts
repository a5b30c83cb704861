// The names and labels that the contract promises, closed label sets, and gauges that ask when scraped. The list
// is written out again here: renaming a metric must break something.

import { describe, expect, test } from 'vitest'
import { createMetrics, type Metrics } from '../src/metrics.ts'
import { kept } from '../src/metrics-gauge.ts'

const strict = () => createMetrics({ strict: true, graphqlOperations: ['redeployDeployment', 'deployments'] })

/** The samples of one metric, e.g. `{entity="deployment"} 1`. */
async function samples(metrics: Metrics, name: string): Promise<string[]> {
  const lines = (await metrics.text()).split('\n')
  return lines
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .map((line) => line.slice(name.length))
}

test('every promised metric is there under its name and type', async () => {
  const types = [...(await strict().text()).matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(
    ([, name, type]) => `${name} ${type}`,
  )
  expect(types.sort()).toEqual([
    'pawl_db_pool gauge',
    'pawl_effect_duration_seconds histogram',
    'pawl_effects_total counter',
    'pawl_graphql_duration_seconds histogram',
    'pawl_instances gauge',
    'pawl_loop_items_total counter',
    'pawl_loop_last_success_timestamp_seconds gauge',
    'pawl_loop_runs_total counter',
    'pawl_oldest_check_age_seconds gauge',
    'pawl_oldest_row_age_seconds gauge',
    'pawl_operations gauge',
    'pawl_stream_events_total counter',
    'pawl_streams gauge',
    'pawl_transitions_total counter',
    'pawl_webhook_deliveries_total counter',
  ])
})

test('what is recorded shows with its labels', async () => {
  const metrics = strict()
  metrics.transition('Deployment', 'redeployDeployment', 'moved')
  metrics.transition('Deployment', 'redeployDeployment', 'not_redeployable')
  metrics.transition('Deployment', 'redeployDeployment', 'not_redeployable')
  metrics.transition('ApiToken', 'revokeApiToken', 'missing')
  metrics.effect('deployment.roll_out', 'unknown', 1500)
  metrics.loopRun('expire', 'failed')
  metrics.loopItems('reconcile-instances', 'deferred', 3)
  metrics.graphql('redeployDeployment', 'refused', 2)
  metrics.delivery('gone')
  expect(await samples(metrics, 'pawl_webhook_deliveries_total')).toEqual(['{outcome="gone"} 1'])
  expect(await samples(metrics, 'pawl_transitions_total')).toEqual([
    '{entity="deployment",action="redeployDeployment",outcome="moved"} 1',
    '{entity="deployment",action="redeployDeployment",outcome="not_redeployable"} 2',
    '{entity="api_token",action="revokeApiToken",outcome="missing"} 1',
  ])
  expect(await samples(metrics, 'pawl_effects_total')).toEqual(['{effect="deployment.roll_out",outcome="unknown"} 1'])
  expect(await samples(metrics, 'pawl_effect_duration_seconds_sum')).toEqual([' 1.5'])
  expect(await samples(metrics, 'pawl_loop_runs_total')).toEqual(['{loop="expire",outcome="failed"} 1'])
  expect(await samples(metrics, 'pawl_loop_items_total')).toEqual(['{loop="reconcile-instances",outcome="deferred"} 3'])
  expect(await samples(metrics, 'pawl_graphql_duration_seconds_sum')).toEqual([
    '{operation="redeployDeployment",outcome="refused"} 0.002',
  ])
})

test('only a whole pass stamps the last success', async () => {
  const metrics = strict()
  metrics.loopRun('expire', 'cut_off')
  expect(await samples(metrics, 'pawl_loop_last_success_timestamp_seconds')).toEqual([])
  metrics.loopRun('expire', 'done')
  const [sample] = await samples(metrics, 'pawl_loop_last_success_timestamp_seconds')
  expect(Math.abs(Number(sample?.split(' ')[1]) - Date.now() / 1000)).toBeLessThan(5)
})

const strangers: [string, (metrics: Metrics) => void, string, string][] = [
  ['entity', (m) => m.transition('Cat', 'deploy', 'moved'), 'pawl_transitions_total', 'entity="other",action="other"'],
  ['action', (m) => m.transition('Team', 'deploy', 'moved'), 'pawl_transitions_total', 'entity="team",action="other"'],
  ['outcome', (m) => m.transition('Deployment', 'deploy', 'x'), 'pawl_transitions_total', 'outcome="other"'],
  ['effect', (m) => m.effect('cat.feed', 'done', 1), 'pawl_effects_total', 'effect="other"'],
  ['loop', (m) => m.loopRun('cat' as 'expire', 'done'), 'pawl_loop_runs_total', 'loop="other"'],
  ['operation', (m) => m.graphql('toString', 'ok', 1), 'pawl_graphql_duration_seconds_count', 'operation="other"'],
]

test.each(strangers)(
  'a stranger in the label %s is counted as other, and found by tests',
  async (_, record, name, label) => {
    expect(() => record(strict())).toThrow(/is not a value of the metric label/)
    const lenient = createMetrics()
    record(lenient)
    expect((await samples(lenient, name)).join()).toContain(label)
  },
)

test('gauges ask at each scrape; what nobody reported is 0, not absent', async () => {
  const metrics = strict()
  expect(await samples(metrics, 'pawl_operations')).toEqual([])
  let pending = 2
  metrics.collectFrom({
    operations: async () => [{ kind: 'deployment.roll_out', state: 'PENDING', count: pending }],
    oldestRows: async () => [{ entity: 'Deployment', state: 'BUILDING', ageMs: 2500 }],
    instances: async () => [
      { runtime: 'PROCESS', state: 'ONLINE', count: 3, unheardMs: null },
      { runtime: 'EXTERNAL', state: 'ONLINE', count: 2, unheardMs: 1500 },
      { runtime: 'EXTERNAL', state: 'DEGRADED', count: 1, unheardMs: 1000 },
    ],
    dbPool: () => ({ idle: 1, busy: 2, waiting: 4, retired: 0 }),
  })
  expect(await samples(metrics, 'pawl_operations')).toEqual(
    expect.arrayContaining([
      '{kind="deployment.roll_out",state="PENDING"} 2',
      '{kind="deployment.stop",state="UNKNOWN"} 0',
    ]),
  )
  pending = 0
  expect(await samples(metrics, 'pawl_operations')).toContain('{kind="deployment.roll_out",state="PENDING"} 0')
  const ages = await samples(metrics, 'pawl_oldest_row_age_seconds')
  expect(ages).toEqual(
    expect.arrayContaining(['{entity="deployment",state="BUILDING"} 2.5', '{entity="deployment",state="DELETING"} 0']),
  )
  expect(ages.join()).not.toContain('HEALTHY')
  const instances = await samples(metrics, 'pawl_instances')
  expect(instances).toEqual(
    expect.arrayContaining(['{runtime="PROCESS",state="ONLINE"} 3', '{runtime="DOCKER",state="OFFLINE"} 0']),
  )
  expect(instances.join()).not.toContain('REMOVED')
  expect(await samples(metrics, 'pawl_oldest_check_age_seconds')).toEqual([
    '{runtime="PROCESS"} 0',
    '{runtime="DOCKER"} 0',
    '{runtime="EXTERNAL"} 1.5',
  ])
  expect(await samples(metrics, 'pawl_db_pool')).toEqual([
    '{state="idle"} 1',
    '{state="busy"} 2',
    '{state="waiting"} 4',
    '{state="retired"} 0',
  ])
})

describe('a figure that is kept', () => {
  /** A source that answers when told to, a clock that is moved by hand, and how often the source was asked. */
  function stage() {
    const answers: PromiseWithResolvers<number>[] = []
    let at = 0
    const source = kept(
      () => {
        const answer = Promise.withResolvers<number>()
        answers.push(answer)
        return answer.promise
      },
      () => at,
    )
    const later = (ms: number) => {
      at += ms
    }
    return { source, answers, later }
  }

  test('is asked for by one at a time: who comes first waits for it, who comes later is told what was known', async () => {
    const { source, answers, later } = stage()
    const first = [source(), source()]
    expect(answers).toHaveLength(1)
    answers[0]?.resolve(1)
    expect(await Promise.all(first)).toEqual([1, 1])
    later(59_999)
    expect([await source(), answers.length]).toEqual([1, 1])
    later(1)
    // It is old: it is asked anew, and nobody waits for that.
    expect([await source(), await source(), answers.length]).toEqual([1, 1, 2])
    answers[1]?.resolve(2)
    await answers[1]?.promise
    expect([await source(), answers.length]).toEqual([2, 2])
  })

  test('is shown for five minutes while its source fails, and then no more', async () => {
    const { source, answers, later } = stage()
    const first = source()
    answers[0]?.resolve(1)
    await first
    later(299_999)
    expect(await source()).toBe(1)
    answers[1]?.reject(new Error('no database'))
    await expect(answers[1]?.promise).rejects.toThrow()
    later(1)
    const last = source()
    answers[2]?.reject(new Error('no database'))
    await expect(last).rejects.toThrow('no database')
    expect(answers).toHaveLength(3)
  })
})

test('a source that fails leaves its gauge out and the scrape whole', async () => {
  const metrics = strict()
  metrics.collectFrom({ operations: () => Promise.reject(new Error('no database')), oldestRows: async () => [] })
  expect(await samples(metrics, 'pawl_operations')).toEqual([])
  expect(await samples(metrics, 'pawl_oldest_row_age_seconds')).not.toEqual([])
})

test('the process\u2019s own figures come with our prefix, in a registry of their own', async () => {
  const metrics = createMetrics({ processMetrics: true })
  expect(await metrics.text()).toMatch(/^pawl_process_resident_memory_bytes \d+/m)
  expect(metrics.contentType).toMatch(/^text\/plain; version=0\.0\.4/)
  expect(await createMetrics().text()).not.toContain('resident')
})
