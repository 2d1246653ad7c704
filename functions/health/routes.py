"""The routes of all functions as far as a refusal must know them: which methods a path has."""

from __future__ import annotations

# serverless.yml is where routes are made; a test holds this to it. `*` stands for one segment.
METHODS = {
    "/health": ("GET",),
    "/oauth/*/authorize": ("POST",),
    "/oauth/*/callback": ("GET", "POST"),
    "/oauth/*/deauthorize": ("POST",),
    "/oauth/*/data-deletion": ("POST",),
    "/oauth/*/data-deletion/*": ("GET",),
    "/connections/*": ("DELETE",),
    "/account": ("DELETE",),
    "/sync": ("POST",),
    "/analyze": ("POST",),
    "/seo/submit": ("POST",),
    "/billing/checkout": ("POST",),
    "/billing/portal": ("POST",),
    "/stripe/webhook": ("POST",),
    "/unsubscribe": ("GET", "POST"),
}


def methods_of(path: str) -> tuple[str, ...]:
    """The methods of the route at `path`, none if there is no such route."""
    parts = path.split("/")
    for pattern, methods in METHODS.items():
        expected = pattern.split("/")
        if len(parts) == len(expected) and all(
            part == wanted or (wanted == "*" and part) for part, wanted in zip(parts, expected, strict=True)
        ):
            return methods
    return ()
