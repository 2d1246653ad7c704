"""The page of the routes names every one of them and loads nothing from elsewhere."""

import json

import httpx

from infra.local.runner import reference
from infra.local.runner.gateway import HttpApi
from infra.local.runner.invoke import Invoker
from infra.local.runner.service import read_service
from tests.local.servers import serving


def test_the_page_names_every_operation_and_loads_nothing() -> None:
    invoker = Invoker(threads=1)
    try:
        with serving(HttpApi(read_service(), invoker)) as url:
            answer = httpx.get(f"{url}/_local/docs")
    finally:
        invoker.close()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for path, methods in json.loads(reference.DOCUMENT.read_text(encoding="utf-8"))["paths"].items():
        for method in methods:
            assert f"<code>{method.upper()} {path}</code>" in answer.text
    assert not any(loading in answer.text for loading in ("<script", "<link", "<img", "src=", "@import"))


def test_what_the_document_says_is_text_not_markup() -> None:
    shown = reference._operation(
        {"components": {"schemas": {}}},
        "get",
        "/<b>",
        {"description": "<script>", "responses": {"200": {"description": "<i>"}}},
    )
    assert "<script>" not in shown
    assert "<i>" not in shown
    assert "<b>" not in shown
