"""The configuration table, made from functions/core/settings.py."""

from __future__ import annotations

from functions.core import settings

HEADER = """# Configuration

Made from `functions/core/settings.py` (`make docs`). Every setting is an environment variable of the functions; a value
of the form `ssm:/path` or `secretsmanager:name` is fetched from there. Without a default a setting must be given to the
functions that need it, and they say so when they start.

| setting | default | secret | what it is |
|---|---|---|---|
"""


def page() -> str:
    """The whole document."""
    return HEADER + "".join(_row(setting) for setting in settings.all_settings())


def _row(setting: settings.Setting[object]) -> str:
    default = "required" if setting.default is None else f"`{setting.default}`" if setting.default else "empty"
    return f"| `{setting.name}` | {default} | {'yes' if setting.secret else ''} | {setting.description} |\n"
