"""Reads `serverless.yml` and the resources it includes, as far as they say what calls which handler.

Serverless Framework syntax: https://github.com/oss-serverless/serverless (osls). Variables are left alone except
`${file(...)}` and the `${env:...}` of CORS: settings come from the environment, here as on Lambda.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.local.problems import StackError
from infra.local.runner.events import ACCOUNT

SERVERLESS = Path(__file__).parents[3] / "serverless.yml"
DEFAULT_TIMEOUT_SECONDS = 6.0
DEFAULT_VISIBILITY_SECONDS = 30
ENV_VARIABLE = re.compile(r"\$\{env:(?P<name>\w+)(?:,\s*'(?P<default>[^']*)')?\}")
FILE_VARIABLE = re.compile(r"\$\{file\(([^)]+)\)(?::([\w.]+))?\}")


@dataclass(frozen=True)
class HttpRoute:
    """One `httpApi` event. `method` is upper case or ANY; `path` may hold {parameters} and a last {greedy+}."""

    method: str
    path: str

    @property
    def key(self) -> str:
        return "$default" if self.path == "$default" else f"{self.method} {self.path}"


@dataclass(frozen=True)
class Schedule:
    """One `schedule` event: rate(...) or cron(...), and the event to send if it is not the usual one."""

    expression: str
    payload: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class QueueSource:
    """One `sqs` event: which queue (logical id), how many messages a call, whether single ones may fail."""

    queue: str
    batch_size: int
    reports_failures: bool


@dataclass(frozen=True)
class Queue:
    """One AWS::SQS::Queue. `name` is the same on every machine; the deployed one carries the stage."""

    logical_id: str
    name: str
    visibility_seconds: int
    dead_letter_queue: str | None
    max_receive_count: int


@dataclass(frozen=True)
class Function:
    """One function block."""

    name: str
    handler: str
    timeout_seconds: float
    routes: tuple[HttpRoute, ...]
    schedules: tuple[Schedule, ...]
    sources: tuple[QueueSource, ...]


@dataclass(frozen=True)
class Cors:
    """What the HTTP API itself answers to browsers; None as `origins` means any."""

    origins: tuple[str, ...] | None
    methods: tuple[str, ...]
    headers: tuple[str, ...]
    exposed: tuple[str, ...]
    credentials: bool
    max_age_seconds: int | None


@dataclass(frozen=True)
class Service:
    """All of it."""

    functions: Mapping[str, Function]
    queues: Mapping[str, Queue]
    queue_variables: Mapping[str, str]
    cors: Cors | None

    def queue_urls(self, endpoint_url: str) -> dict[str, str]:
        """Values for the environment variables that hold a queue's URL."""
        references = self.queue_variables.items()
        return {variable: queue_url(endpoint_url, self.queues[target].name) for variable, target in references}

    def queue_sources(self) -> Iterator[tuple[Function, QueueSource, Queue]]:
        """Every queue that feeds a function."""
        for function in self.functions.values():
            for source in function.sources:
                yield function, source, self.queues[source.queue]


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: `!GetAtt A.B` becomes {"Fn::GetAtt": ["A", "B"]}."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix == "Ref" else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def queue_url(endpoint_url: str, name: str) -> str:
    """Where SQS serves the queue `name`."""
    return f"{endpoint_url.rstrip('/')}/{ACCOUNT}/{name}"


def read_service(path: Path = SERVERLESS) -> Service:
    """Parse `path`. StackError, in one sentence, if it cannot be understood."""
    try:
        raw = _load(path)
        # Which Python runs the functions is this one; on AWS it is what `make package` has written down.
        raw.get("provider", {}).pop("runtime", None)
        document = _include(raw, path.parent)
        queues = {queue.logical_id: queue for queue in _queues(document)}
        provider = document.get("provider", {})
        functions = {
            name: _function(name, block, provider, queues) for name, block in document.get("functions", {}).items()
        }
        return Service(
            functions=functions,
            queues=queues,
            queue_variables=_queue_variables(document, queues),
            cors=_cors((provider.get("httpApi") or {}).get("cors")),
        )
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise StackError(f"{path.name} cannot be read: {reason}") from error


def _load(path: Path) -> Any:
    with path.open() as file:
        return yaml.load(file, _Loader)  # noqa: S506 - _Loader is a SafeLoader


