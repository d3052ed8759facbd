// SPDX-License-Identifier: MIT
// Runs http-cache-tests against memoproxy: an origin made of the package's own handlers, the real binary before it with
// nothing configured but where to listen and whom to ask, and the package's own client. All on free ports of 127.0.0.1.
// Prints the score of each group; fails where a required or optimal test fails that conformance-exceptions.json does not
// name, and where one that it names passes.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import { createRequire } from 'node:module'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'

import { getResults, runTests } from './node/node_modules/http-cache-tests/client/runner.mjs'
import { makeCacheTest, testResults } from './node/node_modules/http-cache-tests/client/test.mjs'
import handleConfig from './node/node_modules/http-cache-tests/server/handle-config.mjs'
import handleState from './node/node_modules/http-cache-tests/server/handle-state.mjs'
import handleTest from './node/node_modules/http-cache-tests/server/handle-test.mjs'
import suites from './node/node_modules/http-cache-tests/tests/index.mjs'

const fetch = createRequire(new URL('./node/node_modules/http-cache-tests/', import.meta.url))('node-fetch')
const exceptions = JSON.parse(fs.readFileSync(new URL('./conformance-exceptions.json', import.meta.url)))
const kinds = ['required', 'optimal', 'check']
const onlyIds = process.argv.slice(2)
const say = console.log

function startOrigin () {
  const handlers = { config: handleConfig, test: handleTest, state: handleState }
  const server = http.createServer((request, response) => {
    const [handler, ...rest] = new URL(request.url, 'http://origin').pathname.split('/').slice(1)
    if (handlers[handler]) {
      handlers[handler](rest, request, response)
    } else {
      response.writeHead(404).end()
    }
  })
  server.listen(0, '127.0.0.1')
  return once(server, 'listening').then(() => server)
}

async function freePort () {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

const hasEnded = proxy => proxy.exitCode !== null || proxy.signalCode !== null

async function waitUntilItAccepts (port, proxy) {
  for (;;) {
    const socket = net.connect(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      socket.destroy()
      return
    } catch {
      if (hasEnded(proxy)) throw new Error(`memoproxy ended with ${proxy.exitCode ?? proxy.signalCode}`)
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
}

async function startProxy (originPort, folder) {
  const binary = process.env.MEMOPROXY_BIN || path.resolve(import.meta.dirname, '../../memoproxy')
  const port = await freePort()
  const ini = path.join(folder, 'proxy.ini')
  // The suite wants Set-Cookie stored like any field, which this cache does only where it is told to; and it tests how parts are
  // stored with an origin that gives one whatever it is asked for, so ranges have to go there as they are. It counts what serves stale
  // although nobody has said so, which is the configuration's word here.
  fs.writeFileSync(ini, `[proxy]\nlisten = 127.0.0.1:${port}\nworkers = 2\n[defaults]\nset_cookie = store\nrange_fill = pass\nstale_while_revalidate = 0\nstale_if_error = 0\nclient_refresh = on\n[admin]\nlisten = off\n` +
    `[upstream]\nurl = http://127.0.0.1:${originPort}\n`)
  const proxy = spawn(binary, ['-c', ini], { stdio: ['ignore', 'inherit', 'pipe'] })
  let log = ''
  proxy.stderr.on('data', bytes => { log += bytes })
  proxy.on('exit', () => { if (proxy.exitCode !== 0 || onlyIds.length) process.stderr.write(log) })
  await waitUntilItAccepts(port, proxy)
  return { proxy, port }
}

async function stopProxy (proxy) {
  if (!hasEnded(proxy)) {
    proxy.kill('SIGTERM')
    await once(proxy, 'exit')
  }
  return proxy.exitCode ?? proxy.signalCode
}

function chosenSuites () {
  if (!onlyIds.length) return suites
  return suites.map(suite => ({ ...suite, tests: suite.tests.filter(test => onlyIds.includes(test.id)) }))
    .filter(suite => suite.tests.length)
}

// Tests that failed among hundreds of others get a second chance by themselves: on a machine that is busy an answer can
// take a second, which its age then rightly shows.
async function tryAgainAlone (chosen) {
  const failed = chosen.flatMap(suite => suite.tests)
    .filter(test => test.id in testResults && testResults[test.id] !== true && !(test.id in exceptions) && test.kind !== 'check')
  for (const test of failed.slice(0, 20)) {
    delete testResults[test.id]
    await makeCacheTest(test)
  }
}

// Of a test's failure: its kind and its message. true: passed.
function describe (result) {
  return Array.isArray(result) ? result.join(': ') : 'no result'
}

function report (chosen, results) {
  const total = Object.fromEntries(kinds.map(kind => [kind, { passed: 0, of: 0 }]))
  const wrong = []
  const cell = score => (score.of ? `${score.passed}/${score.of}` : '').padStart(10)
  say('group'.padEnd(36) + kinds.map(kind => kind.padStart(10)).join(''))
  for (const suite of chosen) {
    const score = Object.fromEntries(kinds.map(kind => [kind, { passed: 0, of: 0 }]))
    for (const test of suite.tests) {
      if (test.browser_only) continue
      const kind = test.kind || 'required'
      const passed = results[test.id] === true
      for (const sum of [score[kind], total[kind]]) {
        sum.of++
        sum.passed += passed ? 1 : 0
      }
      if (kind !== 'check' && !passed && !(test.id in exceptions)) {
        wrong.push(`${kind} ${test.id}: ${describe(results[test.id])}`)
      }
      if (passed && test.id in exceptions) wrong.push(`${test.id} passes: it is no exception any more`)
      if (kind === 'check' && (onlyIds.length || process.env.VERBOSE)) say(`  ${test.id}: ${passed ? 'yes' : 'no'} ${passed ? '' : describe(results[test.id])}`)
    }
    say(suite.id.padEnd(36) + kinds.map(kind => cell(score[kind])).join(''))
  }
  say('all'.padEnd(36) + kinds.map(kind => cell(total[kind])).join(''))
  return wrong
}

async function main () {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'memoproxy-conformance-'))
  const origin = await startOrigin()
  const { proxy, port } = await startProxy(origin.address().port, folder)
  const chosen = chosenSuites()
  let wrong = []
  try {
    if (onlyIds.length) chosen.forEach(suite => suite.tests.forEach(test => { test.dump = true }))
    // All at once: the tests spend their time in pauses, and each has URLs of its own.
    await runTests(chosen, fetch, false, `http://127.0.0.1:${port}`, 1000)
    if (!onlyIds.length) await tryAgainAlone(chosen)
    wrong = report(chosen, getResults())
  } finally {
    const code = await stopProxy(proxy)
    if (code !== 0) wrong.push(`memoproxy ended with ${code}`)
    origin.closeAllConnections()
    origin.close()
    fs.rmSync(folder, { recursive: true })
  }
  for (const line of wrong) say(`FAIL ${line}`)
  for (const [id, reason] of Object.entries(exceptions)) say(`exception ${id}: ${reason}`)
  return wrong.length ? 1 : 0
}

main().then(code => process.exit(code), error => {
  console.error(error)
  process.exit(1)
})
