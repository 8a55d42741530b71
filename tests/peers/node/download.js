// Downloads a backup with @influxdata/influxdb-client: node download.js URL TOKEN FOLDER SHARD...
//
// Writes FOLDER/{identity,gzip}/{kv,metadata,shard-N}, each as the client hands it out, and FOLDER/seen.json: the content
// type of each download, what the client says of the server, and how it shows refusals. The client gives a Buffer only
// where the content type is neither JSON nor text; a string would have lost bytes, so it is refused here.

'use strict'

const fs = require('node:fs')
const path = require('node:path')
const {InfluxDB} = require('@influxdata/influxdb-client')
const {BackupAPI, HealthAPI, PingAPI} = require('@influxdata/influxdb-client-apis')

async function refusal(call) {
  try {
    await call()
  } catch (error) {
    return {name: error.name, status: error.statusCode, code: error.code, message: error.message}
  }
  return null
}

async function main(url, token, folder, ...shards) {
  const influx = new InfluxDB({url, token})
  const backup = new BackupAPI(influx)
  const seen = {contentTypes: {}}
  seen.health = (await new HealthAPI(influx).getHealth()).status
  seen.ping = (await new PingAPI(influx).getPing()) === undefined
  for (const coding of ['identity', 'gzip']) {
    fs.mkdirSync(path.join(folder, coding), {recursive: true})
    const download = async (name, call) => {
      const options = {
        headers: {'accept-encoding': coding},
        responseStarted: (headers) => (seen.contentTypes[`${coding}/${name}`] = headers['content-type']),
      }
      const body = await call(options)
      if (!Buffer.isBuffer(body)) throw new Error(`${coding} ${name} is a ${typeof body}`)
      fs.writeFileSync(path.join(folder, coding, name), body)
    }
    await download('kv', (options) => backup.getBackupKV(undefined, options))
    await download('metadata', (options) => backup.getBackupMetadata(undefined, options))
    for (const shardID of shards) {
      await download(`shard-${shardID}`, (options) => backup.getBackupShardId({shardID}, options))
    }
  }
  const since = '2100-01-01T00:00:00Z'
  seen.since = (await backup.getBackupShardId({shardID: shards[0], since})).length
  seen.unknownShard = await refusal(() => backup.getBackupShardId({shardID: 999999}))
  const stranger = new BackupAPI(new InfluxDB({url, token: 'wrong'}))
  seen.wrongToken = await refusal(() => stranger.getBackupKV())
  fs.writeFileSync(path.join(folder, 'seen.json'), JSON.stringify(seen))
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(1)
})
