"""The queue's worker and the poll start without what only the HTTP face, or a rare path, needs."""

import os
import subprocess
import sys

import pytest

HEAVY = ("fastapi", "pydantic", "postgrest", "supabase", "boto3", "jwt", "cryptography", "publicsuffixlist", "stripe")
PROGRAM = """
import sys
import functions.seo_submit.handler
from functions.connectors import registry
registry.search_engines()
print(*[name for name in sys.argv[1:] if name in sys.modules])
"""


def loaded(program: str) -> list[str]:
    settings = {"SUPABASE_URL": "http://127.0.0.1", "SUPABASE_SECRET_KEY": "x", "SEO_QUEUE_URL": "http://127.0.0.1/q"}
    done = subprocess.run(
        [sys.executable, "-c", program, *HEAVY],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **settings},
    )
    return done.stdout.split()


def test_nothing_heavy_is_imported() -> None:
    assert loaded(PROGRAM) == []


@pytest.mark.parametrize("name", ["fastapi", "pydantic"])
def test_the_http_face_would_be_seen(name: str) -> None:
    assert name in loaded(PROGRAM.replace("functions.seo_submit.handler", "functions.seo_submit.routes"))
