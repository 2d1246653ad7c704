"""What a simulator is: a provider with hosts, routes and control routes over state in memory.

A provider subclasses `Provider`, lists its `hosts`, and returns `Route`s; see README.md for a whole example.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from infra.local.upstream.clock import Clock
from infra.local.upstream.messages import Request, Response, json_response

# `Handler(request, *values)` with one positional string for each {placeholder} of the route's pattern, in
# order.
Handler = Callable[..., Response]
ProviderType = TypeVar("ProviderType", bound="Provider")


@dataclass(frozen=True, slots=True)
class Route:
    """`pattern` is a path with {placeholders}; `{name}` stands for one segment, `{name*}` for the rest of
    the path.
    """

    method: str
    host: str  # "" for control routes
    pattern: str
    handler: Handler

    def compile(self) -> re.Pattern[str]:
        literal = re.split(r"(\{\w+\*?\})", self.pattern)
        parts = [
            ("(.*)" if piece.endswith("*}") else "([^/]+)") if piece.startswith("{") else re.escape(piece)
            for piece in literal
        ]
        return re.compile("".join(parts))


class World:
    """What all simulators of one process share: the clock and each other."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.providers: dict[str, Provider] = {}

    def get(self, kind: type[ProviderType]) -> ProviderType:
        """Another provider, for those that share accounts or tokens (Google's APIs and Google's sign-in)."""
        provider = self.providers[kind.name]
        assert isinstance(provider, kind)
        return provider


class Provider(ABC):
    """One vendor. State is made by `reset`, which `__init__` calls, so that a reset is a fresh start."""

    name: str
    hosts: tuple[str, ...]

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock = world.clock
        self.reset()

    @abstractmethod
    def reset(self) -> None:
        """Forget everything and seed anew."""

    @abstractmethod
    def routes(self) -> Sequence[Route]:
        """What the real hosts serve."""

    def controls(self) -> Sequence[Route]:
        """Routes under `/_sim/{name}`, patterns relative to it, host ''."""
        return ()

    def not_found(self, request: Request) -> Response:
        """The vendor's answer to a path that does not exist."""
        return json_response({"error": f"no such resource: {request.method} {request.path}"}, 404)
