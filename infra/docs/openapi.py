"""OpenAPI 3.1 of all routes, put together from the functions' own apps; routes without a framework are written here."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from fastapi import FastAPI

from functions import __version__
from functions.core import settings

ROOT = Path(__file__).resolve().parents[2]
SIGNED_IN: list[dict[str, list[str]]] = [{"accessToken": []}]
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable, for programs."},
        "detail": {"type": "string", "description": "For people."},
        "request_id": {"type": "string"},
    },
}
ERRORS = {
    "description": "A problem document (RFC 9457).",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
WITHOUT_FRAMEWORK: dict[str, dict[str, Any]] = {
    "/health": {
        "get": {
            "summary": "Health",
            "tags": ["Operation"],
            "responses": {"200": {"description": "`{status, version}`", "content": {"application/json": {}}}},
        }
    },
    "/unsubscribe": {
        method: {
            "summary": summary,
            "description": "What the links and List-Unsubscribe headers of e-mails name.",
            "tags": ["Notices"],
            "parameters": [
                {"name": "token", "in": "query", "required": True, "schema": {"type": "string", "format": "uuid"}},
                {"name": "kind", "in": "query", "required": True, "schema": {"enum": ["notice", "digest"]}},
            ],
            "responses": {
                "200": {"description": "A page that says so.", "content": {"text/html": {}}},
                "400": ERRORS,
                "404": ERRORS,
                "422": ERRORS,
            },
        }
        for method, summary in (("get", "Ask before unsubscribing"), ("post", "Switch a kind of e-mail off"))
    },
    "/stripe/webhook": {
        "post": {
            "summary": "Stripe's events",
            "description": "For Stripe alone: the signature over the raw body decides.",
            "tags": ["Billing"],
            "parameters": [
                {"name": "Stripe-Signature", "in": "header", "required": True, "schema": {"type": "string"}}
            ],
            "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
            "responses": {"200": {"description": "Committed or ignored."}, "400": ERRORS, "413": ERRORS, "503": ERRORS},
        }
    },
}


def document() -> dict[str, Any]:
    """The whole description. Raises ValueError if serverless.yml has a route that it lacks, or the other way round."""
    paths: dict[str, Any] = dict(WITHOUT_FRAMEWORK)
    schemas: dict[str, Any] = {"Problem": PROBLEM}
    for app in _apps():
        part = app.openapi()
        schemas |= part.get("components", {}).get("schemas", {})
        for path, operations in part["paths"].items():
            paths.setdefault(path, {}).update(
                {method: _finished(operation, app.title) for method, operation in operations.items()}
            )
    _compare_with_gateway(paths)
    return {
        "openapi": "3.1.0",
        "info": {"title": "StreamVibe", "version": __version__, "description": "The HTTP functions."},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"accessToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def page() -> str:
    """The document as JSON text."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _apps() -> list[FastAPI]:
    """The app of each module under functions/ that makes one."""
    modules = []
    for path in sorted((ROOT / "functions").rglob("*.py")):
        if "create_app(" in path.read_text(encoding="utf-8") and path.parent.name != "core":
            modules.append(".".join(path.relative_to(ROOT).with_suffix("").parts))
    with _some_settings():
        return [importlib.import_module(module).app for module in modules]


@contextmanager
def _some_settings() -> Iterator[None]:
    """Modules want their settings when they are loaded; what the values are makes no difference to the routes."""
    missing = [one.name for one in settings.all_settings() if one.default is None and one.name not in os.environ]
    os.environ.update(dict.fromkeys(missing, "https://placeholder.example"))
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]


def _finished(operation: dict[str, Any], tag: str) -> dict[str, Any]:
    """An operation with our errors in place of FastAPI's, and with the way to sign in."""
    answers = {code: answer for code, answer in operation["responses"].items() if code != "422"}
    parameters = [one for one in operation.get("parameters", []) if one["name"].lower() != "authorization"]
    needs_user = len(parameters) < len(operation.get("parameters", []))
    finished = {**operation, "tags": [tag], "responses": {**answers, "default": ERRORS}, "parameters": parameters}
    return finished | ({"security": SIGNED_IN} if needs_user else {})


def _compare_with_gateway(paths: dict[str, Any]) -> None:
    service = yaml.safe_load((ROOT / "serverless.yml").read_text(encoding="utf-8"))
    routed = {
        (event["httpApi"]["method"].lower(), _shape(event["httpApi"]["path"]))
        for function in service["functions"].values()
        for event in function.get("events", [])
        if "httpApi" in event and event["httpApi"] != "*"  # the answer to what is no route
    }
    described = {(method, _shape(path)) for path, operations in paths.items() for method in operations}
    if routed != described:
        raise ValueError(f"Routes of serverless.yml and of the functions differ: {sorted(routed ^ described)}")


def _shape(path: str) -> str:
    """A path with its parameters' names left out: the gateway's may differ from the function's."""
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))
