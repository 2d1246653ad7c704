"""The function runner behaves as API Gateway, EventBridge and SQS do towards a handler."""

import base64
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from moto.server import ThreadedMotoServer

from infra.local.ports import free_port
from infra.local.problems import StackError
from infra.local.runner import gateway
from infra.local.runner.clock import next_time
from infra.local.runner.events import HttpRequest, http_event
from infra.local.runner.gateway import HttpApi, match_path
from infra.local.runner.invoke import Invoker
from infra.local.runner.queues import Queues, failed_messages
from infra.local.runner.service import Service, read_service
from tests.local.sample_handlers import SERVERLESS
from tests.local.servers import serving

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def service_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("service") / "serverless.yml"
    path.write_text(SERVERLESS)
    return path


@pytest.fixture(scope="module")
def service(service_file: Path) -> Service:
    return read_service(service_file)


@pytest.fixture(scope="module")
def sqs() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server._port}"
    server.stop()


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "journal"
    path.touch()
    monkeypatch.setenv("SAMPLE_JOURNAL", str(path))
    return path


@pytest.fixture
def queues(service: Service, sqs: str) -> Iterator[Queues]:
    """Fresh queues that hide a message for a second only."""
    made = Queues(service, sqs, visibility_seconds=1)
    made.create()
    yield made
    for queue in service.queues.values():
        made.client.delete_queue(QueueUrl=made.url(queue.name))
    made.client.close()


@pytest.fixture(scope="module")
def invoker() -> Iterator[Invoker]:
    made = Invoker(threads=4)
    yield made
    made.close()


@pytest.fixture(scope="module")
def functions(service: Service, invoker: Invoker) -> Iterator[httpx.Client]:
    with serving(HttpApi(service, invoker)) as url, httpx.Client(base_url=url) as client:
        yield client


def event_of(answer: httpx.Response) -> dict[str, Any]:
    event: dict[str, Any] = answer.json()["event"]
    return event


