"""Words that the seeded catalogues are made of (vocabulary.json): niches with subjects, title templates
and tags.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Niche:
    """What an account is about. `category` is a YouTube category id; templates hold {subject} and {n}."""

    language: str
    category: str
    subjects: tuple[str, ...]
    angles: tuple[str, ...]  # titles
    sentences: tuple[str, ...]  # lines of a description
    tags: tuple[str, ...]
    hashtags: tuple[str, ...]


def _load() -> dict[str, Niche]:
    read: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
    niches = {}
    for name, words in read.items():
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in words.items()}
        niches[name] = Niche(**values)
    return niches


NICHES: Mapping[str, Niche] = _load()
