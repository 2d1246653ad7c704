"""Handlers for the runner's tests, and the service that names them."""

import json
import os
import time
from pathlib import Path
from typing import Any

SERVERLESS = """
service: sample
provider:
  name: aws
  timeout: 5
  httpApi:
    cors:
      allowedOrigins: ["https://app.example"]
      allowedHeaders: [authorization]
      exposedResponseHeaders: [x-request-id]
  environment:
    WORK_QUEUE_URL: {Ref: WorkQueue}
functions:
  echo:
    handler: tests.local.sample_handlers.echo
    events:
      - httpApi: {method: POST, path: /echo}
      - httpApi: {method: GET, path: "/things/{id}"}
      - httpApi: {method: "*", path: "/files/{path+}"}
      - httpApi: GET /things/special
  slow:
    handler: tests/local/sample_handlers.slow
    timeout: 1
    events: [{httpApi: {method: GET, path: /slow}}]
  broken:
    handler: tests.local.sample_handlers.broken
    events: [{httpApi: {method: GET, path: /broken}}]
  missing:
    handler: tests.local.no_such_module.handler
    events: [{httpApi: {method: GET, path: /missing}}]
  shaped:
    handler: tests.local.sample_handlers.shaped
    events: [{httpApi: {method: GET, path: "/shaped/{shape}"}}]
  nightly:
    handler: tests.local.sample_handlers.echo
    events: [{schedule: rate(1 day)}, {schedule: {rate: "cron(15 10 ? * MON-FRI *)", enabled: false}}]
  work:
    handler: tests.local.sample_handlers.work
    events:
      - sqs: {arn: !GetAtt WorkQueue.Arn, batchSize: 3, functionResponseType: ReportBatchItemFailures}
resources:
  Resources:
    WorkQueue:
      Type: AWS::SQS::Queue
      Properties:
        VisibilityTimeout: 30
        RedrivePolicy: {deadLetterTargetArn: !GetAtt WorkDeadLetterQueue.Arn, maxReceiveCount: 2}
    WorkDeadLetterQueue:
      Type: AWS::SQS::Queue
"""


def echo(event: Any, context: Any) -> dict[str, Any]:
    seen = {"event": event, "remaining": context.get_remaining_time_in_millis(), "request": context.aws_request_id}
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(seen)}


def slow(_event: Any, context: Any) -> dict[str, Any]:
    # Outlasts its own time limit, whatever that is.
    while context.get_remaining_time_in_millis():
        time.sleep(0.01)
    time.sleep(0.5)
    return {"statusCode": 200}


def broken(_event: Any, _context: Any) -> None:
    raise LookupError("a secret that must not get out")


def shaped(event: Any, _context: Any) -> Any:
    shapes: dict[str, Any] = {
        "bare": {"any": "json"},
        "text": {"statusCode": 201, "body": "plain"},
        "binary": {
            "statusCode": 200,
            "body": "AAEC",
            "isBase64Encoded": True,
            "headers": {"content-type": "image/png"},
        },
        "cookies": {"statusCode": 204, "cookies": ["a=1; Path=/", "b=2"]},
        "unserialisable": {"statusCode": 200, "body": "x", "headers": 5},
        "huge": {"statusCode": 200, "body": "x" * (6 * 1024 * 1024 + 1)},
    }
    return shapes[event["pathParameters"]["shape"]]


def work(event: Any, _context: Any) -> dict[str, Any]:
    """Appends each message to the journal named by the environment; "fail" fails, "hang" never returns."""
    failures = []
    for record in event["Records"]:
        body = record["body"]
        with Path(os.environ["SAMPLE_JOURNAL"]).open("a") as journal:
            journal.write(f"{body} {record['attributes']['ApproximateReceiveCount']}\n")
        if body == "hang":
            time.sleep(3600)
        if body == "raise":
            raise RuntimeError("the whole batch")
        if body == "fail":
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
