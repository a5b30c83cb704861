// Where a webhook may be sent: every form of an address that is not public is refused, whatever it is written as and
// whatever a name resolves to, unless the operator allows it.
import { describe, expect, test } from 'vitest'
import { checkedAddresses, type Resolve, urlFault } from '../../src/drivers/webhook/address.ts'
import { type Allowed, mayBeDialled, nothingAllowed, parseAllowed } from '../../src/drivers/webhook/allowed.ts'

const patient = new AbortController().signal
const allowing = (text: string) => parseAllowed(text) as Allowed
const check = (url: string, resolve: Resolve = async () => [], allowed = nothingAllowed, signal = patient) =>
  checkedAddresses(new URL(url), { allowed, resolve }, signal)
const notPublic = { kind: 'refused', reason: 'has no address, or one that is not public' }

describe('a URL as it is written', () => {
  test.each([
    ['ftp://hooks.example/', 'is neither http nor https'],
    ['file:///etc/passwd', 'is neither http nor https'],
    ['https://user:pass@hooks.example/', 'holds a user or password'],
    ['https://user@hooks.example/', 'holds a user or password'],
    ['https://hooks.example/#part', 'has a fragment, which is never sent'],
    ['hooks.example', 'cannot be read'],
    [' https://hooks.example', 'cannot be read'],
    ['https://hooks.example\\@10.0.0.1/', 'cannot be read'],
    ['https://hooks.example/a\nb', 'cannot be read'],
    ['http://[fe80::1%25eth0]/', 'cannot be read'],
    ['http://300.1.1.1/', 'cannot be read'],
    [`https://hooks.example/${'a'.repeat(2_000)}`, 'has more than 2000 characters'],
  ])('%s: %s', (url, fault) => {
    expect(urlFault(url)).toBe(fault)
  })

  test.each([
    'https://hooks.example',
    'http://hooks.example:8080/path?and=query',
    'https://b\u00fccher.example/',
    'https://[2606:4700::1111]:22/',
  ])('%s is taken', (url) => {
    expect(urlFault(url)).toBeNull()
  })
})

describe('a literal address that is not public is refused', () => {
  test.each([
    // Loopback, and all its notations.
    'http://127.0.0.1/',
    'http://127.1/',
    'http://2130706433/',
    'http://0x7f000001/',
    'http://0x7f.1/',
    'http://0177.0.0.1/',
    'http://127.0.0.1./',
    'http://\uff11\uff12\uff17.0.0.1/',
    'http://[::1]/',
    'http://[0:0:0:0:0:0:0:1]/',
    // Unspecified, which many systems take for loopback.
    'http://0/',
    'http://0.0.0.0/',
    'http://[::]/',
    // Private, shared, link-local with the metadata services of clouds.
    'http://10.1.2.3/',
    'http://172.16.0.1/',
    'http://192.168.1.1/',
    'http://100.64.0.1/',
    'http://169.254.169.254/latest/meta-data/',
    'http://2852039166/',
    'http://[fe80::1]/',
    'http://[fd00:ec2::254]/',
    'http://[fec0::1]/',
    // Multicast, broadcast, reserved, for documentation, for benchmarks.
    'http://224.0.0.1/',
    'http://255.255.255.255/',
    'http://240.0.0.1/',
    'http://192.0.0.8/',
    'http://192.0.2.1/',
    'http://198.51.100.1/',
    'http://203.0.113.1/',
    'http://198.18.0.1/',
    'http://[ff02::1]/',
    'http://[100::1]/',
    'http://[2001:db8::1]/',
    'http://[3fff::1]/',
    'http://[4000::1]/',
    // IPv4 inside IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo.
    'http://[::ffff:127.0.0.1]/',
    'http://[::ffff:7f00:1]/',
    'http://[::ffff:a00:1]/',
    'http://[::127.0.0.1]/',
    'http://[::ffff:0:127.0.0.1]/',
    'http://[64:ff9b::127.0.0.1]/',
    'http://[64:ff9b::a9fe:a9fe]/',
    'http://[64:ff9b:1::808:808]/',
    'http://[2002:7f00:1::]/',
    'http://[2002:a00:1::1]/',
    'http://[2001:0:7f00:1::]/',
  ])('%s', async (url) => {
    expect(await check(url)).toEqual(notPublic)
  })

  test.each([
    ['http://8.8.8.8/', '8.8.8.8'],
    ['http://134744072/', '8.8.8.8'],
    ['http://[2606:4700:4700::1111]/', '2606:4700:4700::1111'],
    ['http://[::ffff:8.8.8.8]/', '::ffff:808:808'],
    ['http://[64:ff9b::8.8.8.8]/', '64:ff9b::808:808'],
  ])('%s is public, and taken', async (url, address) => {
    expect(await check(url)).toEqual({ kind: 'addresses', addresses: [address] })
  })
})

