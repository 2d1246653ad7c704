"""What belongs to a word besides the letters that `re` knows.

The vowel signs and accents of Indic, Thai, Arabic and other scripts are marks to Unicode, and so is what holds their
letters together. `\\w` has none of them: a word or hashtag that is cut there is misspelt.
"""

from __future__ import annotations

import unicodedata
from typing import Final

MARKS: Final = (
    "".join(chr(c) for c in range(0x300, 0x1B00) if unicodedata.category(chr(c)).startswith("M")) + "\u200c\u200d"
)
TAG: Final = rf"(?:\w|(?<=\w|[{MARKS}])[{MARKS}])+"
"""A pattern for a hashtag's text: letters, digits and underscores, with the marks that follow them."""


def is_mark(character: str) -> bool:
    """Whether it is a vowel sign or an accent, which belong to the letter before them."""
    return unicodedata.category(character).startswith("M")
