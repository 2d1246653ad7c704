"""Journal, faults, clock and hostile bodies, over real connections."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import httpx
import pytest

from infra.local.upstream.faults import Fault
from infra.local.upstream.journal import CAPACITY, Journal
from infra.local.upstream.messages import Request
from infra.local.upstream.origins import origins
from tests.local.upstream.visitor import Visitor

HOST = "oauth2.googleapis.com"
URL = f"/{HOST}/token"


def test_health_and_origins_name_every_host(client: httpx.Client, upstream_url: str) -> None:
    hosts = client.get("/_sim/health").json()["hosts"]
    assert client.get("/_sim/origins").json() == origins(upstream_url)
    assert origins(upstream_url)["https://www.googleapis.com"] == f"{upstream_url}/www.googleapis.com"
    assert len(origins(upstream_url)) == len(hosts)


def test_the_journal_keeps_requests_by_host_and_clears_by_host(client: httpx.Client, visitor: Visitor) -> None:
    client.post(URL, data={"grant_type": "x"}, headers={"X-Seen": "yes"})
    client.get("/www.googleapis.com/youtube/v3/videos", params=[("id", "a"), ("id", "b"), ("part", "id")])
    (entry,) = visitor.journal(HOST)
    assert (entry["method"], entry["path"], entry["status"]) == ("POST", "/token", 400)
    assert entry["body"] == "grant_type=x"
    assert entry["headers"]["x-seen"] == "yes"
    assert visitor.journal("www.googleapis.com")[0]["query"] == {"id": ["a", "b"], "part": "id"}
    assert client.delete("/_sim/requests", params={"host": HOST}).json() == {"cleared": 1}
    assert not visitor.journal(HOST)
    assert len(client.get("/_sim/requests").json()) == 1


def test_the_journal_is_bounded() -> None:
    journal = Journal()
    request = Request("h.example", "GET", "/", (), {}, b"")
    for _ in range(CAPACITY + 10):
        journal.open(request, 0)
    assert len(journal.describe(None)) == CAPACITY


def test_an_unknown_host_is_a_clear_502(client: httpx.Client) -> None:
    answer = client.get("/nobody.example/x")
    assert answer.status_code == 502
    assert "nobody.example" in answer.text


def test_a_fault_replaces_the_answer_as_often_as_it_says(client: httpx.Client, visitor: Visitor) -> None:
    visitor.control("faults", host=HOST, path="/tok", times=2, status=503, headers={"Retry-After": "7"}, body={"a": 1})
    answers = [client.post(URL) for _ in range(3)]
    assert [a.status_code for a in answers] == [503, 503, 400]
    assert answers[0].headers["retry-after"] == "7"
    assert answers[0].json() == {"a": 1}
    assert [e["status"] for e in visitor.journal(HOST)] == [503, 503, 400]


def test_faults_match_host_path_and_method_and_can_be_cleared(client: httpx.Client, visitor: Visitor) -> None:
    visitor.control("faults", host=HOST, path="/revoke", times=None, status=500)
    visitor.control("faults", host=HOST, method="GET", times=None, status=500)
    visitor.control("faults", host="www.googleapis.com", times=None, status=500)
    assert client.post(URL).status_code == 400
    assert client.post(f"/{HOST}/revoke").status_code == 500
    assert client.delete("/_sim/faults", params={"host": HOST}).json() == {"cleared": 2}
    assert client.post(f"/{HOST}/revoke").status_code == 400
    everything = client.get("/_sim/requests").json()
    assert client.get("/_sim/requests", params={"host": ""}).json() == everything
    assert client.get("/_sim/requests", params={"host": HOST.upper()}).json() == visitor.journal(HOST)
    assert client.get("/www.googleapis.com/youtube/v3/videos").status_code == 500


def test_faults_are_counted_once_each_under_concurrency(upstream_url: str, client: httpx.Client) -> None:
    client.post("/_sim/faults", json={"host": HOST, "times": 10, "status": 503, "delay_seconds": 0.05})

    async def storm() -> list[int]:
        async with httpx.AsyncClient(base_url=upstream_url) as many:
            answers = await asyncio.gather(*(many.post(URL) for _ in range(40)))
        return [answer.status_code for answer in answers]

    statuses = asyncio.run(storm())
    assert statuses.count(503) == 10
    assert statuses.count(400) == 30


def test_a_delay_alone_lets_the_real_answer_through(client: httpx.Client, visitor: Visitor) -> None:
    visitor.control("faults", host=HOST, delay_seconds=0.2)
    with pytest.raises(httpx.ReadTimeout):
        client.post(URL, timeout=0.05)
    assert client.post(URL).status_code == 400


def test_headers_alone_are_added_to_the_real_answer(client: httpx.Client, visitor: Visitor) -> None:
    visitor.control("faults", host=HOST, headers={"X-App-Usage": '{"call_count":99}'})
    answer = client.post(URL)
    assert (answer.status_code, answer.headers["x-app-usage"]) == (400, '{"call_count":99}')


def test_a_drop_closes_the_connection_without_an_answer(client: httpx.Client, visitor: Visitor) -> None:
    visitor.control("faults", host=HOST, drop=True)
    with pytest.raises(httpx.RemoteProtocolError):
        client.post(URL)
    assert visitor.journal(HOST)[0]["status"] is None
    assert client.post(URL).status_code == 400


def test_after_lets_the_effect_happen_and_loses_the_answer(client: httpx.Client, visitor: Visitor) -> None:
    tokens = visitor.tokens("youtube")
    visitor.control("faults", host=HOST, path="/revoke", after=True, drop=True)
    with pytest.raises(httpx.RemoteProtocolError):
        client.post(f"/{HOST}/revoke", data={"token": tokens["access_token"]})
    assert client.get("/_sim/youtube/grants").json()[0]["revoked"] is True


def test_hostile_bodies(client: httpx.Client, visitor: Visitor) -> None:
    visitor.control("faults", host=HOST, stream="reset")
    with pytest.raises(httpx.TransportError):
        client.post(URL)
    for kind, cap in (("endless", 5_000_000), ("drip", 4), ("gzip_bomb", 50_000_000)):
        visitor.control("faults", host=HOST, stream=kind)
        size = 0
        with client.stream("POST", URL) as answer:
            for chunk in answer.iter_bytes(65_536 if kind != "drip" else 1):
                size += len(chunk)
                if size > cap:
                    break
        assert size > cap, kind
    assert client.post(URL).status_code == 400


def test_bad_control_requests_say_what_is_wrong(client: httpx.Client) -> None:
    for body, word in (
        ({}, "host"),
        ({"host": "h", "tims": 1}, "tims"),
        ({"host": "h", "times": 0}, "times"),
        ({"host": "h", "times": True}, "times"),
        ({"host": "h", "delay_seconds": "1"}, "delay_seconds"),
    ):
        answer = client.post("/_sim/faults", json=body)
        assert answer.status_code == 400
        assert word in answer.json()["error"]
    assert client.post("/_sim/faults", content=b"nonsense").status_code == 400
    assert client.post("/_sim/nothing").status_code == 404
    assert client.post("/_sim/youtube/content", json={"action": "edit", "colour": 1}).status_code == 400


def test_a_json_string_body_is_served_as_json() -> None:
    answer = Fault.parse({"host": "h", "body": '{"a":1}'}).answer()
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.body == b'{"a":1}'


def test_the_clock_moves_for_all_and_a_reset_puts_it_back(client: httpx.Client, visitor: Visitor) -> None:
    visitor.advance(3600)
    assert 3599 < client.get("/_sim/clock").json()["offset_seconds"] < 3601
    client.post("/_sim/reset")
    assert client.get("/_sim/clock").json()["offset_seconds"] == 0


def test_a_taken_port_is_one_clear_sentence(upstream_url: str) -> None:
    port = upstream_url.rpartition(":")[2]
    command = [sys.executable, "-m", "infra.local.upstream", "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
