"""What belongs to a site, by scheme, registrable domain and path."""

import pytest

from functions.connectors.address import parse
from functions.seo_submit import ownership


@pytest.mark.parametrize(
    ("site", "page"),
    [
        ("https://example.com/", "https://example.com/"),
        ("https://example.com/", "https://example.com/any/page?x=1"),
        ("https://example.com/", "https://www.example.com/page"),
        ("https://www.example.com/", "https://blog.example.com/page"),
        ("https://creator.co.uk/", "https://shop.creator.co.uk/page"),
        ("https://alice.github.io/", "https://alice.github.io/page"),
        ("https://example.com/alice", "https://example.com/alice"),
        ("https://example.com/alice", "https://example.com/alice/page"),
        ("https://example.com/alice/", "https://www.example.com/alice/page"),
        ("https://xn--bcher-kva.example.com/", "https://b\u00fccher.example.com/page"),
        ("http://example.com/", "http://EXAMPLE.com:80/page"),
        ("https://example.com/alice", "https://example.com/%61lic%65/page"),
        ("https://example.com/caf%c3%a9", "https://example.com/caf\u00e9/page"),
        ("https://example.com/%7Ealice", "https://example.com/~alice/page"),
    ],
)
def test_belongs(site: str, page: str) -> None:
    assert ownership.refusal(parse(page), site) is None


@pytest.mark.parametrize(
    ("site", "page", "reason"),
    [
        ("https://example.com/", "https://example.org/", "other_site"),
        ("https://example.com/", "https://notexample.com/", "other_site"),
        ("https://example.com/", "https://example.com.evil.org/", "other_site"),
        ("https://alice.co.uk/", "https://bob.co.uk/", "other_site"),
        ("https://alice.github.io/", "https://bob.github.io/", "other_site"),
        ("https://alice.blogspot.com/", "https://bob.blogspot.com/", "other_site"),
        ("https://github.io/", "https://bob.github.io/", "other_site"),
        ("https://co.uk/", "https://bob.co.uk/", "other_site"),
        ("https://example.com/", "http://example.com/", "other_scheme"),
        ("http://example.com/", "https://example.com/", "other_scheme"),
        ("https://example.com/alice", "https://example.com/bob", "other_path"),
        ("https://example.com/alice", "https://example.com/alicette", "other_path"),
        ("https://example.com/alice/", "https://example.com/alice", "other_path"),
        ("https://example.com/alice", "https://example.com/Alice/page", "other_path"),
        ("https://example.com/alice", "https://bob.example.com/alice/page", "other_path"),
        ("https://www.youtube.com/", "https://www.youtube.com/watch?v=1", "platform_url"),
        ("https://example.com/", "https://m.youtube.com/watch?v=1", "platform_url"),
        ("https://example.com/", "https://youtu.be/1", "platform_url"),
        ("https://example.com/", "https://www.youtube-nocookie.com/embed/1", "platform_url"),
        ("https://example.com/blog", "https://example.com/blog%2Fpost", "other_path"),
        ("https://example.com/blog", "https://example.com/blogger", "other_path"),
        ("https://example.com/blog/", "https://example.com//blog/post", "other_path"),
        ("http://127.0.0.1/", "http://example.com/", "url_refused"),
        ("https://xn--0.example.com/", "https://example.com/", "url_refused"),
    ],
)
def test_does_not_belong(site: str, page: str, reason: str) -> None:
    refusal = ownership.refusal(parse(page), site)
    assert refusal is not None
    assert refusal[0] == reason
    assert refusal[1].endswith(".")


def test_names_that_only_look_like_a_platform_are_nobodys() -> None:
    for page in ("https://youtube.com.example.org/", "https://notyoutube.com/", "https://x.com.example.org/"):
        assert ownership.platform_of(parse(page)) is None
