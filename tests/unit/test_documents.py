"""What the documents name is there: make's targets, modules to run, files and headings that links lead to."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "sql/*.md", "functions/*.md", "tests/**/*.md", "infra/**/*.md")
    for path in ROOT.glob(pattern)
    if not {"node_modules", ".run"} & set(path.relative_to(ROOT).parts)
)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def code(text: str) -> list[str]:
    """Blocks and spans of code."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [*blocks, *re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))]


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    commands = "\n".join(code(text))
    unknown = {name for name in re.findall(r"\bmake ([a-z][a-z-]*)", commands) if name not in TARGETS}
    assert not unknown, "not in the Makefile"
    modules = set(re.findall(r"python -m ([a-z_.]+[a-z])", commands))
    assert not {name for name in modules if find_spec(name) is None}, "no such module"
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_the_documents_are_found() -> None:
    found = {str(path.relative_to(ROOT)) for path in DOCUMENTS}
    assert found >= {"README.md", "docs/deploy.md", "infra/local/data_api/README.md", "sql/README.md"}
