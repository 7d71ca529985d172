"""README.rst, those of the distributions, and the pages: their code runs, what they name exists."""

from __future__ import annotations

import ast
import builtins
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from doctest import ELLIPSIS
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import NotSupportedError, connections, models
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.db.migrations.state import ModelState, ProjectState
from django.test.utils import isolate_apps
from sybil.document import Document
from sybil.example import Example
from sybil.parsers.rest import DocTestParser, PythonCodeBlockParser

import sequences_core
from sequences_core import exceptions, get_allocator, get_last_value
from sequences_core.management.commands.sequences import Command
from sequences_core.registry import default_allocator
from tests.distributions import BACKENDS, ROOT

README = ROOT / "README.rst"
DOCS = ROOT / "docs"
PAGES = [
    README,
    ROOT / "contrib" / "README.rst",
    *(ROOT / "backends" / name / "README.rst" for name in BACKENDS),
    *sorted(path for path in DOCS.rglob("*.rst") if "_build" not in path.parts),
]
RUN_ELSEWHERE = {"docs/tutorial.rst"}
"""Pages whose code makes a project, and not a module; tests/test_tutorial.py has that project."""

# The models of an example need an app, and during a test only this one is there.
APP = "sequences_core"
ON_EACH_DATABASE = pytest.mark.django_db(
    transaction=True, databases="__all__", available_apps=[APP, "sequences_contrib"]
)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def examples(page: Path) -> list[Example]:
    document = Document.parse(str(page), PythonCodeBlockParser(), DocTestParser(ELLIPSIS))
    document.namespace["__name__"] = f"{APP}.readme"
    return list(document.examples())


def source(example: Example) -> str:
    return example.document.text[example.region.start : example.region.end]


def assigned(setting: str) -> list[Any]:
    """Every value that a page gives to a setting."""
    blocks = [str(example.parsed) for page in PAGES for example in examples(page)]
    return [
        ast.literal_eval(statement.value)
        for block in blocks
        if f"{setting} =" in block
        for statement in ast.parse(block).body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == setting
    ]


def mentioned(pattern: str) -> set[str]:
    """Return the matches of the pattern's group on all pages."""
    found = {word for page in PAGES for word in re.findall(pattern, page.read_text(), re.MULTILINE)}
    assert found
    return found


@pytest.fixture
def default(using: str, settings: Any) -> Iterator[Any]:
    """The database of this run, which the examples find as "default"."""
    before = connections["default"]
    connections["default"] = connections[using].copy(alias="default")
    settings.SEQUENCES_BACKEND = "auto"  # forgets the allocator of the other one
    settings.SEQUENCES_AUTOCOMMIT = "error"
    try:
        yield connections["default"]
    finally:
        connections["default"].close()
        connections["default"] = before


WITH_CODE = [page for page in PAGES if name_of(page) not in RUN_ELSEWHERE and list(examples(page))]


@ON_EACH_DATABASE
@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_examples_do_as_the_page_says(default: Any, page: Path) -> None:
    """The examples run one after the other, and print what the page says, on each database.

    The system checks have nothing to say of their numbers.
    """
    in_statement = get_allocator(default).supports_function
    made: list[type[models.Model]] = []
    with isolate_apps(APP) as registry:
        assert registry
        try:
            for example in examples(page):
                expected: AbstractContextManager[Any] = nullcontext()
                if "NextValue(" in source(example) and not in_statement:
                    expected = pytest.raises(NotSupportedError)
                with expected:
                    example.evaluate()
                new = [model for model in registry.get_models() if model not in made]
                for model in new:
                    with default.schema_editor() as editor:
                        editor.create_model(model)
                made += new
            found = [message for model in made for message in model.check()]
            assert not [message for message in found if str(message.id).startswith("sequences")]
        finally:
            with default.schema_editor() as editor:
                for model in reversed(made):
                    editor.delete_model(model)
    if page == DOCS / "nextvalue.rst":
        assert get_last_value("payments") == (4 if in_statement else None)