describe('a name', () => {
  test('is refused when one of its addresses is not public, and the address is not told', async () => {
    expect(await check('https://two.example/', async () => ['8.8.8.8', '10.0.0.7'])).toEqual(notPublic)
    expect(await check('https://two.example/', async () => ['8.8.8.8', '::ffff:10.0.0.7'])).toEqual(notPublic)
    expect(await check('https://odd.example/', async () => ['no address'])).toEqual(notPublic)
  })

  test('is taken with all its addresses, of which at most eight are tried', async () => {
    const both = ['8.8.8.8', '2606:4700::1']
    expect(await check('https://two.example/', async () => both)).toEqual({ kind: 'addresses', addresses: both })
    const many = Array.from({ length: 40 }, (_, index) => `8.8.8.${index}`)
    expect(await check('https://many.example/', async () => many)).toEqual({
      kind: 'addresses',
      addresses: many.slice(0, 8),
    })
    const oneBad = [...many, '10.0.0.1']
    expect(await check('https://many.example/', async () => oneBad)).toEqual(notPublic)
  })

  test('that is not there is not told from one that is inside, only from one that cannot be asked for now', async () => {
    const failing = (code: string) => () => Promise.reject(Object.assign(new Error('query'), { code }))
    expect(await check('https://a.example/', async () => [])).toEqual(notPublic)
    expect(await check('https://a.example/', failing('ENOTFOUND'))).toEqual(notPublic)
    expect(await check('https://a.example/', async () => ['10.0.0.7'])).toEqual(notPublic)
    const unresolved = { kind: 'unresolved', reason: 'could not be resolved' }
    expect(await check('https://a.example/', failing('ESERVFAIL'))).toEqual(unresolved)
    const gone = AbortSignal.abort()
    expect(await check('https://a.example/', () => new Promise(() => {}), nothingAllowed, gone)).toEqual(unresolved)
    const later = new AbortController()
    const asked = check('https://a.example/', () => new Promise(() => later.abort()), nothingAllowed, later.signal)
    expect(await asked).toEqual(unresolved)
  })
})

describe('what the operator allows', () => {
  test('a range holds for literals and for what names resolve to, in every form of its addresses', async () => {
    const allowed = allowing('10.0.0.0/8,fd00::/8')
    for (const url of ['http://10.1.2.3/', 'http://[::ffff:10.1.2.3]/', 'http://[fd00::1]/']) {
      expect(await check(url, undefined, allowed)).toMatchObject({ kind: 'addresses' })
    }
    expect(await check('http://in.example/', async () => ['10.9.9.9', '8.8.8.8'], allowed)).toMatchObject({
      kind: 'addresses',
    })
    expect(await check('http://in.example/', async () => ['10.9.9.9', '192.168.0.1'], allowed)).toEqual(notPublic)
    expect(await check('http://11.0.0.1.example/', async () => ['127.0.0.1'], allowed)).toEqual(notPublic)
    expect(mayBeDialled('127.0.0.1', allowed)).toBe(false)
  })

  test('a named host may be private, as this machine resolves it; another name for the same may not', async () => {
    const allowed = allowing('LocalHost')
    const found = await check('http://localhost:1/', async () => [], allowed)
    expect(found).toMatchObject({ kind: 'addresses', addresses: expect.arrayContaining(['127.0.0.1']) })
    expect(await check('http://also.localhost.example/', async () => ['127.0.0.1'], allowed)).toEqual(notPublic)
    expect(await check('http://127.0.0.1/', undefined, allowed)).toEqual(notPublic)
  })
})
