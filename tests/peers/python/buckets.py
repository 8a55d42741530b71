"""Makes and lists buckets with influxdb-client, as its users do: python buckets.py URL TOKEN ORG BUCKET OUT

Writes to the file OUT what the client saw: the bucket that it made, the lists, and how it shows refusals.
"""

import json
import pathlib
import sys

from influxdb_client import BucketRetentionRules, InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException


def refusal(call):
    try:
        call()
    except ApiException as error:
        return {"status": error.status, "message": error.message}
    return None


def shown(bucket):
    return {
        "id": bucket.id,
        "name": bucket.name,
        "orgID": bucket.org_id,
        "type": bucket.type,
        "description": bucket.description,
        "every": bucket.retention_rules[0].every_seconds,
        "shardGroup": bucket.retention_rules[0].shard_group_duration_seconds,
    }


def main(url, token, org, name, out):
    seen = {}
    with InfluxDBClient(url=url, token=token, org=org) as client:
        buckets = client.buckets_api()
        rules = BucketRetentionRules(type="expire", every_seconds=172800)
        made = buckets.create_bucket(bucket_name=name, org=org, retention_rules=rules, description="from Python")
        seen["made"] = shown(made)
        seen["again"] = refusal(lambda: buckets.create_bucket(bucket_name=name, org=org))
        seen["underscore"] = refusal(lambda: buckets.create_bucket(bucket_name="_x", org=org))
        seen["found"] = shown(buckets.find_bucket_by_name(name))
        seen["missing"] = buckets.find_bucket_by_name("no such bucket") is None
        seen["pages"] = [bucket.name for bucket in buckets.find_buckets_iter(limit=2)]
        seen["all"] = sorted(bucket.name for bucket in buckets.find_buckets(limit=100).buckets)
        seen["orgs"] = [found.name for found in client.organizations_api().find_organizations()]
        seen["no_org"] = refusal(lambda: client.organizations_api().find_organizations(org="nowhere"))
        write = client.write_api(write_options=SYNCHRONOUS)
        seen["no_points"] = write.write(bucket=name, record="# nothing") is None
        seen["bad_line"] = refusal(lambda: write.write(bucket=name, record="m f="))
        seen["no_bucket"] = refusal(lambda: write.write(bucket="no such bucket", record="m f=1"))
    with InfluxDBClient(url=url, token=token, org=org, enable_gzip=True) as client:
        write = client.write_api(write_options=SYNCHRONOUS)
        seen["bad_line_gzip"] = refusal(lambda: write.write(bucket=name, record="m f=" * 1000))
    pathlib.Path(out).write_text(json.dumps(seen))


main(*sys.argv[1:])
