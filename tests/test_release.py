"""``make release``, and the installation of what it builds."""

from __future__ import annotations

import ast
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import yaml
from readme_renderer import rst

from tests.distributions import ROOT, SAMPLES, make_environment, run, try_run
from tests.servers.errors import wait_until
from tests.servers.ports import free_port, listens
from tests.test_packaging import DRIVERS, FOLDERS, import_name, metadata

URL = "https://github.com/owner/repository"
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
SCRIPT = ROOT / ".ci" / "release.py"
DISTRIBUTIONS = pytest.mark.parametrize("name", FOLDERS)
PROJECTS = {
    name: tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    for name, folder in FOLDERS.items()
}

needs_clone = pytest.mark.skipif(
    try_run("git", "-C", ROOT, "rev-parse").returncode != 0, reason="no clone of the repository"
)


def load_script() -> Any:
    spec = importlib.util.spec_from_file_location("release", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script()


def build(dist: Path) -> Path:
    """Build a release as ``make release`` does, which checks it as well."""
    run(sys.executable, SCRIPT, "--url", f"{URL}.git", "--dist", dist)
    return dist


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("release") / "dist")


def only(folder: Path, pattern: str) -> Path:
    (file,) = folder.glob(pattern)
    return file


def about(dist: Path, name: str) -> Message:
    return metadata(only(dist / name, "*.whl"))


# What is built


@needs_clone
def test_each_distribution_has_an_sdist_and_a_wheel(dist: Path) -> None:
    """Each folder contains what one job of the workflow publishes."""
    version = PROJECTS["sequences-core"]["version"]
    assert {str(path.relative_to(dist)) for path in dist.glob("*/*")} == {
        f"{name}/{import_name(name)}-{version}{end}"
        for name in FOLDERS
        for end in (".tar.gz", "-py3-none-any.whl")
    }


