"""What a function needs: the modules of ours and the installed distributions that its imports reach.

The imports are read from the syntax tree, nothing is executed. Of the handler's own module only the top level and the
entry's body count, so that two entries in one file do not carry each other's weight; of every other module all imports
count, those inside functions too, because they are reached at some time.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
OURS = "functions"
# The Lambda runtime carries these; botocore alone would be larger than all else in a package.
FROM_RUNTIME = frozenset({"boto3", "botocore", "s3transfer"})
# Distributions that are needed without being imported by name: ES256 and RS256 tokens are checked by cryptography.
UNSEEN = {"pyjwt": ("cryptography",)}
# httpx declares anyio for its asynchronous half, which we do not use, and imports it if it is there: a third of its
# time to load. Only what FastAPI runs on needs it.
ONLY_WITH = {"anyio": "starlette"}
# cffi declares its C parser, which is for building bindings and not for using them.
NEVER = frozenset({"pycparser"})


@dataclass(frozen=True, slots=True)
class Needs:
    """`modules` are files of ours relative to the project, `distributions` are normalised names as in the lock file."""

    modules: tuple[Path, ...]
    distributions: tuple[str, ...]


def of(handler: str, machine: str) -> Needs:
    """The needs of `package.module.entry` on a machine (`aarch64`, `x86_64`)."""
    module, _, entry = handler.rpartition(".")
    seen: dict[str, Path] = {}
    foreign: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if name in seen or path is None:
            continue
        seen[name] = path
        for imported in _imports(path, entry if name == module else None):
            if imported.split(".")[0] == OURS:
                waiting.extend(_with_parents(imported))
            else:
                foreign.add(imported.split(".")[0])
    modules = tuple(sorted(path.relative_to(ROOT) for path in seen.values()))
    return Needs(modules, _distributions(foreign, machine))


def _file(module: str) -> Path | None:
    base = ROOT / module.replace(".", "/")
    candidates = (base / "__init__.py", base.with_suffix(".py"))
    return next((path for path in candidates if path.is_file()), None)


def _with_parents(module: str) -> Iterator[str]:
    """`a.b.c` runs `a` and `a.b` too; a name that is no module (`from a import value`) has no file and drops out."""
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        yield ".".join(parts[:length])


def _imports(path: Path, entry: str | None) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in tree.body:
        # Another entry of the same handler module is another Lambda function: its needs are not this one's.
        if entry is None or not _is_other_entry(node, entry):
            yield from _walk(node)


def _is_other_entry(node: ast.stmt, entry: str) -> bool:
    if not isinstance(node, ast.FunctionDef) or node.name == entry:
        return False
    return [argument.arg for argument in node.args.args] == ["event", "context"]


def _walk(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for other in node.orelse:
            yield from _walk(other)
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _walk(child)


def _distributions(imported: set[str], machine: str) -> tuple[str, ...]:
    by_module = importlib.metadata.packages_distributions()
    waiting = [normalised(name) for module in imported for name in by_module.get(module, ())]
    environment: dict[str, str] = {name: str(value) for name, value in default_environment().items()}
    environment |= {"platform_machine": machine, "sys_platform": "linux", "extra": ""}
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in found or name in FROM_RUNTIME | NEVER:
            continue
        found.add(name)
        waiting.extend(UNSEEN.get(name, ()))
        for line in importlib.metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate(environment):
                waiting.append(normalised(requirement.name))
    return tuple(sorted(name for name in found if ONLY_WITH.get(name, name) in found))


def normalised(name: str) -> str:
    """A distribution's name as lock files spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()
