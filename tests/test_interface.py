"""Names for backends and extensions are exported and documented, and are the only ones imported."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from sequences_core import Allocator

ROOT = Path(__file__).parent.parent
CORE = ROOT / "sequences_core"
CONTRIB = ROOT / "contrib" / "sequences_contrib"
PAGE = ROOT / "docs" / "interface.rst"

MODULES = ["sequences_core"] + [
    f"sequences_core.{path.stem}"
    for path in sorted(CORE.glob("*.py"))
    if "\n__all__ = " in path.read_text() and path.stem != "__init__"
]
BUILT_ON_IT = [
    *sorted(ROOT.glob("backends/*/sequences_*")),
    CONTRIB,
    *sorted(ROOT.glob("tests/thirdparty*/*_sequences")),
]


def imported(package: Path) -> set[tuple[str, str]]:
    """The module and the name of each import from the core, wherever in the package's files."""
    return {
        (str(node.module), alias.name)
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("sequences_core")
        for alias in node.names
    }


@pytest.mark.parametrize("module", MODULES)
def test_exported_names_are_sorted_and_there(module: str) -> None:
    """Constants, classes, functions: each name in ``__all__`` leads somewhere."""
    names = import_module(module).__all__
    assert names == sorted(names, key=lambda name: (not name.isupper(), name))
    assert len(set(names)) == len(names)
    assert all(hasattr(import_module(module), name) for name in names)


@pytest.mark.parametrize("package", BUILT_ON_IT, ids=lambda package: package.name)
def test_others_import_exported_names_only(package: Path) -> None:
    """A backend or an extension imports what the page of the interface lists, and nothing else."""
    page = PAGE.read_text()
    used = imported(package)
    assert used
    for module, name in sorted(used):
        assert name in import_module(module).__all__, f"{module} doesn't export {name}"
        assert f"``{name}``" in page or module == "sequences_core", f"{PAGE} lacks {name}"


def imports_inside(path: Path) -> Iterator[Path]:
    """The files of the same distribution that this one imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            among = [
                folder.with_suffix(".py"),
                *(folder / f"{each.name}.py" for each in node.names),
            ]
            yield from list(filter(Path.exists, among)) or [folder / "__init__.py"]


@pytest.mark.parametrize("package", [CORE, CONTRIB], ids=lambda package: package.name)
def test_there_is_no_import_circle(package: Path) -> None:
    """The modules of a package can be ordered so that each imports only earlier ones."""
    graph = {path: set(imports_inside(path)) for path in package.rglob("*.py")}
    del graph[package / "__init__.py"]  # which loads the public names when they are asked for
    assert sum(map(len, graph.values())) > 100
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) >= len(graph)


def test_each_flag_and_code_is_explained() -> None:
    """The page about writing a backend explains each class attribute of the contract."""
    page = (ROOT / "docs" / "writing-a-backend.rst").read_text()
    names = set(Allocator.__annotations__) - {"protocol", "vendors"}
    assert len(names) > 10
    assert {name for name in names if f"``{name}``" not in page} == set()


def test_the_contract_can_be_read_in_one_sitting() -> None:
    """The file that a backend's author reads first has less than 250 lines."""
    assert len((CORE / "allocator.py").read_text().splitlines()) < 250
