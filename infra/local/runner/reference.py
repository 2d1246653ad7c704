"""The page `/_local/docs`: docs/openapi.json as plain HTML, made here, so that it needs neither network nor script."""

import json
from html import escape
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[3] / "docs" / "openapi.json"
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}"
    "h2{font-size:1.1rem;margin-top:2.5rem;border-top:1px solid #ccc;padding-top:1rem}"
    "code,pre{font:14px ui-monospace,monospace}pre{background:#f4f4f4;padding:1rem;overflow:auto}"
    "td,th{text-align:left;padding-right:1.5rem;vertical-align:top}"
)


def page() -> str:
    """The whole page."""
    document: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    operations = [
        _operation(document, method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    title = escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f"<h1>{title} {escape(document['info']['version'])}</h1>"
        f"<p>{escape(document['info'].get('description', ''))}</p>{''.join(operations)}</html>"
    )


def _operation(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    who = "a signed-in user" if operation.get("security") else "anyone, or whoever signed the request"
    parts = [
        f"<h2><code>{method.upper()} {escape(path)}</code></h2>",
        f"<p>{escape(operation.get('description') or operation.get('summary') or '')}</p><p>For {who}.</p>",
    ]
    parameters = [
        f"<tr><td><code>{escape(one['name'])}</code><td>{escape(one['in'])}<td>{escape(one.get('description', ''))}"
        for one in operation.get("parameters", [])
    ]
    if parameters:
        parts.append(f"<table><tr><th>parameter<th>in<th>meaning{''.join(parameters)}</table>")
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = json.dumps(_resolved(document, content.get("schema", {})), indent=2)
        parts.append(f"<p>Body, <code>{escape(media_type)}</code>:</p><pre>{escape(schema)}</pre>")
    answers = [
        f"<tr><td><code>{escape(status)}</code><td>{escape(answer.get('description', ''))}"
        for status, answer in operation["responses"].items()
    ]
    parts.append(f"<table><tr><th>answer<th>meaning{''.join(answers)}</table>")
    return "".join(parts)


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that is named, by its content; inner names stay names."""
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name] if name else schema
    return found
