"""SQS, both ends: handing work over, and working through a batch so that one bad message spoils no other.

Docs: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html. Messages are small JSON objects that
name rows; they never hold a secret. A message may come twice: whoever works on it lets the database decide.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from functions.core import settings
from functions.core.errors import StreamVibeError
from functions.core.observability import begin, logger

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MESSAGES_PER_CALL = 10  # SQS takes no more
LONGEST_DELAY_SECONDS = 900  # SQS keeps no message back for longer


@functools.cache
def _client() -> SQSClient:
    import boto3  # noqa: PLC0415 - costs a cold start more than all else; most calls send nothing
    from botocore.config import Config  # noqa: PLC0415

    config = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "max_attempts": 3})
    return boto3.client("sqs", endpoint_url=settings.AWS_ENDPOINT_URL.value() or None, config=config)


def send(queue_url: str, bodies: Sequence[dict[str, Any]], *, delay_seconds: int = 0) -> int:
    """Hand `bodies` over, ten at a time, to be delivered after `delay_seconds` (900 at most); how many were taken.

    Never raises: what is not taken must be found again by its lease.
    """
    delay = max(0, min(delay_seconds, LONGEST_DELAY_SECONDS))
    taken = 0
    for start in range(0, len(bodies), MESSAGES_PER_CALL):
        batch = bodies[start : start + MESSAGES_PER_CALL]
        entries = [
            {"Id": str(number), "MessageBody": json.dumps(body), "DelaySeconds": delay}
            for number, body in enumerate(batch)
        ]
        try:
            answer = _client().send_message_batch(QueueUrl=queue_url, Entries=entries)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - botocore's errors have no common base that is cheap to import
            logger.error("the queue cannot be reached", extra={"error_type": type(error).__name__})
            return taken
        taken += len(answer.get("Successful", []))
        if failed := answer.get("Failed"):
            logger.warning("messages were not taken", extra={"count": len(failed)})
    return taken


def redrive(queue_url: str, limit: int) -> int:
    """Move up to `limit` messages from the queue's dead-letter queue back to it; how many were moved.

    Each is sent before it is deleted there: an interruption makes a copy, which work tolerates, and loses nothing.
    """
    client = _client()
    attributes = client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["RedrivePolicy"])
    policy = json.loads(attributes.get("Attributes", {}).get("RedrivePolicy", "{}"))
    dead_name = str(policy.get("deadLetterTargetArn", "")).rpartition(":")[2]
    if not dead_name:
        return 0
    dead_url = client.get_queue_url(QueueName=dead_name)["QueueUrl"]
    moved = 0
    while moved < limit:
        found = client.receive_message(
            QueueUrl=dead_url, MaxNumberOfMessages=min(MESSAGES_PER_CALL, limit - moved), VisibilityTimeout=60
        ).get("Messages", [])
        if not found:
            break
        for message in found:
            client.send_message(QueueUrl=queue_url, MessageBody=message["Body"])
            client.delete_message(QueueUrl=dead_url, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
    return moved


def work_through(event: dict[str, Any], context: Any, work: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Call `work` with each message's object; the partial batch response names those to deliver again.

    A message that is no JSON object, and an error that says it is pointless to repeat, are logged and let go: the
    database holds what became of the work.
    """
    failures = []
    for record in event.get("Records", []):
        begin(context)  # for each message, so that none is logged under another one's ids
        body = _object(record.get("body"))
        if body is None:
            logger.error("message is not a JSON object", extra={"message_id": record.get("messageId")})
            continue
        try:
            work(body)
        except StreamVibeError as error:
            logger.warning("work failed", extra={"code": error.problem_code, "retryable": error.retryable})
            if error.retryable:
                failures.append(record["messageId"])
        except Exception as error:  # noqa: BLE001 - the other messages of the batch must not suffer
            # The traceback may quote values; the type is enough to find the fault.
            logger.error("unexpected error", extra={"error_type": type(error).__name__})
            failures.append(record["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in failures]}


def _object(text: Any) -> dict[str, Any] | None:
    try:
        body = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    return body if isinstance(body, dict) else None
