"""The project as a stranger receives it: one source per version, the README's commands, no other host, the wheel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest

from explorer.serving import PAGES

LARGEST_BYTES = 8 * 1024 * 1024
TEXT = {".py", ".js", ".css", ".json", ".ipynb", ".j2", ".html", ".svg"}
# A name space is an identifier that nothing ever fetches.
NAMESPACES = ("http://www.w3.org/", "https://www.w3.org/")


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def targets(root: Path) -> set[str]:
    """The names that ``make`` knows."""
    return set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE))


def test_no_version_is_told_twice(root: Path) -> None:
    environment = (root / "environment.yml").read_text()
    listed = re.findall(r"^ *- (.+)$", environment, re.MULTILINE)
    numbers = [item for item in listed if re.search(r"\d", item)]
    assert numbers == ["python>=3.11"], "conda brings Python; pyproject.toml has every other version"
    assert "-e .[hf,test]" in environment


def test_conda_and_pip_agree_on_python(root: Path, project: dict[str, Any]) -> None:
    assert f"python{project['project']['requires-python']}" in (root / "environment.yml").read_text()


def test_every_documented_make_target_exists(root: Path, targets: set[str]) -> None:
    documents = [root / "README.md", *(root / "docs").rglob("*.md"), root / ".ci" / "run"]
    asked = {name for document in documents for name in re.findall(r"\bmake ([a-z]+)\b", _commands(document))}
    assert asked - targets == set()
    assert {"demo", "lab", "test", "check", "bench", "clean"} <= targets


def test_server_check_is_make_test(root: Path) -> None:
    assert re.search(r"^exec make test$", (root / ".ci" / "run").read_text(), re.MULTILINE)
    assert (root / ".ci" / "run").stat().st_mode & 0o111


@pytest.mark.parametrize("place", ["widgets", "notebooks", "voila.json"])
def test_nothing_on_the_page_names_another_host(root: Path, place: str) -> None:
    start = root / place
    files = [start] if start.is_file() else [file for file in start.rglob("*") if file.suffix in TEXT]
    assert files
    found = [
        f"{file.relative_to(root)}: {address}"
        for file in files
        for address in re.findall(r"(?:https?:)?//[\w-]+(?:\.[\w-]+)+[^\s\"')]*", file.read_text())
        if not address.startswith(NAMESPACES) and "127.0.0.1" not in address
    ]
    assert found == []


def test_no_file_is_large(root: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout: a folder of files cannot say which of them are the project's")
    files = [root / name for name in listed.stdout.splitlines()]
    assert [str(file) for file in files if file.is_file() and file.stat().st_size > LARGEST_BYTES] == []
    weights = [file for file in files if "explorer/zoo/weights" in str(file) and file.is_file()]
    assert sum(file.stat().st_size for file in weights) <= LARGEST_BYTES


def test_notebook_is_one_clean_cell(root: Path) -> None:
    notebook = nbformat.read(root / "notebooks" / "explorer.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    (cell,) = notebook.cells
    assert cell.cell_type == "code"
    assert cell.outputs == []
    assert cell.execution_count is None


def test_voila_keeps_its_doors_shut(root: Path) -> None:
    settings = json.loads((root / "voila.json").read_text())
    assert settings["Voila"]["ip"] == "127.0.0.1"
    page = settings["VoilaConfiguration"]
    assert page["strip_sources"] is True
    assert page["allow_template_override"] == "NO"
    assert settings["MappingKernelManager"]["cull_idle_timeout"] > 0


COURSE = "widgets/serve/course"
SERVED = {"widgets/serve/voila.json", f"{COURSE}/README.md", *(f"{COURSE}/{page.file}" for page in PAGES.values())}


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in a wheel built now."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    built = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        return archive.namelist()


def test_wheel_can_serve_the_page(wheel: list[str]) -> None:
    template = "widgets/serve/jupyter/nbconvert/templates/precision"
    assert {
        *SERVED,
        "widgets/serve/config/labconfig/default_setting_overrides.json",
        f"{template}/conf.json",
        f"{template}/index.html.j2",
        "explorer/cli.py",
    } <= set(wheel)


def test_wheel_holds_every_asset_and_nothing_else(root: Path, wheel: list[str]) -> None:
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "explorer", "widgets"]
    listed = subprocess.run(asked, cwd=root, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout: a folder of files cannot say which of them are the project's")
    wanted = {name for name in listed.stdout.splitlines() if (root / name).is_file()}
    wanted |= SERVED
    assert {name for name in wheel if ".dist-info/" not in name} == wanted


def _commands(document: Path) -> str:
    """The code in a document: what a reader would copy."""
    text = document.read_text()
    if document.suffix != ".md":
        return text
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))
