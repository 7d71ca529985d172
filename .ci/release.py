"""Build an sdist and a wheel of each distribution into dist/<distribution>/, and check them.

No file contains the repository's address: it is git's remote "origin", or ``--url``. The build
uses a copy of the files that git tracks, with additions for the package index: the URLs of the
project, and READMEs whose links and images point to the repository at the tag of this version.

All files have the date of the last commit, so that builds are reproducible.
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
    parser.add_argument("--url", help="the repository's address for a browser")
    parser.add_argument("--tag", help="fail unless this is the tag of the version")
    parser.add_argument(
        "--dist", type=Path, default=ROOT / "dist", help="the folder of the results; default: dist/"
    )
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
            # It also requires an e-mail address of the authors, which this project doesn't have.
            if pyroma.run("directory", str(copy / folder), skip_tests=["AuthorEmail"]) < 10:
                raise SystemExit(f"pyroma rates the metadata of {name} too low.")
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
        raise SystemExit("This clone has no remote 'origin': pass --url=https://…") from None


def address(remote: str) -> str:
    """Return the address for a browser of a git remote, without a user name."""
    match = re.fullmatch(
        r"(?:ssh://|https://)?(?:[^@/]*@)?([\w.-]+\.\w+)[:/](.+?)(?:\.git)?/?", remote
    )
    if not match:
        raise SystemExit(f"{remote!r} is not a public repository's address: pass --url=https://…")
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
    """Fail if the tag is for another version, or if the changelog lacks its changes."""
    if tag != f"v{version}":
        raise SystemExit(f"The tag {tag!r} doesn't match the version {version!r}.")
    changes = (ROOT / "CHANGELOG.rst").read_text()
    if f"\nsequences-core {version} (" not in changes or [*ROOT.glob("changelog.d/*.rst")]:
        raise SystemExit(f"CHANGELOG.rst lacks changes of {version}: run make changelog.")


def copy_to(folder: Path) -> None:
    """Copy the files that git tracks, in their current state."""
    for name in git("ls-files", "-z").split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def prepare(copy: Path, folder: str, url: str, tag: str) -> None:
    readme, pyproject = copy / folder / "README.rst", copy / folder / "pyproject.toml"
    readme.write_text(absolute(readme.read_text(), folder, url, tag))
    pyproject.write_text(pyproject.read_text() + URLS.format(url=url, tag=tag))


def absolute(text: str, folder: str, url: str, tag: str) -> str:
    """Return a README of this folder with absolute links and images."""

    def replace(match: re.Match[str], kind: str) -> str:
        before, target, after = match.groups()
        if re.match(r"[a-z]+:|#", target) or target.endswith("_"):
            return match[0]
        file, _, anchor = target.partition("#")
        path = os.path.normpath(Path(folder, file))
        if not (ROOT / path).exists():
            raise SystemExit(f"{Path(folder, 'README.rst')} links to a missing file: {target!r}")
        # Without this, GitHub serves an SVG as text, which other sites don't show.
        query = "?sanitize=true" if kind == "raw" and path.endswith(".svg") else ""
        return f"{before}{url}/{kind}/{tag}/{path}{query}{anchor and '#' + anchor}{after}"

    text = LINK.sub(lambda match: replace(match, "blob"), text)
    return PICTURE.sub(lambda match: replace(match, "raw"), text)


if __name__ == "__main__":
    main()
