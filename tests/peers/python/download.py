"""Downloads a backup with influxdb-client, as its users have to: python download.py URL TOKEN FOLDER SHARD...

Writes FOLDER/{identity,gzip}/{kv,metadata,shard-N}, each as the client hands it out, and FOLDER/seen.json: the content
type of each download, what the client says of the server, and how it shows refusals. Bodies are asked for with
_preload_content=False, since the client would decode them as text otherwise.
"""

import datetime
import json
import pathlib
import sys

from influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.service.backup_service import BackupService


def downloads(backup, coding, shards):
    options = {"_preload_content": False}
    yield "kv", backup.get_backup_kv(**options)
    options["accept_encoding"] = coding
    yield "metadata", backup.get_backup_metadata(**options)
    for shard in shards:
        yield f"shard-{shard}", backup.get_backup_shard_id(shard, **options)


def refusal(call):
    try:
        call()
    except ApiException as error:
        return {"status": error.status, "message": error.message, "body": error.body}
    return None


def since(backup, shard, moment):
    return len(backup.get_backup_shard_id(shard, since=moment, _preload_content=False).data)


def main(url, token, folder, *shards):
    folder = pathlib.Path(folder)
    shards = [int(shard) for shard in shards]
    seen = {"contentTypes": {}}
    with InfluxDBClient(url=url, token=token, org="-") as client:
        backup = BackupService(client.api_client)
        seen["ping"] = client.ping()
        seen["version"] = client.version()
        seen["build"] = client.build()
        seen["health"] = client.health().status
        seen["ready"] = client.ready().started.isoformat()
        for coding in ("identity", "gzip"):
            (folder / coding).mkdir(parents=True)
            for name, response in downloads(backup, coding, shards):
                (folder / coding / name).write_bytes(response.data)
                seen["contentTypes"][f"{coding}/{name}"] = response.headers["Content-Type"]
        seen["unknown_shard"] = refusal(lambda: backup.get_backup_shard_id(999999))
        future = datetime.datetime(2100, 1, 1)
        seen["since_aware"] = since(backup, shards[0], future.replace(tzinfo=datetime.timezone.utc))
        seen["since_naive"] = since(backup, shards[0], future)
    with InfluxDBClient(url=url, token="wrong", org="-") as client:
        seen["wrong_token"] = refusal(BackupService(client.api_client).get_backup_kv)
    (folder / "seen.json").write_text(json.dumps(seen))


main(*sys.argv[1:])
