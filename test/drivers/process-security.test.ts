// The process driver against those who would run something else with it: images that lead out of the apps folder,
// bad manifests, environments that change what is run, and what a workload may see of the control plane.
import { type StdioOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { addApp, addLink, createFixture, type Fixture } from './process-fixture.ts'
import { calm, fenceOf, newRef, run, specOf } from './runtime.conformance.ts'

describe('process driver: security', () => {
  let fixture: Fixture
  beforeAll(async () => {
    fixture = await createFixture()
  })
  afterAll(() => fixture.dispose())
  const reasonFor = async (image: string) => {
    const outcome = await fixture.driver.resolveImage(image, calm)
    return outcome.kind === 'refused' ? outcome.reason : outcome.kind
  }

  test('an image cannot lead out of the apps folder', async () => {
    await addApp(join(fixture.appsDir, '..'), 'outside', JSON.stringify({ command: ['node', 'x.mjs'] }))
    await addLink(join(fixture.appsDir, '..', 'outside'), join(fixture.appsDir, 'linked'))
    await addLink(join(fixture.appsDir, 'healthy'), join(fixture.appsDir, 'inner-link'))
    const images = ['../outside', '..', '.', '', '/etc', '/bin/sh', 'healthy/../../outside', 'linked', 'inner-link']
    for (const image of [
      ...images,
      'healthy/',
      'HEALTHY',
      'a\0b',
      'a\nb',
      '-x',
      'x'.repeat(65),
      '__proto__',
      'healthy; id',
    ]) {
      expect(await reasonFor(image)).toMatch(/^There is no app named .*; the apps here are .*healthy/)
      const ref = newRef()
      const outcome = await fixture.driver.ensure(specOf(ref, image), fenceOf(ref, 1), calm)
      expect(outcome.kind).toBe('refused')
      expect(await fixture.countRuns(ref)).toBe(0)
    }
    expect(await reasonFor('healthy')).toBe('done')
  })

  test('ids cannot lead out of the data folder', async () => {
    for (const bad of ['../x', '/x', 'a/b', '', '.', 'a\0']) {
      for (const ref of [
        { subjectId: bad, incarnation: 'x' },
        { subjectId: 'x', incarnation: bad },
      ]) {
        expect((await fixture.driver.ensure(specOf(ref, 'healthy'), fenceOf(ref, 1), calm)).kind).toBe('refused')
        expect((await fixture.driver.reserve(ref, fenceOf(ref, 1), calm)).kind).toBe('refused')
        expect((await fixture.driver.remove(ref, fenceOf(ref, 1), calm)).kind).toBe('refused')
        expect(await fixture.driver.observe(ref, calm)).toEqual({ kind: 'done', value: { state: 'absent' } })
        expect((await fixture.driver.logs(ref, 100, calm)).kind).not.toBe('done')
      }
    }
  })

  test('two workloads whose names meet on disk are told apart', async () => {
    const ref = { subjectId: 'dep_a-b', incarnation: 'c' }
    await fixture.driver.stop(ref, fenceOf(ref, 1), calm)
    const twin = { subjectId: 'dep_a', incarnation: 'b-c' }
    expect((await fixture.driver.stop(twin, fenceOf(twin, 1), calm)).kind).toBe('unknown')
  })

  test('a bad manifest is refused with the field that is wrong', async () => {
    const bad: [string, RegExp][] = [
      ['{', /is not JSON/],
      ['[]', /the top level/],
      ['{}', /command/],
      ['{"command": []}', /command/],
      ['{"command": "node"}', /command/],
      ['{"command": ["node", "a\\u0000b"]}', /command\.1/],
      ['{"command": ["node"], "healthPath": "healthz"}', /healthPath/],
      ['{"command": ["node"], "healthPath": "/a\\r\\nX: y"}', /healthPath/],
      ['{"command": ["node"], "healthDeadlineMs": 1e9}', /healthDeadlineMs/],
      ['{"command": ["node"], "helthPath": "/"}', /helthPath/],
      ['{"command": ["/bin/sh"]}', /leads out of its folder/],
      ['{"command": ["../outside/x"]}', /leads out of its folder/],
      ['{"command": ["node", "link.mjs"]}', /leads out of its folder/],
      [`{"command": ["node"], "description": "${'x'.repeat(70_000)}"}`, /larger than/],
    ]
    await addApp(fixture.appsDir, 'bad', '{}')
    await addLink(join(tmpdir()), join(fixture.appsDir, 'bad', 'link.mjs'))
    for (const [manifest, reason] of bad) {
      await addApp(fixture.appsDir, 'bad', manifest)
      expect(await reasonFor('bad')).toMatch(reason)
    }
  })

  test('variables that would change what is run are refused by name, never by value', async () => {
    const names = [
      'PORT',
      'HOST',
      'PATH',
      'NODE_OPTIONS',
      'NODE_PATH',
      'LD_PRELOAD',
      'DYLD_INSERT_LIBRARIES',
      'PAWL_NAME',
    ]
    for (const name of [...names, 'BASH_ENV', 'PYTHONPATH', 'PERL5OPT', 'A=B', '1A', '', 'a b', 'A\0']) {
      const ref = newRef()
      const spec = specOf(ref, 'healthy', { [name]: 'the-value' })
      const outcome = await fixture.driver.ensure(spec, fenceOf(ref, 1), calm)
      expect(outcome.kind).toBe('refused')
      expect(JSON.stringify(outcome)).not.toContain('the-value')
      expect(await fixture.countRuns(ref)).toBe(0)
    }
    const ref = newRef()
    const big = specOf(ref, 'healthy', { BIG: 'x'.repeat(70_000) })
    expect(await fixture.driver.ensure(big, fenceOf(ref, 1), calm)).toMatchObject({ kind: 'refused' })
  })

  test('the app gets its variables, the facts about itself, and nothing else', async () => {
    process.env.CANARY_OF_THE_CONTROL_PLANE = 'canary-value'
    const ref = newRef()
    const env = { GREETING: 'Olá', EMPTY: '' }
    const { url, instanceId } = await run(fixture.driver, specOf(ref, 'healthy', env), fenceOf(ref, 1))
    const seen = (await (await fetch(`${url}/env`)).json()) as Record<string, string>
    expect(seen).toEqual({
      ...env,
      PATH: expect.any(String),
      HOST: '127.0.0.1',
      PORT: new URL(url).port,
      PAWL_NAME: 'tested',
      PAWL_IMAGE: 'healthy',
      PAWL_SUBJECT_ID: ref.subjectId,
      PAWL_GENERATION: '1',
      PAWL_INSTANCE_ID: instanceId,
    })
    for (const pid of await fixture.processes(ref)) {
      expect(await readFile(`/proc/${pid}/environ`, 'utf8')).not.toContain('canary-value')
      expect(await readFile(`/proc/${pid}/cmdline`, 'utf8')).not.toContain('Olá')
    }
    delete process.env.CANARY_OF_THE_CONTROL_PLANE
  })

  test('the app inherits no file that the control plane was itself handed by whoever started it', async () => {
    const ref = newRef()
    const secret = openSync(join(fixture.dataDir, '..', 'secret'), 'w')
    const replica = fileURLToPath(new URL('./replica.ts', import.meta.url))
    const args = [replica, 'ensure', fixture.appsDir, fixture.dataDir, ref.subjectId, ref.incarnation]
    // High and past a gap: Node itself protects the low ones only.
    const stdio: StdioOptions = ['ignore', 'pipe', ...Array(38).fill('ignore'), secret]
    const child = spawn(process.execPath, args, { stdio })
    if (child.stdout === null) throw new Error('the replica has no stdout')
    await once(child.stdout, 'data')
    expect(await readlink(`/proc/${child.pid}/fd/40`)).toMatch(/secret$/)
    expect(await fixture.countRuns(ref)).toBe(1)
    child.kill('SIGKILL')
    await once(child, 'exit')
    closeSync(secret)
    for (const pid of await fixture.processes(ref)) {
      const files = await readdir(`/proc/${pid}/fd`)
      const targets = await Promise.all(files.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')))
      expect(targets.filter((target) => target.endsWith('secret'))).toEqual([])
    }
  })

  test('the app inherits no file of the control plane; values of its environment are not on disk', async () => {
    const ref = newRef()
    const env = { TOKEN: 'value-not-for-disk' }
    const { url } = await run(fixture.driver, specOf(ref, 'healthy', env), fenceOf(ref, 1))
    const pid = await (await fetch(`${url}/pid`)).text()
    const files = await readdir(`/proc/${pid}/fd`)
    const targets = await Promise.all(files.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')))
    expect(targets.filter((target) => target.startsWith('/') && !target.startsWith('/dev/'))).toEqual([])
    for (const name of await readdir(fixture.folderOf(ref))) {
      expect(await readFile(join(fixture.folderOf(ref), name), 'utf8')).not.toContain('value-not-for-disk')
    }
  })
})
