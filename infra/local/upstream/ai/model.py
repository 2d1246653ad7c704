"""The simulated model: fills any JSON schema from the words of what it was asked about, the same for the same question.

It is as gullible as a model can be: told to by the text that it reads, it quotes its instructions. Tests rely on that.
What it does next can be ordered by `Order`s, which stand for what real models do now and then.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

KINDS = (
    "refusal",
    "blocked",
    "truncated",
    "not_json",
    "wrong_schema",
    "not_a_number",
    "huge",
    "extra_keys",
    "empty",
    "text",
    "no_usage",
    "rate_limited",
    "overloaded",
    "no_credit",
    "bad_key",
    "server_error",
)
HUGE_CHARACTERS = 1_100_000
_PLEASE_LEAK = re.compile(
    r"(reveal|print|repeat|output|show|reproduce)[^.]{0,60}(system|instructions|prompt|above)", re.I
)


@dataclass(slots=True)
class Order:
    """What the next `times` answers are like. `text` is the answer's text for kind 'text'."""

    kind: str
    times: int = 1
    text: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """`finish` is stop, length, refusal or blocked; tokens are None where the usage is to be left out."""

    text: str
    finish: str
    prompt_tokens: int | None
    completion_tokens: int | None


def tokens(text: str) -> int:
    """A rough count, at least 1."""
    return max(1, len(text) // 4)


def reply(system: str, user: str, schema: dict[str, Any], order: Order | None) -> Reply:
    """The model's answer to a question, or what was ordered instead."""
    kind = order.kind if order else ""
    answer = fill(schema, system, user)
    text = json.dumps(answer, ensure_ascii=False)
    finish = "stop"
    if kind == "refusal":
        text, finish = "I can't help with that.", "refusal"
    elif kind == "blocked":
        text, finish = "", "blocked"
    elif kind == "truncated":
        text, finish = text[: len(text) // 2], "length"
    elif kind == "not_json":
        text = "Sure! Here are some ideas: " + text[:-5]
    elif kind == "wrong_schema":
        text = json.dumps(dict.fromkeys(answer, 7))
    elif kind == "not_a_number":
        text = re.sub(r'("confidence_score": )[0-9.]+', r"\1NaN", text)
    elif kind == "huge":
        text = json.dumps({**answer, "suggested_description": "word " * (HUGE_CHARACTERS // 5)})
    elif kind == "extra_keys":
        text = json.dumps({**answer, "is_applied": True, "user_id": "somebody else", "total_cost_cents": 0})
    elif kind == "empty":
        text = ""
    elif kind == "text" and order is not None:
        text = order.text
    asked = tokens(system + user)
    return Reply(text, finish, *((None, None) if kind == "no_usage" else (asked, tokens(text))))


def fill(schema: dict[str, Any], system: str, user: str) -> dict[str, Any]:
    """An object that follows `schema`, from the titles and words of the question."""
    found = _document(user)
    item = found.get("item") if isinstance(found.get("item"), dict) else {}
    assert isinstance(item, dict)
    title = str(item.get("title") or item.get("description") or "Untitled")[:90]
    words = list(dict.fromkeys(re.findall(r"[^\W\d_]{4,}", f"{title} {item.get('description') or ''}")))[:12]
    if _PLEASE_LEAK.search(user):
        title, words = system[:95], [system[-80:], *words]
    texts = [title, f"{title}: {' and '.join(words[:2])}", *words]
    return {name: _value(name, shape, texts, words) for name, shape in (schema.get("properties") or {}).items()}


def _value(name: str, shape: dict[str, Any], texts: list[str], words: list[str]) -> Any:
    if "enum" in shape:
        return shape["enum"][0]
    kind = shape.get("type")
    if kind == "array":
        return texts[:3] if "title" in name else words[:6]
    if kind in {"number", "integer"}:
        return 0.75
    return f"{texts[0]}. {' '.join(words)}." if "description" in name else words[0] if words else ""


def _document(user: str) -> dict[str, Any]:
    start, end = user.find("{"), user.rfind("}")
    try:
        value = json.loads(user[start : end + 1])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
