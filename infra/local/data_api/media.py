"""Media types: the Accept and Content-Type headers, and which handler produces what.

https://docs.postgrest.org/en/v14/references/api/resource_representation.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type. `strip_nulls` belongs to the vendored ones, `plan_*` to query plans."""

    name: str
    strip_nulls: bool = False
    plan_for: MediaType | None = None
    plan_options: tuple[str, ...] = ()

    @property
    def is_singular(self) -> bool:
        return self.name == "application/vnd.pgrst.object+json"

    @property
    def is_plan(self) -> bool:
        return self.plan_for is not None

    @property
    def mime(self) -> str:
        if self.plan_for is not None:
            options = f"; options={'|'.join(self.plan_options)}" if self.plan_options else ""
            return f'{self.name}; for="{self.plan_for.mime}"{options}'
        return f"{self.name};nulls=stripped" if self.strip_nulls else self.name

    @property
    def content_type(self) -> str:
        """The Content-Type header's value."""
        known = self.is_plan or self.name in _WITH_CHARSET
        return f"{self.mime}; charset=utf-8" if known else self.mime


JSON = MediaType("application/json")
ANY = MediaType("*/*")
OPENAPI = MediaType("application/openapi+json")
_WITH_CHARSET = {
    "application/json",
    "application/geo+json",
    "text/csv",
    "text/plain",
    "text/xml",
    "application/openapi+json",
    "application/x-www-form-urlencoded",
    "application/vnd.pgrst.object+json",
    "application/vnd.pgrst.array+json",
    "*/*",
}
_KNOWN = {*_WITH_CHARSET, "application/octet-stream"}
_PLAN_OPTIONS = ("analyze", "verbose", "settings", "buffers", "wal")


@lru_cache(maxsize=512)
def parse_media_type(text: str) -> MediaType:
    """`application/vnd.pgrst.object+json;nulls=stripped` -> MediaType; names of others stay as they are written."""
    head, *params = (part.strip() for part in text.split(";"))
    name = head.lower()
    strip = "nulls=stripped" in params
    if name in ("application/vnd.pgrst.object", "application/vnd.pgrst.object+json"):
        return MediaType("application/vnd.pgrst.object+json", strip_nulls=strip)
    if name in ("application/vnd.pgrst.array", "application/vnd.pgrst.array+json"):
        return MediaType("application/vnd.pgrst.array+json", strip_nulls=True) if strip else JSON
    plan = re.fullmatch(r"application/vnd\.pgrst\.plan(?:\+(text|json))?", name)
    if plan:
        given = dict(param.partition("=")[::2] for param in params)
        wanted = given.get("options", "").split("|")
        return MediaType(
            f"application/vnd.pgrst.plan+{plan.group(1) or 'text'}",
            plan_for=parse_media_type(given.get("for", "application/json").strip('"')),
            plan_options=tuple(option for option in _PLAN_OPTIONS if option in wanted),
        )
    return MediaType(name if name in _KNOWN else text)


@lru_cache(maxsize=512)
def _accepted(header: str) -> tuple[MediaType, ...]:
    if not header:
        return ()
    weighted = []
    for item in header.replace(" ", "").split(","):
        name, _, quality = item.partition(";q=")
        number = re.match(r"[0-9]+(\.[0-9]+)?", quality)
        specificity = name.count(";") - name.count("*")
        weighted.append((-(float(number.group()) if number else 1.0), -specificity, name))
    weighted.sort(key=lambda entry: entry[:2])
    return tuple(parse_media_type(name) for _, _, name in weighted)


def parse_accept(header: str) -> list[MediaType]:
    """The accepted media types, the most wanted first; of equal weight the more specific, then the earlier."""
    return list(_accepted(header))
