"""Unmodified official clients: postgrest and supabase for Python, supabase-js where Node is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import postgrest
import pytest
import supabase
from postgrest.exceptions import APIError
from postgrest.types import CountMethod, ReturnMethod

from infra.local.data_api.background import running
from tests.databases import Database
from tests.e2e.conftest import SCRIPTS, node_modules
from tests.local.data_api.conftest import bearer, settings_for

__all__ = ["node_modules"]  # the fixture that installs supabase-js

PREFIX = "/rest/v1"


@pytest.fixture(scope="module")
def url(shop: Database) -> Iterator[str]:
    with running(settings_for(shop), prefix=PREFIX) as address:
        yield address


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[postgrest.SyncPostgrestClient]:
    with postgrest.SyncPostgrestClient(url, schema="shop") as opened:
        yield opened


def test_postgrest_py_reads(client: postgrest.SyncPostgrestClient) -> None:
    albums = client.from_("albums")
    assert albums.select("id").in_("id", [1, 2]).order("id", desc=True).execute().data == [{"id": 2}, {"id": 1}]
    assert albums.select("id").or_("stock.eq.0,mood.is.null").order("id").execute().data == [{"id": 2}, {"id": 4}]
    assert albums.select("id").not_.is_("mood", "null").gt("id", 2).execute().data == [{"id": 3}]
    assert albums.select("id").ilike("title", "%quiet 100\\%").execute().data == [{"id": 4}]
    assert albums.select("id").text_search("search", "'cool' & 'night'").execute().data == [{"id": 1}]
    assert albums.select("id").range_adjacent("on_sale", (10, 20)).execute().data == []
    assert albums.select("id").eq("title", 'a,b(c)"d\\e').execute().data == []
    page = albums.select("id", count=CountMethod.exact).order("id").range(1, 2).execute()
    assert (page.data, page.count) == ([{"id": 2}, {"id": 3}], 4)
    assert albums.select("id", count=CountMethod.exact, head=True).execute().count == 4
    one = albums.select("title,tracks(number)").eq("id", 1).single().execute().data
    assert one == {"title": "Cool Nights", "tracks": [{"number": 1}, {"number": 2}]}
    assert albums.select("id").eq("id", 99).maybe_single().execute() is None
    assert albums.select("id").eq("id", 1).csv().execute().data == "id\n1"
    assert client.schema("warehouse").from_("boxes").select("id").execute().data == [{"id": 1}]
    assert client.from_("artists").select("id").contains("genres", ["jazz"]).execute().data == [{"id": 1}]


def test_postgrest_py_writes(client: postgrest.SyncPostgrestClient) -> None:
    labels = client.from_("labels")
    created = labels.insert({"name": "From Python", "address": {"city": "Århus"}}).execute()
    assert created.data[0]["address"] == {"city": "Århus"}  # type: ignore[index, call-overload]
    assert labels.insert({"name": "x"}, returning=ReturnMethod.minimal).execute().data == []
    rows: list[Mapping[str, object]] = [{"name": "A"}, {"name": "B", "address": {}}]
    bulk = labels.insert(rows, default_to_null=False, count=CountMethod.exact)
    assert bulk.execute().count == 2
    assert labels.upsert({"id": 1, "name": "Z"}).execute().data[0]["name"] == "Z"  # type: ignore[index, call-overload]
    assert labels.upsert({"name": "Dust"}, on_conflict="name", ignore_duplicates=True).execute().data == []
    changed = client.from_("albums").update({"stock": 5}).eq("id", 1).execute()
    assert changed.data[0]["stock"] == 5  # type: ignore[index, call-overload]
    assert len(client.from_("tracks").delete().eq("album_id", 1).execute().data) == 2
    with pytest.raises(APIError) as caught:
        labels.insert({"id": 1, "name": "twice"}).execute()
    assert (caught.value.code, caught.value.details) == ("23505", "Key (id)=(1) already exists.")


def test_postgrest_py_calls(client: postgrest.SyncPostgrestClient) -> None:
    def call(function: str, arguments: dict[str, Any], **options: Any) -> Any:
        return client.rpc(function, arguments, **options)

    assert call("add_them", {"a": 1, "b": 2}).execute().data == 3
    assert call("joined", {"words": ["a", "b"]}).execute().data == "a+b"
    assert call("listing", {"minimum": 7}, get=True).execute().data == [{"id": 3, "title": "Louder"}]
    assert call("numbers", {"n": 3}, count=CountMethod.exact, head=True).execute().count == 3
    assert call("listing", {"minimum": 1}).select("title").eq("id", 4).execute().data == [{"title": "Quiet 100%"}]


def test_supabase_py(url: str) -> None:
    key = bearer(role="service_role").removeprefix("Bearer ")
    with httpx.Client() as connections:
        options = supabase.ClientOptions(schema="shop", httpx_client=connections)
        project = supabase.create_client(url.removesuffix(PREFIX), key, options)
        assert project.table("gated").select("id").order("id").execute().data == [{"id": 1}, {"id": 2}]
        assert project.rpc("who").execute().data["role"] == "service_role"  # type: ignore[index, call-overload]


@pytest.mark.node
def test_supabase_js(url: str, node_modules: Path) -> None:
    assert node_modules.is_dir()
    key = bearer(role="anon").removeprefix("Bearer ")
    finished = subprocess.run(
        ["node", "record_shop.mjs"],
        cwd=SCRIPTS,
        env={
            "PATH": "/usr/bin:/bin:/usr/local/bin",
            "SHOP_URL": url.removesuffix(PREFIX),
            "SHOP_KEY": key,
            "NODE_NO_WARNINGS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stderr
    got: dict[str, dict[str, Any]] = json.loads(finished.stdout)
    data = {name: result["data"] for name, result in got.items()}
    assert data["filtered"] == [{"id": 1, "title": "Cool Nights"}, {"id": 3, "title": "Louder"}]
    assert data["embedded"] == {
        "id": 1,
        "artist": {"name": "Ada Quartet", "label": {"name": "Blue Room"}},
        "tracks": [{"title": "Moon"}, {"title": "Stars"}],
        "tags": [{"word": "vinyl"}, {"word": "rare"}],
    }
    assert data["inner"] == [{"id": 1, "tracks": [{"number": 2}]}, {"id": 3, "tracks": [{"number": 2}]}]
    assert data["spread"] == [{"body": "A classic", "title": "Cool Nights"}, {"body": None, "title": "Louder"}]
    assert data["tree"] == [{"id": 1}, {"id": 2}]
    assert data["negated"] == [{"id": 1}, {"id": 3}]
    assert data["text"] == [{"id": 1}]
    assert data["patterns"] == [{"id": 1}, {"id": 3}]
    assert data["ranges"] == [{"id": 1}]
    assert data["contains"] == [{"id": 1}]
    assert data["overlaps"] == [{"id": 1}, {"id": 2}]
    assert data["json"] == [{"discs": 1}]
    assert data["match"] == [{"id": 1}, {"id": 2}]
    assert (data["page"], got["page"]["count"]) == ([{"id": 3}, {"id": 2}], 4)
    assert (data["head"], got["head"]["count"]) == (None, 4)
    assert data["related"] == [{"id": 4, "artists": {"name": "Zoë & Søn"}}]
    assert data["none"] is None
    assert got["several"]["error"]["code"] == "PGRST116"
    assert data["csv"] == 'id,title\n1,"Cool Nights"'
    assert data["created"] == {"name": "From JS", "address": {"city": "Ålesund"}}
    assert data["bulk"] == [{"name": "One"}, {"name": "Two"}]
    assert (data["silent"], got["silent"]["status"]) == (None, 201)
    assert data["upserted"] == [{"id": 1}]
    assert data["ignored"] == []
    assert (data["updated"], got["updated"]["count"]) == ([{"stock": 9}], 1)
    assert got["capped"]["error"]["code"] == "PGRST124"
    assert (got["deleted"]["status"], got["deleted"]["count"]) == (204, 2)
    assert (got["conflict"]["status"], got["conflict"]["error"]["code"]) == (409, "23505")
    assert data["called"] == 3
    assert data["asked"] == [{"title": "Cool Nights"}]
    assert got["counted"]["count"] == 4
    assert got["missing"]["error"]["code"] == "PGRST202"
    assert data["warehouse"] == [{"id": 1, "content": "sleeves"}]
    assert (got["refused"]["status"], got["refused"]["error"]["code"]) == (401, "42501")
