"""Which pages Google's Indexing API takes, by their structured data."""

import json

import pytest

from functions.connectors.search.google import is_eligible

JOB = {"@context": "https://schema.org", "@type": "JobPosting", "title": "Editor"}
LIVE = {"@type": "VideoObject", "name": "Live", "publication": {"@type": "BroadcastEvent", "isLiveBroadcast": True}}


def page(*blocks: object, kind: str = "application/ld+json") -> str:
    scripts = "".join(f'<script type="{kind}">{json.dumps(block)}</script>' for block in blocks)
    return f"<!doctype html><html><head>{scripts}</head><body>JobPosting BroadcastEvent</body></html>"


@pytest.mark.parametrize(
    "html",
    [
        page(JOB),
        page(LIVE),
        page([{"@type": "WebPage"}, JOB]),
        page({"@graph": [{"@type": "WebPage"}, {"@type": ["Thing", "https://schema.org/JobPosting"]}]}),
        page({"@type": "WebPage", "video": LIVE}),
        page({"@type": "VideoObject", "publication": [{"@type": "BroadcastEvent"}]}),
        page({"@type": "WebPage"}, JOB),
        '<SCRIPT TYPE="Application/LD+JSON">' + json.dumps(JOB) + "</SCRIPT>",
    ],
)
def test_taken(html: str) -> None:
    assert is_eligible(html)


@pytest.mark.parametrize(
    "html",
    [
        "",
        "<p>JobPosting</p>",
        page({"@type": "VideoObject", "name": "BroadcastEvent"}),
        page({"@type": "BroadcastEvent"}),  # not of a video
        page({"@type": "Article", "about": "JobPosting"}),
        page(JOB, kind="application/json"),
        '<script type="application/ld+json">{"@type": "JobPosting"</script>',
        "<!-- " + page(JOB) + " -->",
        '<script type="application/ld+json">' + "[" * 100_000 + "</script>",
        "<script type=application/ld+json>" + "1" * 100_000 + "</script>",
        "<script>" * 100_000,
        "<!--" * 200_000,
        "<script " * 100_000,
        ("<!--" + "<script>") * 50_000,
    ],
)
def test_not_taken(html: str) -> None:
    assert not is_eligible(html)
