"""Stripe's request bodies: form fields whose names spell out nested objects and lists (`items[0][price]=…`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from infra.local.upstream.messages import Refusal, json_response


def refuse(message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> Refusal:
    """Stripe's error body, as an exception that answers with it."""
    kind = {401: "authentication_error", 402: "card_error", 429: "rate_limit_error"}.get(
        status, "invalid_request_error"
    )
    error = {"type": kind, "message": message, "param": param, "code": code}
    return Refusal(json_response({"error": {k: v for k, v in error.items() if v is not None}}, status))


def nested(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """`a[b][0][c]=x` pairs as nested dicts; lists (`a[0]=…`, `a[]=…`) become lists in the order of their indexes."""
    tree: dict[str, Any] = {}
    for name, value in pairs:
        head, *rest = [re.match(r"[^\[\]]*", name)[0], *re.findall(r"\[([^\]]*)\]", name)]  # type: ignore[index]
        node = tree
        for key, following in zip([head, *rest], [*rest, None], strict=True):
            place = key or str(len(node))
            if following is None:
                node[place] = value
            else:
                inner = node.setdefault(place, {})
                if not isinstance(inner, dict):
                    raise refuse(f"Invalid object: {name}", param=name)
                node = inner
    return {key: _lists(value) for key, value in tree.items()}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(item) for key, item in value.items()}
    if inner and all(key.isdigit() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner


class Params:
    """The parameters of one call. What nobody took by the end is refused, as Stripe refuses unknown parameters."""

    def __init__(self, values: dict[str, Any], path: str = "", *, base_url: str = "") -> None:
        self._values = dict(values)
        self._path = path
        self.base_url = base_url  # under which address the simulator was reached, for links to its pages
        self._inner: list[Params] = []

    def _name(self, key: str) -> str:
        return f"{self._path}[{key}]" if self._path else key

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def peek(self, key: str) -> Any:
        """What was sent for `key`, untouched; for parameters that may be an object or an empty string."""
        return self._values.get(key)

    def text(self, key: str, default: str | None = None) -> str | None:
        """A string; the empty string unsets a field, which is None here."""
        value = self._values.pop(key, default)
        if isinstance(value, (dict, list)):
            raise refuse(f"Invalid string: {self._name(key)}", param=self._name(key))
        return value or None

    def needed(self, key: str) -> str:
        value = self.text(key)
        if value is None:
            raise refuse(f"Missing required param: {self._name(key)}.", param=self._name(key), code="parameter_missing")
        return value

    def integer(self, key: str, default: int | None = None) -> int | None:
        value = self.text(key)
        if value is None:
            return default
        try:
            return int(value)
        except ValueError:
            raise refuse(f"Invalid integer: {value}", param=self._name(key), code="parameter_invalid_integer") from None

    def flag(self, key: str, default: bool = False) -> bool:
        return {"true": True, "false": False, None: default}.get(self.text(key), default)

    def object(self, key: str) -> Params:
        value = self._values.pop(key, None) or {}
        if not isinstance(value, dict):
            raise refuse(f"Invalid object: {self._name(key)}", param=self._name(key))
        inner = Params(value, self._name(key))
        self._inner.append(inner)
        return inner

    def objects(self, key: str) -> list[Params]:
        value = self._values.pop(key, None) or []
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise refuse(f"Invalid array: {self._name(key)}", param=self._name(key))
        found = [Params(one, f"{self._name(key)}[{index}]") for index, one in enumerate(value)]
        self._inner.extend(found)
        return found

    def words(self, key: str) -> list[str]:
        value = self._values.pop(key, None) or []
        return [str(one) for one in value] if isinstance(value, list) else [str(value)]

    def texts(self, key: str) -> dict[str, str]:
        """A flat object such as `metadata`."""
        value = self._values.pop(key, None) or {}
        if not isinstance(value, dict):
            raise refuse(f"Invalid hash: {self._name(key)}", param=self._name(key))
        return {name: str(text) for name, text in value.items()}

    def plain(self, *keys: str) -> dict[str, Any]:
        """Fields that are stored as they came."""
        return {key: self._values.pop(key) for key in keys if key in self._values}

    def finish(self) -> None:
        """Refuse what is left over."""
        for key in self._values:
            raise refuse(
                f"Received unknown parameter: {self._name(key)}", param=self._name(key), code="parameter_unknown"
            )
        for inner in self._inner:
            inner.finish()
