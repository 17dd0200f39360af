"""The thinking is pure: values in, values out. What is not on the list is the shell, and named below.

A list of what is allowed, not of what is forbidden: a new library, clock or file in the kernel
has to be argued for here.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import streams

FOLDER = Path(streams.__file__).parent
SHELL = {"app", "arrival", "partition", "publish", "restore", "silence", "transport"}
"""The modules of `streams` that host the kernel: Faust, brokers, clocks and logs live there and nowhere else."""

LIBRARIES = set(
    "__future__ abc bisect collections contextlib copy dataclasses decimal enum fractions functools hashlib heapq "
    "itertools json math operator re statistics string struct tomllib types typing uuid zlib msgspec pydantic schemas".split()
)
ARGUED = {"calendars": {"zoneinfo", "holidays"}, "rules": {"importlib.resources"}, "entries": {"sys.intern"}}
"""By module: the default rules are a file of the package, as constant as the code beside it; interning changes no value."""

BUILTINS = {"open", "input", "print", "exec", "eval", "__import__", "breakpoint"}
CLOCKS = {"datetime.now", "datetime.today", "datetime.utcnow", "date.today", "uuid.uuid1", "uuid.uuid4"}


def _module(path: Path) -> str:
    return ".".join(path.relative_to(FOLDER).with_suffix("").parts)


KERNEL = [path for path in sorted(FOLDER.rglob("*.py")) if _module(path).split(".")[0] not in SHELL]


def _imports(tree: ast.Module) -> list[str]:
    out: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            out += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that they can be read"
            module = node.module or ""
            out += [f"{module}.{alias.name}" for alias in node.names] if module in ("streams", "sys") else [module]
    return out


@pytest.mark.parametrize("path", KERNEL, ids=_module)
def test_the_kernel_imports_values_only(path: Path) -> None:
    """Equal touchpoints give equal frictions on every machine and at every hour, because nothing else gets in."""
    for name in _imports(ast.parse(path.read_text("utf-8"))):
        top, _, rest = name.partition(".")
        if top == "streams":
            assert rest.split(".")[0] not in SHELL, f"{name} is the shell"
        else:
            known = top in LIBRARIES or name == "datetime" or name in ARGUED.get(_module(path), ())
            assert known, f"{name}: is it pure? Then argue for it in this test"


@pytest.mark.parametrize("path", KERNEL, ids=_module)
def test_the_kernel_calls_no_clock_and_opens_nothing(path: Path) -> None:
    """Time, rules and calendars arrive as arguments."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in BUILTINS, f"line {node.lineno}: {node.func.id}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert f"{node.value.id}.{node.attr}" not in CLOCKS, f"line {node.lineno}: {node.value.id}.{node.attr}"
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.Global), f"line {node.lineno}"


def test_the_kernel_is_where_it_is_expected() -> None:
    """Should the packages move, this test must not pass for want of modules."""
    assert {"entries", "facts", "contacts", "journeys", "rules", "tracker", "detectors.__init__"} <= set(
        map(_module, KERNEL)
    )
