// Writes points with @influxdata/influxdb-client in the ways that its users do: node write.js URL TOKEN ORG BUCKET
//
// Points and lines, in compressed batches, in two precisions. What has to be there then stands in clients_write_points.rs.

'use strict'

const {InfluxDB, Point} = require('@influxdata/influxdb-client')

const MONDAY_NS = 1704067200000000000n

async function main(url, token, org, bucket) {
  const influx = new InfluxDB({url, token})
  const exact = influx.getWriteApi(org, bucket, 'ns', {maxRetries: 0, batchSize: 700, gzipThreshold: 1000})
  exact.useDefaultTags({default: 'yes'})
  const point = new Point('node point').tag('host', 'a b,c=d').floatField('f', -1.25).intField('i', '-9007199254740991')
  point.uintField('u', '18446744073709551615').booleanField('b', false).stringField('s', 'two\nlines, "quoted" \\')
  exact.writePoint(point.timestamp(String(MONDAY_NS + 1n)))
  const batch = []
  for (let n = 0; n < 5000; n++) {
    const timestamp = String(MONDAY_NS + BigInt(n) * 1000000000n)
    batch.push(new Point('node_batch').tag('n', String(n % 10)).intField('v', n).timestamp(timestamp))
  }
  exact.writePoints(batch)
  await exact.close()
  const coarse = influx.getWriteApi(org, bucket, 'ms', {maxRetries: 0})
  coarse.writePoint(new Point('node_ms').floatField('f', 0.5).timestamp(new Date('2024-01-08T01:02:03.456Z')))
  coarse.writeRecord('node_ms,t=a f=1 1704067200001')
  await coarse.close()
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(1)
})
