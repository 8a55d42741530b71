// Makes and lists buckets with @influxdata/influxdb-client: node buckets.js URL TOKEN ORG BUCKET OUT
//
// Writes to the file OUT what the client saw: the bucket that it made, the lists, and how it shows refusals.

'use strict'

const fs = require('node:fs')
const {InfluxDB} = require('@influxdata/influxdb-client')
const {BucketsAPI, OrgsAPI} = require('@influxdata/influxdb-client-apis')

async function refusal(call) {
  try {
    await call()
  } catch (error) {
    return {status: error.statusCode, code: error.code, message: error.message}
  }
  return null
}

async function main(url, token, org, name, out) {
  const influx = new InfluxDB({url, token})
  const buckets = new BucketsAPI(influx)
  const seen = {}
  const orgs = await new OrgsAPI(influx).getOrgs({org})
  seen.orgs = orgs.orgs.map((found) => found.name)
  const orgID = orgs.orgs[0].id
  const retentionRules = [{type: 'expire', everySeconds: 0, shardGroupDurationSeconds: 86400}]
  seen.made = await buckets.postBuckets({body: {orgID, name, retentionRules}})
  seen.again = await refusal(() => buckets.postBuckets({body: {orgID, name, retentionRules}}))
  seen.short = await refusal(() =>
    buckets.postBuckets({body: {orgID, name: 'short', retentionRules: [{type: 'expire', everySeconds: 60}]}})
  )
  seen.found = (await buckets.getBuckets({orgID, name})).buckets
  seen.missing = await refusal(() => buckets.getBuckets({orgID, name: 'no such bucket'}))
  const page = await buckets.getBuckets({limit: 1, offset: 1})
  seen.links = page.links
  seen.all = (await buckets.getBuckets({limit: 100})).buckets.map((bucket) => bucket.name).sort()
  const write = async (record, bucket) => {
    const api = influx.getWriteApi(org, bucket, 'ns', {maxRetries: 0, gzipThreshold: 10})
    api.writeRecord(record)
    await api.close()
  }
  await write('# nothing but a comment', name)
  seen.badLine = await refusal(() => write('m f=', name))
  seen.noBucket = await refusal(() => write('m f=1', 'no such bucket'))
  fs.writeFileSync(out, JSON.stringify(seen))
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(1)
})
