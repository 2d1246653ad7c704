"""Reading rows with postgrest's query builder, for code that does not run on a hot path.

Docs: https://supabase.com/docs/reference/python/select. Importing postgrest costs as much as the rest of a cold start.
"""

from __future__ import annotations

from postgrest import SyncPostgrestClient, SyncRequestBuilder

from functions.core import http
from functions.database import client


def table(name: str) -> SyncRequestBuilder:
    """The query builder on `public.<name>`, reading as service_role: callers filter by the user themselves."""
    return SyncPostgrestClient(client.base_url(), headers=client.headers(), http_client=http.client()).from_(name)
