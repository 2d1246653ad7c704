"""CSV bodies: a header and records, read as PostgREST's parser reads them, whose complaints these are.

Lines end in any of LF, CRLF and CR, the header's must. Quotes belong around whole fields; who forgets the closing one
loses the last byte of the body. Empty lines do not count.
"""

from __future__ import annotations

import re

from infra.local.data_api import errors
from infra.local.data_api.parsing import show

_FIELD = re.compile(r'"(?P<quoted>[^"]*(?:""[^"]*)*)(?P<closing>"?)|(?P<plain>[^",\r\n]*)')
_LINE_END = re.compile(r"\r?\n|\r")
_SHOWN = 100  # of what could not be read


def read_csv(body: bytes) -> list[dict[str, str]]:
    """What each record says for the names of the header; it may lack fields, and those in excess are dropped."""
    text = body.decode("latin-1")  # bytes, until a field is whole
    header, position = _record(text, 0)
    position = _line_end(text, position)
    rows = []
    while True:
        record, position = _record(text, position)
        if record != [""]:
            rows.append(dict(zip(header, record, strict=False)))
        if position == len(text):
            return rows
        position = _line_end(text, position)


def _record(text: str, position: int) -> tuple[list[str], int]:
    fields = []
    while True:
        field, position = _field(text, position)
        fields.append(field)
        if text[position : position + 1] != ",":
            return fields, position
        position += 1


def _field(text: str, position: int) -> tuple[str, int]:
    found = _FIELD.match(text, position)
    assert found is not None  # the empty field matches anywhere
    field = found["plain"]
    if field is None:
        field = found["quoted"] if found["closing"] else found["quoted"][:-1]
        if not field and not found["closing"]:
            raise _unreadable("Failed reading: trailing double quote", text, found.end())
        field = field.replace('""', '"')
    try:
        return field.encode("latin-1").decode(), found.end()
    except UnicodeDecodeError:
        raise _unreadable("Failed reading: conversion error: invalid UTF-8", text, found.end()) from None


def _line_end(text: str, position: int) -> int:
    found = _LINE_END.match(text, position)
    if found is None:
        at_end = position == len(text)
        raise _unreadable("not enough input" if at_end else "Failed reading: satisfy", text, position)
    return found.end()


def _unreadable(problem: str, text: str, position: int) -> errors.ApiError:
    rest = text[position:]
    shown = show(rest) if len(rest) <= _SHOWN else f"{rest[:_SHOWN]} (truncated)"
    return errors.bad_body(f"parse error ({problem}) at {shown}")
