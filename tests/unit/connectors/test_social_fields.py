"""Reading what platforms send."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.connectors.social import fields


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("12", 12), (12, 12), ("0", 0), (0, 0), (12.0, 12), ("9999999999", 2_147_483_647), (None, None), ("", None),
        ("1.2K", None), (-1, None), (True, None), ([], None), (float("inf"), None), (float("nan"), None),
    ],
)  # fmt: skip
def test_count(value: Any, expected: int | None) -> None:
    assert fields.count(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("PT1H2M3S", 3723), ("PT58S", 58), ("P1DT2H", 93600), ("P1W", 604800), ("PT0S", None), ("P0D", None),
        ("PT1.5S", 1), ("", None), (None, None), (58, None), ("PT1X", None),
    ],
)  # fmt: skip
def test_iso_duration(value: Any, expected: int | None) -> None:
    assert fields.iso_duration_seconds(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.000Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T05:04:05+0200", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (1767323045, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("soon", None), (None, None), ({}, None), (10**20, None), (True, None),
    ],
)  # fmt: skip
def test_moment(value: Any, expected: datetime | None) -> None:
    assert fields.moment(value) == expected


def test_hashtags() -> None:
    text = "One #Tag, #tag again, #другой #日本 #a_1; not https://x.example/#top, &#39; or a#b"
    assert fields.hashtags(text, None, "#two") == ("Tag", "другой", "日本", "a_1", "two")
    assert fields.hashtags("#हिंदी #ขนมปัง") == ("हिंदी", "ขนมปัง")  # vowel signs belong to their letters


@given(st.text())
def test_text_is_always_storable(value: str) -> None:
    clean = fields.text(value)
    if clean is not None:
        assert "\x00" not in clean
        assert clean.encode()
        assert clean.strip()


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_nothing_that_json_can_hold_breaks_a_reader(value: Any) -> None:
    for read in (fields.text, fields.texts, fields.count, fields.moment, fields.iso_duration_seconds, fields.obj):
        read(value)
    list(fields.objects(value))
