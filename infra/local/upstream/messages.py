"""What goes in and out of a simulator: plain requests and answers, no HTTP framework.

A handler takes a `Request` and returns a `Response`; it may raise `Refusal` from any depth to answer at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

JSON_TYPE = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the real host would see it.

    `host` is the real host's name, `path` starts with a slash and is percent-decoded (`route_path` too,
    but for `%2F`,
    so that an identifier with slashes stays one segment), `headers` have lower-case names, `query` holds each
    parameter's last value (`query_pairs` all of them), `base_url` is where this process is reached.
    """

    host: str
    method: str
    path: str
    query_pairs: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes
    base_url: str = ""
    route_path: str = ""

    @property
    def query(self) -> dict[str, str]:
        return dict(self.query_pairs)

    @property
    def origin(self) -> str:
        """The base URL that stands for `https://{host}` here; what links in answers begin with."""
        return f"{self.base_url}/{self.host}"

    def form(self) -> dict[str, str]:
        """The fields of a urlencoded or multipart body; {} for any other content type."""
        content_type = self.headers.get("content-type", "")
        if content_type.startswith("multipart/form-data"):
            return _multipart_fields(content_type, self.body)
        if content_type.startswith("application/x-www-form-urlencoded"):
            return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))
        return {}

    def json(self) -> dict[str, Any]:
        """The JSON object in the body; {} for an empty body; ValueError for anything else."""
        if not self.body.strip():
            return {}
        value = json.loads(self.body)
        if not isinstance(value, dict):
            raise ValueError("the body is not a JSON object")  # noqa: TRY004 - a bad value, as bad JSON is
        return value

    def bearer(self) -> str:
        """The token of `Authorization: Bearer …`, or ''."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; `delay_seconds` is slept before it goes out (a slow model, a slow search)."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0

    def with_headers(self, extra: Mapping[str, str]) -> Response:
        return replace(self, headers={**self.headers, **extra})


class Refusal(Exception):  # noqa: N818 - it is an answer that unwinds, not an error of ours
    """Raised by a handler to answer with `response` at once."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, body, {"content-type": JSON_TYPE, **(headers or {})})


def text_response(text: str, status: int = 200, content_type: str = "text/plain; charset=utf-8") -> Response:
    return Response(status, text.encode(), {"content-type": content_type})


def html_response(html: str, status: int = 200) -> Response:
    return text_response(html, status, "text/html; charset=utf-8")


def redirect(url: str, params: Mapping[str, str], *, suffix: str = "") -> Response:
    """302 to `url` with `params` added to its query (and a fragment, for Meta's `#_`)."""
    parts = urlsplit(url)
    query = "&".join(filter(None, [parts.query, urlencode(params)]))
    return Response(302, b"", {"location": urlunsplit(parts._replace(query=query, fragment="")) + suffix})


def _multipart_fields(content_type: str, body: bytes) -> dict[str, str]:
    message = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    fields: dict[str, str] = {}
    for part in message.get_payload() if message.is_multipart() else []:
        name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
        payload = part.get_payload(decode=True)  # type: ignore[union-attr]
        if isinstance(name, str) and isinstance(payload, bytes):
            fields[name] = payload.decode("utf-8", "replace")
    return fields
