"""SQS and the event source mapping between its queues and the functions.

What a handler processed is deleted; what it reported in `batchItemFailures`, or everything if it raised, stays hidden
until its visibility timeout has passed and is delivered again, and moves to the dead-letter queue when it was received
`maxReceiveCount` times. https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html

On AWS a message is hidden for much longer than its handler may run. Here the timeout is short and renewed while the
handler runs, so that a message whose worker was killed comes back in seconds.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.local.runner.events import REGION, queue_arn, sqs_event
from infra.local.runner.invoke import FunctionError, Invoker
from infra.local.runner.service import Function, Queue, QueueSource, Service, queue_url

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import MessageTypeDef

LOG = logging.getLogger("streamvibe.runner")
POLL_SECONDS = 1
READY_SECONDS = 30.0
PAUSE_AFTER_FAILURE_SECONDS = 1.0


@dataclass
class Delivered:
    """What a drain did."""

    batches: int = 0
    delivered: int = 0
    failed: int = 0


class Queues:
    """The service's queues at `endpoint_url`. `visibility_seconds` overrides every queue's own, for tests."""

    def __init__(self, service: Service, endpoint_url: str, visibility_seconds: int | None = None) -> None:
        self.service = service
        self.endpoint_url = endpoint_url.rstrip("/")
        self.visibility_seconds = visibility_seconds
        self.sources = {queue.name: (function, source, queue) for function, source, queue in service.queue_sources()}
        self.client: SQSClient = boto3.client(
            "sqs",
            region_name=REGION,
            endpoint_url=self.endpoint_url,
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - the local SQS asks for none
            config=Config(retries={"total_max_attempts": 2}, connect_timeout=2, read_timeout=30),
        )

    def url(self, name: str) -> str:
        return queue_url(self.endpoint_url, name)

    def create(self) -> None:
        """Make every queue; those that are there already stay as they are."""
        for queue in sorted(self.service.queues.values(), key=lambda queue: queue.dead_letter_queue is not None):
            self.client.create_queue(QueueName=queue.name, Attributes=self._attributes(queue))

    def create_when_ready(self) -> None:
        """`create`, as soon as SQS answers."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                return self.create()
            except (BotoCoreError, ClientError):
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def depths(self) -> dict[str, dict[str, int]]:
        """How many messages are visible and in flight, for every queue."""
        self.create()  # an SQS that was started again has lost them
        depths = {}
        for queue in self.service.queues.values():
            answer = self.client.get_queue_attributes(QueueUrl=self.url(queue.name), AttributeNames=["All"])
            attributes = answer["Attributes"]
            depths[queue.name] = {
                "visible": int(attributes["ApproximateNumberOfMessages"]),
                "in_flight": int(attributes["ApproximateNumberOfMessagesNotVisible"]),
            }
        return depths

    def drain(self, name: str, invoker: Invoker) -> Delivered:
        """Deliver what is visible in `name` until nothing is. Messages that fail are hidden by then."""
        function, source, queue = self.sources[name]
        result = Delivered()
        while messages := self._receive(queue, source, wait_seconds=0):
            failed = self.deliver(function, source, queue, messages, invoker.run)
            result.batches += 1
            result.delivered += len(messages)
            result.failed += failed
        return result

    def poll(self, name: str, call: Callable[[Function, Any], Any]) -> None:
        """Deliver from `name` for ever, one batch at a time."""
        function, source, queue = self.sources[name]
        while True:
            try:
                messages = self._receive(queue, source, wait_seconds=POLL_SECONDS)
                if messages:
                    self.deliver(function, source, queue, messages, call)
            except (BotoCoreError, ClientError) as error:
                LOG.warning("%s: %s", name, error)
                time.sleep(PAUSE_AFTER_FAILURE_SECONDS)
                self._try_create()

    def deliver(
        self,
        function: Function,
        source: QueueSource,
        queue: Queue,
        messages: "Sequence[MessageTypeDef]",
        call: Callable[[Function, Any], Any],
    ) -> int:
        """Hand one batch to the function and delete what it processed; answers how many failed."""
        event = sqs_event([dict(message) for message in messages], queue.name)
        with self._kept_hidden(queue, messages):
            try:
                failed = failed_messages(call(function, event), event, source.reports_failures)
            except FunctionError:
                return len(messages)
        for message in messages:
            if message["MessageId"] not in failed:
                self.client.delete_message(QueueUrl=self.url(queue.name), ReceiptHandle=message["ReceiptHandle"])
        return len(failed)

    @contextmanager
    def _kept_hidden(self, queue: Queue, messages: "Sequence[MessageTypeDef]") -> Iterator[None]:
        """Renew the messages' visibility timeout until the block ends."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(self._seconds(queue) / 3):
                for message in messages:
                    try:
                        self.client.change_message_visibility(
                            QueueUrl=self.url(queue.name),
                            ReceiptHandle=message["ReceiptHandle"],
                            VisibilityTimeout=self._seconds(queue),
                        )
                    except (BotoCoreError, ClientError) as error:
                        LOG.warning("%s: %s", queue.name, error)

        thread = threading.Thread(target=renew, name=f"renew-{queue.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _seconds(self, queue: Queue) -> int:
        return queue.visibility_seconds if self.visibility_seconds is None else self.visibility_seconds

    def _receive(self, queue: Queue, source: QueueSource, wait_seconds: int) -> "list[MessageTypeDef]":
        answer = self.client.receive_message(
            QueueUrl=self.url(queue.name),
            MaxNumberOfMessages=min(source.batch_size, 10),
            WaitTimeSeconds=wait_seconds,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return answer.get("Messages", [])

    def _attributes(self, queue: Queue) -> "dict[QueueAttributeNameType, str]":
        attributes: dict[QueueAttributeNameType, str] = {"VisibilityTimeout": str(self._seconds(queue))}
        if queue.dead_letter_queue:
            target = queue_arn(self.service.queues[queue.dead_letter_queue].name)
            policy = {"deadLetterTargetArn": target, "maxReceiveCount": str(queue.max_receive_count)}
            attributes["RedrivePolicy"] = json.dumps(policy)
        return attributes

    def _try_create(self) -> None:
        """SQS lost its queues if it was restarted: make them again."""
        try:
            self.create()
        except (BotoCoreError, ClientError) as error:
            LOG.warning("SQS does not answer: %s", error)


def failed_messages(result: Any, event: Mapping[str, Any], reports_failures: bool) -> set[str]:
    """The ids of messages that stay in the queue. A malformed report fails them all, as on AWS."""
    every = {str(record["messageId"]) for record in event["Records"]}
    if not reports_failures or not result:
        return set()
    try:
        reported = {str(item["itemIdentifier"]) for item in result.get("batchItemFailures") or []}
    except (AttributeError, KeyError, TypeError):
        return every
    return reported if reported <= every else every
