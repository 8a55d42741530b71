"""Writes points with influxdb-client in the ways that its users do: python write.py URL TOKEN ORG BUCKET

Points, dictionaries and lines; one by one, as a list, and in compressed batches by a thread of the client's; times as
integers and as datetimes, in other precisions. What has to be there then stands in clients_write_points.rs.
"""

import datetime
import sys

from influxdb_client import InfluxDBClient, Point, WriteOptions, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS

MONDAY_NS = 1704067200000000000


def points():
    point = Point("py point").tag("host", "a b,c=d").tag("dc", "x")
    point.field("f", -0.0).field("i", -7).field("b", True).field("s", 'two\nlines, "quoted" \\')
    yield point.time(MONDAY_NS + 1)
    moment = datetime.datetime(2024, 1, 8, 1, 2, 3, 456789, tzinfo=datetime.timezone.utc)
    yield Point("py point").field("f", 1e300).time(moment)


def main(url, token, org, bucket):
    with InfluxDBClient(url=url, token=token, org=org) as client:
        with client.write_api(write_options=SYNCHRONOUS) as write:
            for point in points():
                write.write(bucket=bucket, record=point)
            fields = {"u": 5, "v": 2.5}
            write.write(bucket=bucket, record={"measurement": "py_dict", "tags": {"t": "1"}, "fields": fields, "time": MONDAY_NS})
            lines = ["py_line,t=a u=18446744073709551615u 1704067200", "py_line,t=b u=0u 1704153600"]
            write.write(bucket=bucket, record=lines, write_precision=WritePrecision.S)
    with InfluxDBClient(url=url, token=token, org=org, enable_gzip=True) as client:
        with client.write_api(write_options=WriteOptions(batch_size=700, flush_interval=200)) as write:
            for n in range(5000):
                write.write(bucket=bucket, record=f"py_batch,n={n % 10} v={n}i {MONDAY_NS + n * 1000000000}")


main(*sys.argv[1:])
