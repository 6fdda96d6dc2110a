"""Imports point down the table of layers in docs/architecture.md, and printing stays where it belongs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CODE = ("explorer", "widgets")
NEVER_IN_ENGINE = ("widgets", "ipywidgets", "anywidget", "IPython")
MAY_PRINT = ("explorer.cli", "explorer.zoo.train")


def read_layers(text: str) -> dict[str, int]:
    """Package -> level, from the table under ``## Layers``."""
    section = re.search(r"^## Layers\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, "docs/architecture.md has no heading '## Layers'"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section[1].splitlines() if "|" in line]
    assert rows[0][:2] == ["package", "level"], "the table's first columns are 'package' and 'level'"
    return {row[0].strip("`"): int(row[1]) for row in rows[2:]}


def modules(root: Path) -> dict[str, ast.Module]:
    """Module name -> syntax tree, of every Python file of the code."""
    files = [file for package in CODE for file in sorted((root / package).rglob("*.py"))]
    return {_module_name(file.relative_to(root)): ast.parse(file.read_text(), str(file)) for file in files}


def breaches(code: dict[str, ast.Module], layers: dict[str, int]) -> list[str]:
    """What in the code the table does not allow, one sentence each."""
    found = []
    for module, tree in code.items():
        own = package_of(module, layers)
        if own is None:
            found.append(f"{module} belongs to no package of the table")
            continue
        for target in imports(module, tree, code):
            other = package_of(target, layers)
            if other is not None and other != own and layers[other] >= layers[own]:
                found.append(f"{module} (level {layers[own]}) imports {target} (level {layers[other]})")
    return found


def package_of(module: str, layers: dict[str, int]) -> str | None:
    """The longest package of the table that holds the module; the public face alone stands for ``explorer``."""
    holding = [package for package in layers if module == package or module.startswith(package + ".")]
    if not holding:
        return None
    longest = max(holding, key=len)
    return longest if longest != "explorer" or module == "explorer" else None


def imports(module: str, tree: ast.Module, code: dict[str, ast.Module]) -> Iterator[str]:
    """Every module that this one imports, at its top or inside a function, as full names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = module.split(".") if _is_package(module, code) else module.split(".")[:-1]
                base = ".".join([*parent[: len(parent) - node.level + 1], *filter(None, [node.module])])
            # "from a import b" names the module a.b where there is one, and else something inside a.
            yield from (f"{base}.{alias.name}" if f"{base}.{alias.name}" in code else base for alias in node.names)


def _is_package(module: str, code: dict[str, ast.Module]) -> bool:
    return any(other.startswith(module + ".") for other in code)


def _module_name(file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.fixture(scope="module")
def code(root: Path) -> dict[str, ast.Module]:
    return modules(root)


@pytest.fixture(scope="module")
def layers(root: Path) -> dict[str, int]:
    return read_layers((root / "docs" / "architecture.md").read_text())


def test_imports_point_down_the_table(code: dict[str, ast.Module], layers: dict[str, int]) -> None:
    assert breaches(code, layers) == []


def test_every_row_of_the_table_exists(code: dict[str, ast.Module], layers: dict[str, int]) -> None:
    assert [package for package in layers if package not in code] == []


def test_engine_knows_nothing_of_the_page(code: dict[str, ast.Module]) -> None:
    found = [
        f"{module} imports {target}"
        for module, tree in code.items()
        if module.startswith("explorer")
        for target in imports(module, tree, code)
        if target.split(".")[0] in NEVER_IN_ENGINE
    ]
    assert found == []


def test_only_the_command_line_prints(code: dict[str, ast.Module]) -> None:
    found = [
        f"{module}, line {node.lineno}"
        for module, tree in code.items()
        if not module.startswith(MAY_PRINT)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert found == []


INVENTED_LAYERS = """
## Layers

| package | level | kind | holds |
|---|---|---|---|
| `explorer.errors` | 0 | P | errors |
| `explorer.graph` | 1 | P | graph |
| `explorer.run` | 2 | P | plan |
| `explorer.session` | 3 | E | session |
| `explorer` | 4 | P | the public names |

## Another heading
"""


@pytest.mark.parametrize(
    ("module", "line", "breach"),
    [
        ("explorer.run.plan", "from explorer.graph.ir import Op", None),
        ("explorer.run.plan", "from .execute import run", None),
        ("explorer.run.plan", "import numpy", None),
        ("explorer.graph.ir", "import explorer.run", "explorer.run"),
        ("explorer.graph.ir", "from explorer import run", "explorer.run"),
        ("explorer.graph.ir", "from ..run.plan import Plan", "explorer.run.plan"),
        ("explorer.graph.ir", "def f():\n    from explorer.session import Session", "explorer.session"),
        ("explorer.graph.ir", "from explorer import open", "explorer"),
    ],
)
def test_an_invented_breach_is_caught(module: str, line: str, breach: str | None) -> None:
    names = ("explorer", "explorer.graph", "explorer.graph.ir", "explorer.run", "explorer.run.plan", "explorer.session")
    code = {name: ast.parse(line if name == module else "") for name in names}
    found = breaches(code, read_layers(INVENTED_LAYERS))
    assert len(found) == (breach is not None)
    assert all(f"{module} (level" in sentence and f"imports {breach} (" in sentence for sentence in found)


def test_a_package_missing_from_the_table_is_caught() -> None:
    code = {"explorer.novelty": ast.parse("")}
    assert breaches(code, read_layers(INVENTED_LAYERS)) == ["explorer.novelty belongs to no package of the table"]