def _include(value: Any, folder: Path) -> Any:
    """Replace `${file(x.yml)}` and `${file(x.yml):key}`; a file that is only made by packaging stays out."""
    if isinstance(value, dict):
        return {key: _include(inner, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [_include(inner, folder) for inner in value]
    found = FILE_VARIABLE.fullmatch(value) if isinstance(value, str) else None
    if not found or not (folder / found[1].strip()).exists():
        return value
    included = _load(folder / found[1].strip())
    for key in found[2].split(".") if found[2] else ():
        included = included[key]
    return _include(included, folder)


def _resources(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    parts = document.get("resources") or []
    for part in parts if isinstance(parts, list) else [parts]:
        yield from (part.get("Resources") or {}).items()


def _queues(document: Mapping[str, Any]) -> Iterator[Queue]:
    for logical_id, resource in _resources(document):
        if resource.get("Type") != "AWS::SQS::Queue":
            continue
        properties = resource.get("Properties") or {}
        redrive = properties.get("RedrivePolicy") or {}
        yield Queue(
            logical_id=logical_id,
            name=_kebab(logical_id).removesuffix("-queue"),
            visibility_seconds=int(properties.get("VisibilityTimeout", DEFAULT_VISIBILITY_SECONDS)),
            dead_letter_queue=_logical_id(redrive.get("deadLetterTargetArn")) if redrive else None,
            max_receive_count=int(redrive.get("maxReceiveCount", 0)),
        )


def _queue_variables(document: Mapping[str, Any], queues: Mapping[str, Queue]) -> dict[str, str]:
    """Environment variables that hold a queue's URL (`!Ref SyncQueue`) -> its logical id."""
    blocks = [document.get("provider", {}), *document.get("functions", {}).values()]
    references = {}
    for block in blocks:
        for name, value in (block.get("environment") or {}).items():
            if isinstance(value, dict) and value.get("Ref") in queues:
                references[str(name)] = str(value["Ref"])
    return references


def _function(
    name: str, block: Mapping[str, Any], provider: Mapping[str, Any], queues: Mapping[str, Queue]
) -> Function:
    routes: list[HttpRoute] = []
    schedules: list[Schedule] = []
    sources: list[QueueSource] = []
    for event in block.get("events") or []:
        kind: str
        value: Any
        ((kind, value),) = event.items()
        if kind == "httpApi":
            routes.append(_route(value))
        elif kind == "schedule":
            schedules.extend(_schedules(value))
        elif kind == "sqs":
            source = QueueSource(
                queue=_logical_id(value["arn"]),
                batch_size=int(value.get("batchSize", 10)),
                reports_failures=value.get("functionResponseType") == "ReportBatchItemFailures",
            )
            if source.queue not in queues:
                raise ValueError(f"{name} reads from {source.queue}, which is not among the resources")
            sources.append(source)
    return Function(
        name=name,
        handler=str(block["handler"]).replace("/", "."),
        timeout_seconds=float(block.get("timeout", provider.get("timeout", DEFAULT_TIMEOUT_SECONDS))),
        routes=tuple(routes),
        schedules=tuple(schedules),
        sources=tuple(sources),
    )


def _route(value: Any) -> HttpRoute:
    if isinstance(value, str):
        if value in ("*", "$default"):
            return HttpRoute("ANY", "$default")
        method, _, path = value.partition(" ")
    else:
        method, path = str(value["method"]), str(value["path"])
    return HttpRoute("ANY" if method in ("*", "any") else method.upper(), path)


def _schedules(value: Any) -> Iterator[Schedule]:
    block = value if isinstance(value, dict) else {"rate": value}
    if block.get("enabled", True):
        rates = block["rate"] if isinstance(block["rate"], list) else [block["rate"]]
        yield from (Schedule(str(rate), block.get("input")) for rate in rates)


def _cors(value: Any) -> Cors | None:
    if not value:
        return None
    block = value if isinstance(value, dict) else {}

    def words(key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        given = block.get(key, default)
        return tuple(given) if isinstance(given, list | tuple) else (str(given),)

    origins = tuple(ENV_VARIABLE.sub(_from_environment, origin) for origin in words("allowedOrigins", ("*",)))
    any_origin = "*" in origins
    standard = ("Content-Type", "X-Amz-Date", "Authorization", "X-Api-Key", "X-Amz-Security-Token", "X-Amz-User-Agent")
    return Cors(
        origins=None if any_origin else origins,
        methods=words("allowedMethods", ("OPTIONS", "GET", "POST", "PUT", "PATCH", "DELETE")),
        headers=words("allowedHeaders", standard),
        exposed=words("exposedResponseHeaders", ()),
        credentials=bool(block.get("allowCredentials", False)),
        max_age_seconds=int(block["maxAge"]) if "maxAge" in block else None,
    )


def _from_environment(variable: re.Match[str]) -> str:
    return os.environ.get(variable["name"]) or variable["default"] or ""


def _logical_id(value: Any) -> str:
    """`SyncQueue` out of !GetAtt SyncQueue.Arn, in any of its spellings."""
    if isinstance(value, dict):
        target = value.get("Fn::GetAtt", value.get("Ref"))
        return str(target[0] if isinstance(target, list) else str(target).partition(".")[0])
    return str(value).rpartition(":")[2]


def _kebab(logical_id: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", logical_id).lower()