class TestHttp:
    def test_an_event_has_the_shape_of_payload_format_2(self, functions: httpx.Client) -> None:
        answer = functions.post(
            "/echo?a=1&a=2&q=caf%C3%A9&empty=",
            content='{"x": "é"}',
            headers=[
                ("Content-Type", "application/json; charset=utf-8"),
                ("X-Twice", "1"),
                ("X-Twice", "2"),
                ("Cookie", "session=abc; theme=dark"),
                ("User-Agent", "tests"),
            ],
        )
        event = event_of(answer)
        assert event["version"] == "2.0"
        assert event["routeKey"] == "POST /echo"
        assert event["rawPath"] == "/echo"
        assert event["rawQueryString"] == "a=1&a=2&q=caf%C3%A9&empty="
        assert event["queryStringParameters"] == {"a": "1,2", "q": "café", "empty": ""}
        assert event["cookies"] == ["session=abc", "theme=dark"]
        assert event["headers"]["x-twice"] == "1,2"
        assert "cookie" not in event["headers"]
        assert (event["body"], event["isBase64Encoded"]) == ('{"x": "é"}', False)
        assert "pathParameters" not in event
        context = event["requestContext"]
        assert context["http"] == {
            "method": "POST",
            "path": "/echo",
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": "tests",
        }
        assert context["requestId"] == answer.headers["apigw-requestid"]
        assert (context["stage"], context["routeKey"]) == ("$default", "POST /echo")
        assert abs(context["timeEpoch"] / 1000 - datetime.now(UTC).timestamp()) < 60

    def test_the_context_knows_the_time_limit(self, functions: httpx.Client) -> None:
        assert 4000 < functions.post("/echo").json()["remaining"] <= 5000

    @pytest.mark.parametrize(
        ("content_type", "body", "is_base64"),
        [
            ("application/json", b"{}", False),
            ("application/problem+json", b"{}", False),
            ("text/plain", "é".encode(), False),
            ("application/x-www-form-urlencoded", b"a=1", True),
            ("application/octet-stream", b"\x00\xff", True),
            ("application/json", b"\xff", True),
            ("", b"x", True),
        ],
    )
    def test_bodies_that_are_no_text_come_in_base64(
        self, functions: httpx.Client, content_type: str, body: bytes, is_base64: bool
    ) -> None:
        headers = {"content-type": content_type} if content_type else {}
        event = event_of(functions.post("/echo", content=body, headers=headers))
        assert event["isBase64Encoded"] is is_base64
        assert (base64.b64decode(event["body"]) if is_base64 else event["body"].encode()) == body

    @pytest.mark.parametrize(
        ("path", "route", "parameters"),
        [
            ("/things/a%20b", "GET /things/{id}", {"id": "a b"}),
            ("/things/special", "GET /things/special", None),
            ("/files/a/b.txt", "ANY /files/{path+}", {"path": "a/b.txt"}),
        ],
    )
    def test_routes(self, functions: httpx.Client, path: str, route: str, parameters: dict[str, str] | None) -> None:
        event = event_of(functions.get(path))
        assert (event["routeKey"], event.get("pathParameters")) == (route, parameters)

    @pytest.mark.parametrize(
        ("method", "path"), [("GET", "/nowhere"), ("GET", "/echo"), ("GET", "/things/"), ("GET", "/things/a/b")]
    )
    def test_what_no_route_fits(self, functions: httpx.Client, method: str, path: str) -> None:
        answer = functions.request(method, path)
        assert (answer.status_code, answer.json()["message"]) == (404, "Not Found")
        assert (answer.json()["code"], answer.json()["request_id"]) == ("not_found", answer.headers["x-request-id"])
        assert answer.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize("path", ["/broken", "/missing", "/slow", "/shaped/unserialisable", "/shaped/huge"])
    def test_a_failing_function_tells_nothing(self, functions: httpx.Client, path: str) -> None:
        answer = functions.get(path)
        assert (answer.status_code, answer.json()["message"]) == (500, "Internal Server Error")

    def test_the_gateway_waits_no_longer_than_its_own_limit(
        self, functions: httpx.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gateway, "INTEGRATION_TIMEOUT_SECONDS", 0.1)
        answer = functions.get("/slow")
        assert (answer.status_code, answer.json()["message"]) == (503, "Service Unavailable")

    def test_results(self, functions: httpx.Client) -> None:
        assert functions.get("/shaped/bare").json() == {"any": "json"}
        text = functions.get("/shaped/text")
        assert (text.status_code, text.text) == (201, "plain")
        binary = functions.get("/shaped/binary")
        assert (binary.content, binary.headers["content-type"]) == (b"\x00\x01\x02", "image/png")
        cookies = functions.get("/shaped/cookies")
        assert (cookies.status_code, cookies.headers.get_list("set-cookie")) == (204, ["a=1; Path=/", "b=2"])

    def test_limits(self, functions: httpx.Client) -> None:
        assert functions.post("/echo", content=b"x" * (10 * 1024 * 1024 + 1)).status_code == 413
        assert functions.post("/echo", content=b"x" * (5 * 1024 * 1024)).status_code == 413  # base64 is over 6 MB
        assert functions.post("/echo", headers={"x-long": "x" * 10_500}).status_code == 431

    def test_cors_is_the_gateways(self, functions: httpx.Client) -> None:
        preflight = functions.options("/echo", headers={"Origin": "https://app.example"})
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "https://app.example"
        assert preflight.headers["access-control-allow-headers"] == "authorization"
        assert preflight.headers["x-request-id"]
        answer = functions.post("/echo", headers={"Origin": "https://app.example"})
        assert answer.headers["access-control-expose-headers"] == "x-request-id"
        other = functions.post("/echo", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers

    def test_calls_run_side_by_side(self, functions: httpx.Client) -> None:
        answers: list[int] = []

        def ask() -> None:
            answers.append(httpx.get(f"{functions.base_url}/slow").status_code)

        slow = threading.Thread(target=ask)
        slow.start()
        assert functions.post("/echo").status_code == 200
        slow.join()
        assert answers == [500]

    def test_invoking_by_name(self, functions: httpx.Client) -> None:
        event = json.loads(functions.post("/_local/invoke/nightly").json()["body"])["event"]
        assert (event["source"], event["detail-type"], event["detail"]) == ("aws.events", "Scheduled Event", {})
        own = functions.post("/_local/invoke/nightly", json={"mine": 1}).json()
        assert json.loads(own["body"])["event"] == {"mine": 1}
        failed = functions.post("/_local/invoke/broken")
        assert (failed.status_code, failed.headers["x-amz-function-error"]) == (500, "Unhandled")
        assert failed.json()["errorType"] == "LookupError"
        assert functions.post("/_local/invoke/nothing").status_code == 404
        assert functions.post("/_local/invoke/nightly", content=b"{").status_code == 400

    def test_optional_members_are_absent(self) -> None:
        event = http_event(HttpRequest("GET", "/a%2Fb", "", ()), "GET /{x}", {})
        assert not {"cookies", "body", "queryStringParameters", "pathParameters"} & set(event)
        assert event["rawPath"] == "/a/b"

    def test_greedy_parameters_need_something(self) -> None:
        assert match_path("/files/{path+}", "/files/") is None


class TestQueues:
    def send(self, queues: Queues, *bodies: str) -> None:
        for body in bodies:
            queues.client.send_message(QueueUrl=queues.url("work"), MessageBody=body)

    def test_what_succeeds_is_deleted(self, queues: Queues, invoker: Invoker, journal: Path) -> None:
        self.send(queues, "a", "b", "c", "d")
        done = queues.drain("work", invoker)
        assert (done.batches, done.delivered, done.failed) == (2, 4, 0)
        assert queues.depths()["work"] == {"visible": 0, "in_flight": 0}
        assert sorted(journal.read_text().split("\n")) == ["", "a 1", "b 1", "c 1", "d 1"]

    def test_only_what_failed_comes_back_and_then_goes_to_the_dead_letters(
        self, queues: Queues, invoker: Invoker, journal: Path
    ) -> None:
        self.send(queues, "a", "fail", "b")
        assert queues.drain("work", invoker).failed == 1
        assert queues.depths()["work"] == {"visible": 0, "in_flight": 1}
        self.until(lambda: queues.depths()["work"]["visible"] == 1)
        assert queues.drain("work", invoker).failed == 1
        self.until(lambda: queues.depths()["work"]["visible"] == 1)
        assert queues.drain("work", invoker).delivered == 0  # received twice: it is moved, not delivered
        assert queues.depths()["work-dead-letter"]["visible"] == 1
        assert journal.read_text().split("\n").count("a 1") == 1
        assert [line for line in journal.read_text().split("\n") if line.startswith("fail")] == ["fail 1", "fail 2"]

    def test_an_exception_fails_the_whole_batch(self, queues: Queues, invoker: Invoker, journal: Path) -> None:
        self.send(queues, "a", "raise", "b")
        assert queues.drain("work", invoker).failed == 3
        assert queues.depths()["work"]["in_flight"] == 3

    def test_a_killed_workers_message_is_delivered_again(
        self, queues: Queues, sqs: str, journal: Path, service_file: Path
    ) -> None:
        self.send(queues, "hang")
        with self.worker(sqs, journal, service_file) as first:
            self.until(lambda: journal.read_text() == "hang 1\n")
            # While its handler runs the message stays hidden, for longer than its visibility timeout.
            select.select([], [], [], 2)
            assert queues.depths()["work"] == {"visible": 0, "in_flight": 1}
            first.send_signal(signal.SIGKILL)
        self.until(lambda: queues.depths()["work"]["visible"] == 1)
        with self.worker(sqs, journal, service_file) as second:
            self.until(lambda: journal.read_text() == "hang 1\nhang 2\n")
            second.send_signal(signal.SIGKILL)

    def worker(self, sqs: str, journal: Path, service_file: Path) -> "subprocess.Popen[bytes]":
        code = (
            "from pathlib import Path\n"
            "from infra.local.runner.invoke import call_handler\n"
            "from infra.local.runner.queues import Queues\n"
            "from infra.local.runner.service import read_service\n"
            f"Queues(read_service(Path({str(service_file)!r})), {sqs!r}, 1).poll('work', call_handler)\n"
        )
        environment = {**os.environ, "SAMPLE_JOURNAL": str(journal)}
        return subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, env=environment)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what happens by itself (a timeout that passes, another process)."""
        deadline = datetime.now(UTC).timestamp() + 30
        while not condition():
            assert datetime.now(UTC).timestamp() < deadline
            select.select([], [], [], 0.05)

    @pytest.mark.parametrize(
        ("result", "failed"),
        [
            (None, set()),
            ({"batchItemFailures": []}, set()),
            ({"batchItemFailures": [{"itemIdentifier": "1"}]}, {"1"}),
            ({"batchItemFailures": [{"itemIdentifier": "unknown"}]}, {"1", "2"}),
            ({"batchItemFailures": [{"wrong": "1"}]}, {"1", "2"}),
            ({"batchItemFailures": [{"itemIdentifier": ""}]}, {"1", "2"}),
            ("nonsense", {"1", "2"}),
        ],
    )
    def test_reports(self, result: Any, failed: set[str]) -> None:
        event = {"Records": [{"messageId": "1"}, {"messageId": "2"}]}
        assert failed_messages(result, event, reports_failures=True) == failed
        assert failed_messages(result, event, reports_failures=False) == set()


class TestSchedules:
    @pytest.mark.parametrize(
        ("expression", "after", "expected"),
        [
            ("rate(5 minutes)", "2026-11-24T10:00:30", "2026-11-24T10:05:30"),
            ("rate(1 day)", "2026-11-24T10:00:00", "2026-11-25T10:00:00"),
            ("cron(15 10 * * ? *)", "2026-11-24T10:15:00", "2026-11-25T10:15:00"),
            ("cron(0/20 * * * ? *)", "2026-11-24T10:25:00", "2026-11-24T10:40:00"),
            ("cron(0 8 ? * MON-FRI *)", "2026-11-27T09:00:00", "2026-11-30T08:00:00"),
            ("cron(0 0 1 1 ? *)", "2026-11-24T00:00:00", "2027-01-01T00:00:00"),
        ],
    )
    def test_next_time(self, expression: str, after: str, expected: str) -> None:
        moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
        assert next_time(expression, moment).isoformat() == f"{expected}+00:00"

    @pytest.mark.parametrize("expression", ["rate(5)", "cron(0 0 * *)", "every day"])
    def test_nonsense(self, expression: str) -> None:
        with pytest.raises(ValueError, match="neither rate"):
            next_time(expression, datetime.now(UTC))


class TestService:
    def test_reads_what_serverless_says(self, service: Service) -> None:
        assert service.functions["slow"].timeout_seconds == 1
        assert service.functions["echo"].timeout_seconds == 5
        assert [schedule.expression for schedule in service.functions["nightly"].schedules] == ["rate(1 day)"]
        queue = service.queues["WorkQueue"]
        assert (queue.name, queue.dead_letter_queue, queue.max_receive_count) == ("work", "WorkDeadLetterQueue", 2)
        assert service.queue_urls("http://sqs") == {"WORK_QUEUE_URL": "http://sqs/123456789012/work"}

    def test_variables(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("APP_URL", "https://app.example")
        (tmp_path / "included.yml").write_text("inner: {timeout: 7}")
        (tmp_path / "serverless.yml").write_text(
            "provider:\n  runtime: ${file(made/later.json):runtime}\n  timeout: ${file(included.yml):inner.timeout}\n"
            "  httpApi: {cors: {allowedOrigins: [\"${env:APP_URL, 'http://localhost:3000'}\"]}}\n"
            "functions: {a: {handler: m.a, environment: {X: '${ssm:/secret}'}}}\n"
        )
        service = read_service(tmp_path / "serverless.yml")
        assert service.functions["a"].timeout_seconds == 7
        assert service.cors is not None
        assert service.cors.origins == ("https://app.example",)

    @pytest.mark.parametrize("text", ["functions: [", "functions: {a: {events: []}}", "functions: 5"])
    def test_a_broken_file_is_one_sentence(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "serverless.yml").write_text(text)
        with pytest.raises(StackError, match=r"^serverless\.yml cannot be read"):
            read_service(tmp_path / "serverless.yml")

    def test_the_real_one_can_be_read(self) -> None:
        service = read_service()
        assert {queue.name for _, _, queue in service.queue_sources()} <= {"sync", "analyze", "seo"}
        for queue in service.queues.values():
            assert queue.name.endswith("dead-letter") or queue.max_receive_count > 0
