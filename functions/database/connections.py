"""The grants domain of the database (sql/…006000_grants.sql): one-time states, connections, tokens, endings.

`token` is the JSON shape of `functions.connectors.oauth2.to_json`.
"""

from __future__ import annotations

from typing import Any

from functions.database.client import rpc

Row = dict[str, Any]


def begin_oauth(user_id: str, platform: str, state_hash: str, return_to: str | None) -> Row:
    """Remember a started authorisation: `{expires_at}`. Raises NotFoundError for an unknown platform."""
    answer: Row = rpc("begin_oauth", user_id=user_id, platform=platform, state_hash=state_hash, return_to=return_to)
    return answer


def take_oauth_state(user_id: str, platform: str, state_hash: str) -> Row:
    """Burn a state: `{accepted: true, return_to}` or `{accepted: false, reason}`."""
    answer: Row = rpc("take_oauth_state", user_id=user_id, platform=platform, state_hash=state_hash)
    return answer


def complete(user_id: str, platform: str, token: Row, profile: Row, last_error: str | None) -> Row:
    """Store a grant with its accounts: `{connection, accounts, skipped_accounts}`.

    Raises QuotaExceededError (account_limit_reached) if the plan has no room for even one of the accounts.
    """
    answer: Row = rpc(
        "complete_connection", user_id=user_id, platform=platform, token=token, profile=profile, last_error=last_error
    )
    return answer


def begin_token_refresh(connection_id: str, ahead_seconds: int, rejected_version: int | None) -> Row:
    """The stored token, or the lease to refresh it: `{status, version, token, lease, wait_seconds}`; see the SQL."""
    answer: Row = rpc(
        "begin_token_refresh",
        connection_id=connection_id,
        ahead_seconds=ahead_seconds,
        rejected_version=rejected_version,
    )
    return answer


def finish_token_refresh(connection_id: str, lease: str, version: int, token: Row | None) -> bool:
    """Store what a refresh brought (None: nothing). False if a newer token had been stored meanwhile."""
    return bool(rpc("finish_token_refresh", connection_id=connection_id, lease=lease, version=version, token=token))


def mark_grant_dead(connection_id: str, version: int, reason: str) -> bool:
    """The platform withdrew the grant of this token. False if a newer token is stored, or it was known."""
    return bool(rpc("mark_grant_dead", connection_id=connection_id, version=version, reason=reason))


def tokens_to_refresh(platform: str, ahead_seconds: int, max_results: int) -> list[str]:
    """Ids of a platform's connections whose tokens end within so long and can be renewed, soonest first."""
    found = rpc("tokens_to_refresh", platform=platform, ahead=f"{ahead_seconds} seconds", max_results=max_results)
    return [str(connection_id) for connection_id in found]


def disconnect(user_id: str, connection_id: str) -> Row:
    """End a connection: `{platform, revocation_id, token}`, for the caller to revoke. Raises NotFoundError."""
    answer: Row = rpc("disconnect", user_id=user_id, connection_id=connection_id)
    return answer


def claim_revocations(max_results: int) -> list[Row]:
    """Grants that still have to be given back: `[{revocation_id, platform, token}]`."""
    return list(rpc("claim_revocations", max_results=max_results))


def finish_revocation(revocation_id: str) -> None:
    """The platform has the grant back."""
    rpc("finish_revocation", revocation_id=revocation_id)


def purge_oauth_states() -> int:
    """Forget authorisations that were not completed in time; how many."""
    return int(rpc("purge_oauth_states"))