@needs_clone
def test_the_same_commit_gives_the_same_bytes(
    dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build doesn't depend on the time, the time zone or the umask."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    before = os.umask(0o077)
    try:
        again = build(tmp_path / "dist")
    finally:
        os.umask(before)
    files = [path.relative_to(dist) for path in sorted(dist.glob("*/*"))]
    assert len(files) == 2 * len(FOLDERS)
    assert [
        file for file in files if (dist / file).read_bytes() != (again / file).read_bytes()
    ] == []


@needs_clone
@DISTRIBUTIONS
def test_the_index_gets_addresses(dist: Path, name: str) -> None:
    """All URLs are of the repository that was built; a remote's ".git" is for git only."""
    urls = dict(text.split(", ") for text in about(dist, name).get_all("Project-URL", ()))
    assert set(urls) == {"Homepage", "Documentation", "Changelog", "Issues"}
    assert urls.pop("Homepage") == URL
    assert all(url.startswith(f"{URL}/") for url in urls.values())
    for url in urls.values():
        assert_leads_somewhere(url)


@needs_clone
@DISTRIBUTIONS
def test_the_description_works_on_an_index(dist: Path, name: str) -> None:
    """It renders without a warning; each link and picture is absolute, and of a file there is."""
    warnings = io.StringIO()
    text = about(dist, name).get_payload()
    assert isinstance(text, str)
    html = rst.render(text, stream=warnings)
    assert html
    assert not warnings.getvalue()
    assert name in html or name == "sequences-core"
    for target in re.findall(r'(?:href|src)="([^"#][^"]*)"', html):
        assert target.startswith("https://"), target
        if target.startswith(URL):
            assert_leads_somewhere(target)
    assert not [target for target in re.findall(r'src="([^"]*)"', html) if "/raw/" not in target]


def assert_leads_somewhere(url: str) -> None:
    place = rf"{URL}/(?:blob|raw|tree)/v([\d.]+)/([^#?]+)(?:\?sanitize=true|#.+)?|{URL}/issues"
    match = re.fullmatch(place, url)
    assert match, url
    if match[2]:
        assert match[1] == PROJECTS["sequences-core"]["version"]
        assert (ROOT / match[2]).exists(), url


@needs_clone
@DISTRIBUTIONS
def test_an_sdist_holds_its_tests(dist: Path, name: str) -> None:
    """The tests come with the source, and of no other distribution anything does."""
    with tarfile.open(only(dist / name, "*.tar.gz")) as archive:
        paths = [Path(path).parts[1:] for path in archive.getnames()]
    shared = {".gitignore", "LICENSE", "PKG-INFO", "README.rst", "pyproject.toml", "tests"}
    own = {"CHANGELOG.rst", "CONTRIBUTING.rst", "SECURITY.rst", "docs"}
    expected = {import_name(name), *shared} | (own if name == "sequences-core" else set())
    assert {parts[0] for parts in paths} == expected
    assert any(parts[0] == "tests" and parts[-1].startswith("test_") for parts in paths)
    catalogues = {parts[2] for parts in paths if parts[-1] == "django.mo"}
    translated = {"sequences-core", "sequences-contrib"}
    assert catalogues >= {"de", "pl"} if name in translated else not catalogues


@needs_clone
def test_the_tests_of_an_sdist_are_found(dist: Path, tmp_path: Path) -> None:
    """Where the core's source is unpacked, pytest collects what can be run there, and no more."""
    with tarfile.open(only(dist / "sequences-core", "*.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    collect = ("-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider")
    found = run(sys.executable, *collect, cwd=folder, DB="sqlite")
    assert "tests/test_api.py::" in found
    assert "tests/test_readme.py::" not in found


@needs_clone
def test_the_sdist_of_the_core_holds_the_samples(dist: Path) -> None:
    """The sdist contains a complete sample of a backend to copy."""
    with tarfile.open(only(dist / "sequences-core", "*.tar.gz")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    samples = script.git("ls-files", *map(str, SAMPLES)).split()
    assert {f"tests/{sample.name}/pyproject.toml" for sample in SAMPLES} <= set(samples)
    assert set(samples) <= names


# What the metadata say


@DISTRIBUTIONS
def test_all_distributions_say_the_same_of_themselves(name: str) -> None:
    """All have the same version, authors, licence, and versions of Python and Django."""
    for key in ("version", "authors", "license", "requires-python", "classifiers"):
        assert PROJECTS[name][key] == PROJECTS["sequences-core"][key]
    assert PROJECTS[name]["keywords"]


def test_the_classifiers_are_what_is_tested() -> None:
    """The Pythons and Djangos that the metadata name are those of the matrix."""
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    djangos: dict[str, tuple[str, ...]] = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DJANGOS"
    )
    named = PROJECTS["sequences-core"]["classifiers"]
    pythons = {python for several in djangos.values() for python in several}
    assert numbers(named, "Framework :: Django") == set(djangos)
    assert numbers(named, "Programming Language :: Python") == {"3", *pythons}


def numbers(classifiers: list[str], start: str) -> set[str]:
    return {
        match[1] for text in classifiers if (match := re.fullmatch(rf"{start} :: ([\d.]+)", text))
    }


# What is refused


@pytest.mark.parametrize(
    "remote",
    [
        URL,
        f"{URL}.git",
        f"{URL}/",
        "git@github.com:owner/repository.git",
        "ssh://git@github.com/owner/repository.git",
        "https://somebody:secret@github.com/owner/repository",
    ],
)
def test_the_address_is_what_a_browser_opens(remote: str) -> None:
    """Every form of a remote is converted to a public URL without secrets."""
    assert script.address(remote) == URL


@pytest.mark.parametrize("remote", ["/srv/git/repository", "../repository", "file:///srv/git", ""])
def test_a_path_is_no_address(remote: str) -> None:
    """A clone of a folder has to be told where users find the repository."""
    with pytest.raises(SystemExit, match="--url"):
        script.address(remote)


def test_a_wrong_tag_is_refused() -> None:
    """A tag is that of the version, and its changes are written up."""
    version = PROJECTS["sequences-core"]["version"]
    with pytest.raises(SystemExit, match="The tag "):
        script.check_tag("v99.0", version)
    with pytest.raises(SystemExit, match="make changelog"):
        script.check_tag("v99.0", "99.0")


def test_links_become_absolute() -> None:
    """Links and pictures are resolved from the README's folder; others are left alone."""
    page = """
`The field <../docs/interface.rst#x>`_, `broken
into lines <../README.rst>`__ and
`elsewhere <https://example.com/a>`_, ``a <b>``, `here <#top>`_.

.. image:: ../benchmarks/results/full/writers.svg
   :alt: ../README.rst
"""
    assert (
        script.absolute(page, "contrib", URL, "v1")
        == f"""
`The field <{URL}/blob/v1/docs/interface.rst#x>`_, `broken
into lines <{URL}/blob/v1/README.rst>`__ and
`elsewhere <https://example.com/a>`_, ``a <b>``, `here <#top>`_.

.. image:: {URL}/raw/v1/benchmarks/results/full/writers.svg?sanitize=true
   :alt: ../README.rst
"""
    )
    with pytest.raises(
        SystemExit, match=r"contrib/README.rst links to a missing file: 'nowhere.rst'"
    ):
        script.absolute("`x <nowhere.rst>`_", "contrib", URL, "v1")


# The changelog


def test_every_fragment_gets_into_the_changelog(tmp_path: Path) -> None:
    """``make changelog`` takes each file, and what it writes satisfies the release."""
    for file in ("pyproject.toml", "CHANGELOG.rst"):
        shutil.copy(ROOT / file, tmp_path)
    shutil.copytree(ROOT / "changelog.d", tmp_path / "changelog.d")
    fragments = [path.read_text().split() for path in (tmp_path / "changelog.d").iterdir()]
    options = ("--yes", "--version", "99.0", "--date", "2030-01-31")
    run(sys.executable, "-m", "towncrier", "build", *options, cwd=tmp_path)
    assert not [*tmp_path.glob("changelog.d/*.rst")]
    text = (tmp_path / "CHANGELOG.rst").read_text()
    assert "\nsequences-core 99.0 (2030-01-31)\n----" in text  # a section below the page's title
    words = " ".join(text.split())
    assert [fragment for fragment in fragments if " ".join(fragment) not in words] == []
    warnings = io.StringIO()
    assert rst.render(text, stream=warnings), warnings.getvalue()
    assert not warnings.getvalue()


@pytest.mark.parametrize("page", ["CHANGELOG.rst", "CONTRIBUTING.rst", "SECURITY.rst"])
def test_pages_beside_the_readme_render(page: str) -> None:
    """Hosts of repositories show them, too."""
    warnings = io.StringIO()
    assert rst.render((ROOT / page).read_text(), stream=warnings)
    assert not warnings.getvalue()


# The workflow


def workflow() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(WORKFLOW.read_text(), yaml.BaseLoader)
    return loaded


def order() -> list[str]:
    """The distributions in the order in which the workflow publishes them."""
    jobs = workflow()["jobs"]
    assert list(jobs) == ["build", "core", "others"]
    return [jobs["core"]["environment"], *jobs["others"]["strategy"]["matrix"]["distribution"]]


def test_the_workflow_publishes_all_of_them_the_core_first() -> None:
    """A tag starts it; each job publishes one folder that the build has made, in turn."""
    jobs = workflow()["jobs"]
    assert workflow()["on"] == {"push": {"tags": ["v*"]}}
    assert order()[0] == "sequences-core"
    assert sorted(order()) == sorted(FOLDERS)
    assert jobs["core"]["needs"] == "build"
    assert jobs["others"]["needs"] == "core"


@pytest.mark.parametrize("job", ["core", "others"])
def test_publishing_needs_no_secret(job: str) -> None:
    """Trusted publishing, with attestations, and an environment for each distribution."""
    found = workflow()["jobs"][job]
    assert found["permissions"] == {"id-token": "write"}
    publish = found["steps"][-1]
    assert publish["uses"].startswith("pypa/gh-action-pypi-publish@")
    assert publish["with"]["attestations"] == "true"
    assert publish["with"]["packages-dir"] == f"dist/{found['environment']}/"
    assert "secrets." not in WORKFLOW.read_text()
    assert workflow()["permissions"] == {"contents": "read"}


@needs_clone
def test_the_workflow_builds_with_the_command_that_is_tested() -> None:
    """The only command of the workflow is ``make release`` for the tag."""
    (command,) = (step["run"] for step in workflow()["jobs"]["build"]["steps"] if "run" in step)
    assert command == 'make release ARGS="--tag=$GITHUB_REF_NAME"'
    quiet = ("--dry-run", "--always-make", "--no-print-directory")  # the tests may run under make
    shown = run("make", *quiet, "release", "ARGS=--tag=v1", cwd=ROOT)
    assert shown.splitlines()[-1] == ".venv/bin/python .ci/release.py --tag=v1"


# A rehearsal: published into an index of this machine, and installed from there


@pytest.fixture(scope="module")
def index(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an index where the release was published, in the workflow's order."""
    folder = tmp_path_factory.mktemp("index")
    port = free_port()
    options = ("--interface", "127.0.0.1", "--port", str(port), "--disable-fallback")
    open_to_all = ("--authenticate", ".", "--passwords", ".")
    command = [sys.executable, "-m", "pypiserver", "run", *options, *open_to_all, str(folder)]
    with (folder.parent / "index.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}/"
        wait_until(lambda: listens(port), "The index did not start")
        for name in order():
            publish(address, sorted((dist / name).iterdir()))
        yield f"{address}simple/"
    finally:
        server.terminate()
        server.wait(10)


def publish(address: str, files: list[Path]) -> None:
    """Upload as the workflow's action does."""
    options = ("--repository-url", address, "--non-interactive", "--disable-progress-bar")
    twine = (sys.executable, "-m", "twine", "upload", *options)
    run(*twine, *files, TWINE_USERNAME="nobody", TWINE_PASSWORD="nothing")


IMPORTED = """
from importlib.metadata import distributions, entry_points
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["sequences_core"])
django.setup()
from sequences_core import Allocator
for entry in entry_points(group="sequences_core.backends"):
    assert issubclass(entry.load(), Allocator)
for driver in ("psycopg", "MySQLdb", "oracledb"):
    try:
        __import__(driver)
    except ImportError:
        pass
    else:
        print(driver)
print(*(here.name.lower() for here in distributions()))
"""

BACKENDS = {name: f"sequences-{name}" for name in ("postgresql", "mysql", "oracle", "sqlite")}
EXTRAS = {extra: {backend} for extra, backend in BACKENDS.items()} | {
    "all": {*BACKENDS.values(), "sequences-orm"},
    "testing": set(),
}


@needs_clone
@pytest.mark.parametrize("extra", EXTRAS)
def test_each_extra_installs_and_imports(extra: str, index: str, tmp_path: Path) -> None:
    """An empty environment gets the backend with its driver from the index, and both import."""
    if extra in {"mysql", "all"} and not importlib.util.find_spec("MySQLdb"):
        pytest.skip("mysqlclient can't be built here")
    libpq = ["psycopg[binary]"] * (extra in {"postgresql", "all"})  # of which psycopg has none
    python = make_environment(tmp_path, "--index", index, f"sequences-core[{extra}]", *libpq)
    there = set(run(python, "-W", "error", "-c", IMPORTED, cwd=tmp_path).split())
    ours = {name for name in there if name.startswith("sequences-")}
    assert ours == {"sequences-core", *EXTRAS[extra]}
    drivers = {DRIVERS.get(name.removeprefix("sequences-")) for name in EXTRAS[extra]} - {None}
    assert drivers == there & set(DRIVERS.values())
    modules = {"psycopg": "psycopg", "mysqlclient": "MySQLdb", "oracledb": "oracledb"}
    assert {modules[str(driver)] for driver in drivers} <= there
    assert ("pytest" in there) == (extra == "testing")


MODELS = """
from django.db import models
from sequences_contrib.fields import SequenceField


class Invoice(models.Model):
    number = SequenceField("invoices", unique=True)
    customer = models.CharField(max_length=100)
"""

NUMBERED = """
from shop.models import Invoice

print(*(Invoice.objects.create(customer=name).number for name in ("Ada", "Grace")))
"""


@needs_clone
def test_a_new_project_numbers_its_rows(index: str, tmp_path: Path) -> None:
    """Somebody with an empty folder gets numbered rows by what is published, and nothing else."""
    python = make_environment(
        tmp_path / "environment", "--index", index, "sequences-core[sqlite]", "sequences-contrib"
    )
    run(python, "-m", "django", "startproject", "office", tmp_path)

    def manage(*command: str) -> str:
        return run(python, "-W", "error", "manage.py", *command, cwd=tmp_path)

    manage("startapp", "shop")
    (tmp_path / "shop" / "models.py").write_text(MODELS)
    settings = tmp_path / "office" / "settings.py"
    apps = 'INSTALLED_APPS = [\n    "sequences_core",\n    "shop",\n'
    settings.write_text(settings.read_text().replace("INSTALLED_APPS = [\n", apps))
    manage("makemigrations", "shop")
    manage("migrate")
    manage("check", "--fail-level", "ERROR", "--database", "default")
    assert manage("shell", "-v", "0", "-c", NUMBERED).split() == ["1", "2"]
    assert "invoices" in manage("sequences", "list")


@needs_clone
def test_an_sdist_installs_as_well(index: str, tmp_path: Path) -> None:
    """Installing from the sdists gives the same packages."""
    options = ("--no-binary", "sequences-core", "--no-binary", "sequences-sqlite")
    python = make_environment(tmp_path, "--index", index, *options, "sequences-core[sqlite]")
    there = run(python, "-W", "error", "-c", IMPORTED, cwd=tmp_path).split()
    assert {"sequences-core", "sequences-sqlite"} <= set(there)
