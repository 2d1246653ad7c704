"""Connecting platforms and leaving them: the routes are in api.py."""

from __future__ import annotations

from functions.core import settings
from functions.core.loading import without_collector

settings.require(
    settings.SUPABASE_URL,
    settings.SUPABASE_SECRET_KEY,
    settings.APP_URL,
    settings.APP_ORIGINS,
    settings.FUNCTIONS_URL,
    settings.STRIPE_SECRET_KEY,  # a leaving user's subscription is cancelled
    *settings.PLATFORM_CREDENTIALS,
)

__all__ = ["handler"]

with without_collector():
    from functions.oauth.api import handle as handler
