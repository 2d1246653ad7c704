"""The creator's own site."""

from __future__ import annotations

import re

import httpx

from infra.local.upstream.seed import INDEXNOW_KEY

SITE = "/creator.example"


def test_twenty_pages_with_title_and_description(client: httpx.Client) -> None:
    titles = set()
    for number in range(1, 21):
        page = client.get(f"{SITE}/videos/{number}")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert re.search(r'<meta name="description" content="[^"]+">', page.text)
        titles.update(re.findall(r"<title>(.+)</title>", page.text))
    assert len(titles) > 10
    for missing in ("0", "21", "01", "x"):
        assert client.get(f"{SITE}/videos/{missing}").status_code == 404


def test_sitemap_and_key(client: httpx.Client) -> None:
    locations = re.findall(r"<loc>(.+?)</loc>", client.get(f"{SITE}/sitemap.xml").text)
    assert locations == [f"https://creator.example/videos/{number}" for number in range(1, 21)]
    assert client.get(f"{SITE}/{INDEXNOW_KEY}.txt").text == INDEXNOW_KEY
    assert client.get(f"{SITE}/other-key.txt").status_code == 404
