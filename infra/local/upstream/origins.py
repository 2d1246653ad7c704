"""The map that `UPSTREAM_OVERRIDES` takes: each real origin to where its simulator is served."""

from __future__ import annotations

from infra.local.upstream.providers import PROVIDERS


def origins(base_url: str) -> dict[str, str]:
    """{"https://www.googleapis.com": "{base_url}/www.googleapis.com", …} for every simulated host."""
    root = base_url.rstrip("/")
    return {f"https://{host}": f"{root}/{host}" for kind in PROVIDERS for host in kind.hosts}
