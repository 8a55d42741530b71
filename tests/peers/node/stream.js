// Reads a shard of any size with @influxdata/influxdb-client at its default time-out: node stream.js URL TOKEN SHARD
//
// Prints how many bytes came, after how many seconds the first, and the longest silence before or between them; and, when
// the client gave up, why. Then it ends with 3.

'use strict'

const {InfluxDB} = require('@influxdata/influxdb-client')

const [url, token, shard] = process.argv.slice(2)
const started = performance.now()
let [total, first, longest, last] = [0, -1, 0, started]

function end(why) {
  const silence = Math.max(longest, performance.now() - last) / 1000
  console.log(`${total} bytes, the first after ${first.toFixed(2)} s, longest silence ${silence.toFixed(2)} s ${why}`)
  process.exit(why ? 3 : 0)
}

new InfluxDB({url, token}).transport.send(
  `/api/v2/backup/shards/${shard}`,
  '',
  {method: 'GET', headers: {'accept-encoding': 'identity'}},
  {
    next(chunk) {
      const now = performance.now()
      total += chunk.length
      if (first < 0) first = (now - started) / 1000
      longest = Math.max(longest, now - last)
      last = now
    },
    complete: () => end(''),
    error: (error) => end(`${error.name}: ${error.message}`),
  }
)
