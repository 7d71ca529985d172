"""Build what is published into dist/<distribution>/, an sdist and a wheel for each, and check it.

The repository's address is written in no file: it is git's remote "origin", or ``--url``. A copy
of the files that git tracks gets what an index needs and a clone doesn't: the URLs of the project,
and READMEs whose links and pictures lead to the repository, at the tag of this version.

The date of the last commit is the date of all files, so one commit always gives the same bytes.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pyroma

ROOT = Path(__file__).parents[1]
FOLDERS = [
    "",
    "contrib",
    *sorted(f"backends/{file.parent.name}" for file in ROOT.glob("backends/*/pyproject.toml")),
]

URLS = """
[project.urls]
Homepage = "{url}"
Documentation = "{url}/tree/{tag}/docs"
Changelog = "{url}/blob/{tag}/CHANGELOG.rst"
Issues = "{url}/issues"
"""

LINK = re.compile(r"(`[^`<]*<)([^`>]+)(>`_)")
PICTURE = re.compile(r"(^ *\.\. (?:image|figure):: +)(\S+)()", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", help="the repository's address, as a browser opens it")
    parser.add_argument("--tag", help="fail unless this is the tag of the version")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="instead of dist/")
    options = parser.parse_args()
    url, version = address(options.url or origin()), version_of_all()
    if options.tag:
        check_tag(options.tag, version)
    os.environ.setdefault("SOURCE_DATE_EPOCH", git("log", "-1", "--format=%ct").strip())
    dist = options.dist.resolve()
    shutil.rmtree(dist, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        copy_to(copy)
        for folder in FOLDERS:
            prepare(copy, folder, url, f"v{version}")
            name = project(copy / folder)["name"]
            run("hatchling", "build", "--directory", dist / name, cwd=copy / folder)
            # It wants an e-mail address of the authors as well; this project has none.
            if pyroma.run("directory", str(copy / folder), skip_tests=["AuthorEmail"]) < 10:
                raise SystemExit(f"The metadata of {name} are not good enough, says pyroma.")
    run("twine", "check", "--strict", *sorted(dist.glob("*/*")))
    run("check_wheel_contents", *sorted(dist.glob("*/*.whl")))


def run(module: str, *options: str | Path, cwd: Path = ROOT) -> None:
    subprocess.run([sys.executable, "-m", module, *options], cwd=cwd, check=True)  # noqa: S603


def git(*command: str) -> str:
    done = subprocess.run(["git", *command], cwd=ROOT, check=True, stdout=-1, text=True)  # noqa: S603, S607
    return done.stdout


def origin() -> str:
    try:
        return git("remote", "get-url", "origin").strip()
    except subprocess.CalledProcessError:
        raise SystemExit("This clone has no remote 'origin': give --url=https://…") from None


def address(remote: str) -> str:
    """Return what a browser opens for what git clones from, without the name of a user."""
    match = re.fullmatch(
        r"(?:ssh://|https://)?(?:[^@/]*@)?([\w.-]+\.\w+)[:/](.+?)(?:\.git)?/?", remote
    )
    if not match:
        raise SystemExit(f"{remote!r} is no address of a public repository: give --url=https://…")
    return f"https://{match[1]}/{match[2]}"


def project(folder: Path) -> dict[str, str]:
    table: dict[str, str] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return table


def version_of_all() -> str:
    versions = {project(ROOT / folder)["version"] for folder in FOLDERS}
    if len(versions) > 1:
        raise SystemExit(
            f"The distributions have different versions: {', '.join(sorted(versions))}"
        )
    return versions.pop()


def check_tag(tag: str, version: str) -> None:
    """Refuse a tag of another version, and one whose changes are not in the changelog."""
    if tag != f"v{version}":
        raise SystemExit(f"The tag is {tag!r}, and the version is {version!r}.")
    changes = (ROOT / "CHANGELOG.rst").read_text()
    if f"\nsequences-core {version} (" not in changes or [*ROOT.glob("changelog.d/*.rst")]:
        raise SystemExit(f"CHANGELOG.rst lacks changes of {version}: run make changelog.")


def copy_to(folder: Path) -> None:
    """Copy the files that git tracks, as they are now; not what else lies about."""
    for name in git("ls-files", "-z").split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def prepare(copy: Path, folder: str, url: str, tag: str) -> None:
    readme, pyproject = copy / folder / "README.rst", copy / folder / "pyproject.toml"
    readme.write_text(absolute(readme.read_text(), folder, url, tag))
    pyproject.write_text(pyproject.read_text() + URLS.format(url=url, tag=tag))


def absolute(text: str, folder: str, url: str, tag: str) -> str:
    """Return a README of this folder with links and pictures that work from elsewhere."""

    def replace(match: re.Match[str], kind: str) -> str:
        before, target, after = match.groups()
        if re.match(r"[a-z]+:|#", target) or target.endswith("_"):
            return match[0]
        file, _, anchor = target.partition("#")
        path = os.path.normpath(Path(folder, file))
        if not (ROOT / path).exists():
            raise SystemExit(f"{Path(folder, 'README.rst')} leads to {target!r}: no such file.")
        # Without this GitHub sends an SVG as text, which other sites don't show.
        query = "?sanitize=true" if kind == "raw" and path.endswith(".svg") else ""
        return f"{before}{url}/{kind}/{tag}/{path}{query}{anchor and '#' + anchor}{after}"

    text = LINK.sub(lambda match: replace(match, "blob"), text)
    return PICTURE.sub(lambda match: replace(match, "raw"), text)


if __name__ == "__main__":
    main()