@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_blocks_of_code_import_what_they_use(page: Path) -> None:
    """A reader copies the blocks of code without the sessions: a block or one before it has all."""
    document = Document.parse(str(page), PythonCodeBlockParser())
    names = [
        node for example in document.examples() for node in ast.walk(ast.parse(str(example.parsed)))
    ]
    bound: set[str] = set(dir(builtins))
    used: set[str] = set()
    for node in names:
        if isinstance(node, ast.alias):
            bound.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            bound.add(node.name)
        elif isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
    assert used <= bound


@ON_EACH_DATABASE
def test_the_migration_numbers_the_rows(default: Any) -> None:
    """The migration for a table that has rows numbers them in order, and new ones after them."""
    numbers, texts = examples(DOCS / "existing-rows.rst")
    numbers.evaluate()
    state = ProjectState()
    state.add_model(ModelState("shop", "Invoice", [("id", models.BigAutoField(primary_key=True))]))
    bare: Any = state.apps.get_model("shop", "Invoice")
    with default.schema_editor() as editor:
        editor.create_model(bare)
    try:
        for pk in (7, 3, 5):
            bare.objects.create(pk=pk)
        with default.schema_editor(atomic=True) as editor:
            state = numbers.namespace["Migration"]("0002_number", "shop").apply(state, editor)
        numbered: Any = state.apps.get_model("shop", "Invoice")
        assert numbered.objects.create(pk=9).number == 4
        assert dict(numbered.objects.values_list("pk", "number")) == {3: 1, 5: 2, 7: 3, 9: 4}
        assert numbered._meta.get_field("number").unique
        texts.evaluate()
        with default.schema_editor(atomic=True) as editor:
            state = texts.namespace["Migration"]("0003_text", "shop").apply(state, editor)
        written: Any = state.apps.get_model("shop", "Invoice")
        assert written.objects.create(pk=11).text == "INV-00005"
        texts_of = [f"INV-0000{number}" for number in range(1, 6)]
        assert list(written.objects.order_by("pk").values_list("text", flat=True)) == texts_of
    finally:
        with default.schema_editor() as editor:
            editor.delete_model(bare)


def test_tables_of_other_packages_have_these_names() -> None:
    """Each table that the pages tell readers to adopt is one that the other package creates."""
    pytest.importorskip("django_seq", reason="the group bench is not installed")
    created = set()
    for app in ("sequences", "django_seq"):
        (model,) = import_module(f"{app}.migrations.0001_initial").Migration.operations
        created.add(model.options.get("db_table", f"{app}_{model.name_lower}"))
    assert mentioned(r"--from-table[\s`]+(\w+)") == created


