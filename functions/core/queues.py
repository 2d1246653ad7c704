"""Sending work to SQS. Messages name a row and hold nothing else; whoever works on it asks the database.

Docs: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from functions.core import settings
from functions.core.errors import StreamVibeError
from functions.core.observability import logger
from functions.core.settings import Setting

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

BATCH_SIZE = 10
LONGEST_DELAY_SECONDS = 900


class QueueUnavailableError(StreamVibeError):
    code = "queue_unavailable"
    status = 503
    title = "The work queue cannot be reached"
    retryable = True


@functools.cache
def _client() -> SQSClient:
    # boto3 is slow to load; only those who send pay for it, when they send.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    config = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "max_attempts": 3})
    return boto3.client("sqs", endpoint_url=settings.AWS_ENDPOINT_URL.value() or None, config=config)


def send(queue: Setting[str], messages: Sequence[dict[str, str]], *, delay_seconds: int = 0) -> None:
    """Send messages, ten in a call, to be delivered after `delay_seconds` (at most 900).

    Raises QueueUnavailableError if any of them was not taken; those that were are delivered all the same.
    """
    delay = max(0, min(delay_seconds, LONGEST_DELAY_SECONDS))
    for start in range(0, len(messages), BATCH_SIZE):
        entries = [
            {"Id": str(number), "MessageBody": json.dumps(message), "DelaySeconds": delay}
            for number, message in enumerate(messages[start : start + BATCH_SIZE])
        ]
        try:
            answer = _client().send_message_batch(QueueUrl=queue.value(), Entries=entries)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - botocore's errors share no base that is cheap to import
            logger.warning("queue did not take messages", extra={"error_type": type(error).__name__})
            raise QueueUnavailableError from None
        if answer.get("Failed"):
            logger.warning("queue took only a part of the messages", extra={"failed": len(answer["Failed"])})
            raise QueueUnavailableError
