"""Reads a shard of any size with influxdb-client at its default time-out: python stream.py URL TOKEN SHARD

Prints how many bytes came, after how many seconds the first, and the longest silence before or between them; and, when the
client gave up, why. Then it ends with 3.
"""

import sys
import time

from influxdb_client import InfluxDBClient
from influxdb_client.service.backup_service import BackupService


def main(url, token, shard):
    total, first, longest, last = 0, None, 0.0, time.monotonic()
    started, why = last, None
    with InfluxDBClient(url=url, token=token, org="-") as client:
        try:
            backup = BackupService(client.api_client)
            response = backup.get_backup_shard_id(int(shard), _preload_content=False)
            while part := response.read1(1 << 20):
                now = time.monotonic()
                total += len(part)
                first = first or now - started
                longest, last = max(longest, now - last), now
        except Exception as error:  # whatever the client has for a silence
            why = f"{type(error).__name__}: {error}"
    silence = max(longest, time.monotonic() - last)
    print(f"{total} bytes, the first after {first or -1:.2f} s, longest silence {silence:.2f} s", why or "")
    return 3 if why else 0


sys.exit(main(*sys.argv[1:]))
