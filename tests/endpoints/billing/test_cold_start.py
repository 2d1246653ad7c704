"""What the webhook loads: neither a web framework nor Stripe's library, or its cold starts would miss their budget."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = ("fastapi", "pydantic", "starlette", "mangum", "stripe", "boto3", "postgrest", "supabase", "jwt")
PROGRAM = """
import sys
from functions.stripe_webhook.handler import handler
assert handler({"headers": {}, "body": "{}"}, None)["statusCode"] == 400
print(*sorted(set(sys.argv[1:]) & set(sys.modules)))
"""


def test_the_webhook_loads_nothing_heavy() -> None:
    settings = {
        "SUPABASE_URL": "http://127.0.0.1:1",
        "SUPABASE_SECRET_KEY": "x",
        "STRIPE_SECRET_KEY": "sk_test_x",
        "STRIPE_WEBHOOK_SECRET": "whsec_x",
        "POWERTOOLS_METRICS_DISABLED": "true",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *HEAVY],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("missing", ["STRIPE_WEBHOOK_SECRET", "STRIPE_SECRET_KEY", "SUPABASE_URL"])
def test_a_missing_setting_is_one_clear_sentence_at_start(missing: str) -> None:
    settings = dict.fromkeys(
        ("SUPABASE_URL", "SUPABASE_SECRET_KEY", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"), "http://x"
    )
    done = subprocess.run(
        [sys.executable, "-c", "import functions.stripe_webhook.handler"],
        env={**os.environ, **settings, missing: ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert f"The setting {missing} is missing" in done.stderr.splitlines()[-1]