@pytest.mark.parametrize("choice", assigned("SEQUENCES_BACKEND"), ids=str)
def test_each_choice_of_a_backend_works(
    choice: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each value of SEQUENCES_BACKEND that a page shows leads to an installed backend."""
    for alias in choice if isinstance(choice, dict) else ():
        monkeypatch.setitem(connections.databases, alias, connections["default"].settings_dict)
    settings.SEQUENCES_BACKEND = choice
    assert get_allocator(connections["default"])


@pytest.mark.parametrize("mode", assigned("SEQUENCES_AUTOCOMMIT"))
def test_each_mode_of_autocommit_is_one(mode: str, settings: Any) -> None:
    """Each value of SEQUENCES_AUTOCOMMIT that a page shows passes the system check."""
    settings.SEQUENCES_AUTOCOMMIT = mode
    assert not [found for found in run_checks(databases=[]) if found.id == "sequences_core.E003"]


@pytest.mark.parametrize("databases", assigned("DATABASES"), ids=str)
def test_settings_of_sqlite_pass_the_check(databases: dict[str, Any]) -> None:
    """The settings that a page recommends for SQLite pass the system check."""
    for alias, database in databases.items():
        if database["ENGINE"].endswith("sqlite3"):
            wrapper = DatabaseWrapper(database, alias)
            # Not by the alias: that is another database here.
            assert not default_allocator(wrapper).check(wrapper)


@pytest.mark.django_db(transaction=True, available_apps=[APP])
def test_the_example_of_a_test_is_one() -> None:
    """The test with threads that docs/testing.rst shows passes."""
    for example in examples(DOCS / "testing.rst"):
        example.evaluate()
        namespace = example.namespace
    namespace["test_two_threads_get_two_numbers"]()


def test_the_tree_of_errors_is_the_codes() -> None:
    """The tree in docs/operating.rst is that of ``sequences_core.exceptions``."""
    tree = (exceptions.__doc__ or "").split("::")[1].split("Invalid arguments")[0]
    for line in filter(None, map(str.strip, tree.splitlines())):
        assert line in (DOCS / "operating.rst").read_text()


def test_each_check_is_described() -> None:
    """Every id of a system check is explained on a page, and every one explained is used."""
    pattern = r"sequences_[a-z]+\.[EWI]\d{3}"
    packages = [ROOT / "sequences_core", *ROOT.glob("backends/*/sequences_*"), ROOT / "contrib"]
    used = {
        found
        for package in packages
        for path in package.rglob("*.py")
        for found in re.findall(pattern, path.read_text())
        if "tests" not in path.parts
    }
    assert used == mentioned(rf"({pattern})")


def test_each_public_name_is_in_the_reference() -> None:
    """docs/reference.rst has every name of ``sequences_core.__all__``."""
    reference = (DOCS / "reference.rst").read_text()
    listed = re.findall(r"^\.\. auto\w+:: (\w+)$", reference, re.MULTILINE)
    assert sorted(listed, key=sequences_core.__all__.index) == sequences_core.__all__


def test_readme_is_short() -> None:
    """README.rst has at most 200 lines: the rest is in docs/."""
    assert len(README.read_text().splitlines()) <= 200


OUTSIDE_OF_SPHINX = [
    *(page for page in PAGES if page.name == "README.rst"),
    *(ROOT / name for name in ("CONTRIBUTING.rst", "benchmarks/README.rst")),
]


@pytest.mark.parametrize("page", OUTSIDE_OF_SPHINX, ids=name_of)
def test_readmes_are_plain_restructuredtext(page: Path) -> None:
    """A package index shows them with docutils alone: they use nothing of Sphinx."""
    docutils = pytest.importorskip("docutils.core", reason="the group docs is not installed")
    strict = {"halt_level": 2, "file_insertion_enabled": False, "raw_enabled": False}
    html = docutils.publish_string(page.read_text(), writer="html5", settings_overrides=strict)
    assert b"<h1" in html


def test_links_between_files_lead_somewhere() -> None:
    """Links of the READMEs, which Sphinx doesn't check, are relative and lead to files."""
    for page in OUTSIDE_OF_SPHINX:
        links = re.findall(r"<([^<>:#\s]+\.rst)(?:#[^>]*)?>`_", page.read_text())
        for link in links:
            assert (page.parent / link).exists(), f"{page}: {link}"


def test_extras_distributions_and_commands_exist() -> None:
    """Everything that the pages tell readers to install or run exists."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = mentioned(r"sequences-core\[(\w+)\]") | {"mysql", "oracle", "sqlite", "all"}
    assert extras <= set(project["optional-dependencies"])
    names = mentioned(r"pip install sequences-(\w+)") - {"core", "contrib"}
    assert names <= set(BACKENDS)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert mentioned(r"(?:^ +|``)make ([a-z-]+)") <= targets
    parser = Command().create_parser("manage.py", "sequences")
    for command in mentioned(r"^ +python manage\.py sequences ((?:[^#\n\\]|\\\n)+)"):
        assert parser.parse_args(shlex.split(command.replace("\\\n", "")))
