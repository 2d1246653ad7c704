"""Parser combinators whose error texts are Parsec's, because PostgREST's PGRST100 bodies show them.

A parser is a function `(text, position) -> Reply`. The error that a reply carries is the one that the next failure at
the same place merges with, which is how `expecting letter, digit, "-" or end of input` comes about; a later position
wins over an earlier one, `attempt` undoes consumption but keeps the position of the failure, and `label` renames what a
parser expects unless it consumed input.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

# Kinds of messages, in the order in which Parsec shows them.
_SYSTEM, _UNEXPECTED, _EXPECTED, _MESSAGE = range(4)


class Failure(NamedTuple):
    """Where parsing got stuck and the messages about it."""

    position: int
    messages: tuple[tuple[int, str], ...]


class Reply(NamedTuple):
    """The outcome of a parser."""

    ok: bool
    consumed: bool
    value: Any
    position: int
    failure: Failure


Parser = Callable[[str, int], Reply]


class ParseError(Exception):
    """`message` names the place, `details` what was found and what expected."""

    def __init__(self, message: str, details: str) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


def run(parser: Parser, name: str, text: str) -> Any:
    """The value of `parser` on `text`; raise ParseError, which calls the input `name`."""
    reply = parser(text, 0)
    if reply.ok:
        return reply.value
    raise ParseError(f'"{name}" {_place(text, reply.failure.position)}', _describe(reply.failure))


def _place(text: str, position: int) -> str:
    line, column = 1, 1
    for character in text[:position]:
        if character == "\n":
            line, column = line + 1, 1
        elif character == "\t":
            column += 8 - (column - 1) % 8
        else:
            column += 1
    return f"(line {line}, column {column})"


def _describe(failure: Failure) -> str:
    of_kind: list[list[str]] = [[], [], [], []]
    for kind, text in failure.messages:
        of_kind[kind].append(text)
    system, unexpected, expected, raw = of_kind
    if system and not unexpected:
        unexpected = [system[0] or "end of input"]
    parts = [_enumerate("unexpected ", unexpected), _enumerate("expecting ", expected), _enumerate("", raw)]
    shown = " ".join(part for part in parts if part)
    return (shown or "unknown parse error").replace("\n", " ").strip()


def _enumerate(prefix: str, items: list[str]) -> str:
    unique = [item for item in dict.fromkeys(items) if item]
    if not unique:
        return ""
    return prefix + (unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} or {unique[-1]}")


def _merge(first: Failure, second: Failure) -> Failure:
    if not second.messages and first.messages:
        return first
    if not first.messages and second.messages:
        return second
    if first.position != second.position:
        return first if first.position > second.position else second
    return Failure(first.position, first.messages + second.messages)


# The escapes of Haskell's `show`, in which Parsec quotes what it found.
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r"}
_ESCAPES |= {"\t": "\\t", "\v": "\\v", "\x7f": "\\DEL"}


def show(text: str) -> str:
    """`text` in quotes, as Haskell shows strings."""
    shown = "".join(_ESCAPES.get(c, c) if " " <= c <= "\x7f" or c in _ESCAPES else f"\\{ord(c)}" for c in text)
    return f'"{shown}"'


def _show_character(character: str) -> str:
    """`character` in single quotes, as Parsec shows what `end` and `not_followed_by` ran into."""
    return "'" + show(character)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"


def _found(text: str, position: int) -> tuple[int, str]:
    return (_SYSTEM, show(text[position]) if position < len(text) else "")


def nothing(position: int) -> Failure:
    """No error at all."""
    return Failure(position, ())


# --- primitives -----------------------------------------------------------------------------------------------------


def succeed(value: Any) -> Parser:
    """Consume nothing, yield `value`."""
    return lambda _text, position: Reply(True, False, value, position, nothing(position))


def literal(expected: str, value: Any = None) -> Parser:
    """Exactly this string; yield it, or `value`. A partial match counts as consumed input, as in Parsec."""
    result = expected if value is None else value
    messages = ((_EXPECTED, show(expected)),)

    def parse(text: str, position: int) -> Reply:
        if text.startswith(expected, position):
            end = position + len(expected)
            return Reply(True, True, result, end, nothing(end))
        matched = 0
        while position + matched < len(text) and text[position + matched] == expected[matched]:
            matched += 1
        failure = Failure(position, (_found(text, position + matched), *messages))
        return Reply(False, matched > 0, None, position, failure)

    return parse


def run_of(pattern: str, *labels: str, least: int = 0) -> Parser:
    """The longest match of a character class, `least` or more characters; `labels` name what could follow."""
    match = re.compile(f"(?:{pattern})*", re.DOTALL).match
    expected = tuple((_EXPECTED, label) for label in labels)

    def parse(text: str, position: int) -> Reply:
        found = match(text, position)
        end = found.end() if found else position
        failure = Failure(end, (_found(text, end), *expected))
        if end - position < least:
            return Reply(False, end > position, None, position, failure)
        return Reply(True, end > position, text[position:end], end, failure)

    return parse


def one_of(pattern: str, *labels: str) -> Parser:
    """One character of a class."""
    match = re.compile(pattern, re.DOTALL).match
    expected = tuple((_EXPECTED, label) for label in labels)

    def parse(text: str, position: int) -> Reply:
        if match(text, position):
            return Reply(True, True, text[position], position + 1, nothing(position + 1))
        return Reply(False, False, None, position, Failure(position, (_found(text, position), *expected)))

    return parse


def rest(text: str, position: int) -> Reply:
    """All that is left."""
    end = len(text)
    return Reply(True, end > position, text[position:], end, Failure(end, ((_SYSTEM, ""),)))


def end(text: str, position: int) -> Reply:
    """The end of the input."""
    if position == len(text):
        return Reply(True, False, None, position, nothing(position))
    messages = ((_UNEXPECTED, _show_character(text[position])), (_EXPECTED, "end of input"))
    return Reply(False, False, None, position, Failure(position, messages))


# --- combinators ----------------------------------------------------------------------------------------------------


def sequence(*parsers: Parser, build: Callable[..., Any] | None = None) -> Parser:
    """All in turn; yield `build(*values)`, or the list of values."""

    def parse(text: str, position: int) -> Reply:
        values = []
        consumed = False
        failure = nothing(position)
        here = position
        for parser in parsers:
            reply = parser(text, here)
            failure = reply.failure if reply.consumed else _merge(failure, reply.failure)
            consumed = consumed or reply.consumed
            if not reply.ok:
                return Reply(False, consumed, None, position, failure)
            values.append(reply.value)
            here = reply.position
        return Reply(True, consumed, build(*values) if build else values, here, failure)

    return parse


def choice(*parsers: Parser) -> Parser:
    """The first that succeeds; one that fails after consuming input ends the choice."""

    def parse(text: str, position: int) -> Reply:
        failure = nothing(position)
        for parser in parsers:
            reply = parser(text, position)
            if reply.consumed:
                return reply
            failure = _merge(failure, reply.failure)
            if reply.ok:
                return reply._replace(failure=failure)
        return Reply(False, False, None, position, failure)

    return parse


def attempt(parser: Parser) -> Parser:
    """`parser`, but a failure consumes nothing."""

    def parse(text: str, position: int) -> Reply:
        reply = parser(text, position)
        return reply if reply.ok else reply._replace(consumed=False, position=position)

    return parse


def optional(parser: Parser, default: Any = None) -> Parser:
    """`parser`, or `default` if it fails without consuming input."""
    return choice(parser, succeed(default))


def many(parser: Parser) -> Parser:
    """`parser` as often as it succeeds; yield the list."""

    def parse(text: str, position: int) -> Reply:
        values: list[Any] = []
        here, consumed = position, False
        while True:
            reply = parser(text, here)
            if not reply.ok:
                if reply.consumed:
                    return Reply(False, True, None, position, reply.failure)
                return Reply(True, consumed, values, here, reply.failure)
            values.append(reply.value)
            here, consumed = reply.position, True

    return parse


def separated(parser: Parser, separator: Parser) -> Parser:
    """One or more, with a separator between; yield the list."""
    following = many(sequence(separator, parser, build=lambda _separator, value: value))
    return sequence(parser, following, build=lambda head, tail: [head, *tail])


def label(parser: Parser, name: str) -> Parser:
    """`parser`, which calls what it expects `name`."""

    def parse(text: str, position: int) -> Reply:
        reply = parser(text, position)
        if reply.consumed or (reply.ok and not reply.failure.messages):
            return reply
        kept = tuple(message for message in reply.failure.messages if message[0] != _EXPECTED)
        return reply._replace(failure=Failure(reply.failure.position, (*kept, (_EXPECTED, name))))

    return parse


def look_ahead(parser: Parser) -> Parser:
    """`parser` without consuming what it matches."""

    def parse(text: str, position: int) -> Reply:
        reply = parser(text, position)
        if not reply.ok:
            return reply
        return Reply(True, False, reply.value, position, nothing(position))

    return parse


def not_followed_by(pattern: str) -> Parser:
    """Succeed where the next character is not of this class."""
    match = re.compile(pattern, re.DOTALL).match

    def parse(text: str, position: int) -> Reply:
        if not match(text, position):
            return Reply(True, False, None, position, nothing(position))
        # Parsec has read the character by then, so its error stands behind it.
        messages = ((_UNEXPECTED, _show_character(text[position])),)
        return Reply(False, False, None, position, Failure(position + 1, messages))

    return parse


def mapped(parser: Parser, function: Callable[[Any], Any]) -> Parser:
    """`parser` with its value passed through `function`."""

    def parse(text: str, position: int) -> Reply:
        reply = parser(text, position)
        return reply._replace(value=function(reply.value)) if reply.ok else reply

    return parse


def later(parser: Callable[[], Parser]) -> Parser:
    """A parser that is defined further below, for grammars that recurse."""

    def parse(text: str, position: int) -> Reply:
        return parser()(text, position)

    return parse
