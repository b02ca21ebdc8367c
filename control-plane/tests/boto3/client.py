"""Sends bytes to addresses, or reads an object, with what boto3 does it by; prints what came of it. Judges nothing.

    python client.py '{ "put": [{ "url": "...", "file": "...", "from": 0, "bytes": 5, "at": 1764199999.5 }] }'
    python client.py '{ "read": { "bucket": "...", "key": "..." } }'

`at`, if it is told, is the moment before which nothing is sent, in seconds since 1970. Where S3 is, and who we are there, is in the
environment.

Out: `[{ "status": 200, "code": null }]`, with the word by which S3 says what is wrong; or `{ "bytes": 5, "sha256": "..." }`.
"""

import hashlib
import json
import os
import sys
import time
import xml.etree.ElementTree

import boto3
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session


def put(session, wanted):
    with open(wanted["file"], "rb") as file:
        file.seek(wanted["from"])
        data = file.read(wanted["bytes"])
    time.sleep(max(0, wanted.get("at", 0) - time.time()))
    answer = session.send(AWSRequest(method="PUT", url=wanted["url"], data=data).prepare())
    code = xml.etree.ElementTree.fromstring(answer.content).findtext("Code") if answer.content else None
    return {"status": answer.status_code, "code": code}


def read(wanted):
    client = boto3.client("s3", region_name=os.environ["AWS_REGION"])
    body = client.get_object(Bucket=wanted["bucket"], Key=wanted["key"])["Body"].read()
    return {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}


told = json.loads(sys.argv[1])
if "read" in told:
    result = read(told["read"])
else:
    session = URLLib3Session()
    result = [put(session, wanted) for wanted in told["put"]]
print(json.dumps(result))
