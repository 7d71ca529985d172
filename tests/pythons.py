"""Python interpreters for the matrix: pyenv's, and Debian's, which have other releases of SQLite.

`python -m tests.pythons [text …]` prints a PATH on which nox finds them. It installs those
of Debian that the text names, or all that are missing if there is no text.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.servers.errors import ServerError
from tests.servers.install import debian, install

PYTHONS = {"3.13": "trixie", "3.14": "sid"}
"""The Debian releases with a newer SQLite than the machine's, by their Python versions."""


def python(version: str) -> Path:
    """Return Debian's Python `version`, alone in a folder: other programs there don't run here.

    It runs in place, with the dynamic loader and the libraries of the system around it.
    """
    root = debian(PYTHONS[version], f"python{version}-venv")
    interpreter = root / "usr" / "bin" / f"python{version}"
    libraries = root / "usr" / "lib" / f"{os.uname().machine}-linux-gnu"
    (loader,) = (root / "usr" / "lib64").glob("ld-linux-*")

    def patchelf(*arguments: str | Path) -> str:
        command = [install("patchelf"), *arguments, interpreter]
        return subprocess.check_output(command, text=True).strip()

    if patchelf("--print-interpreter") != str(loader):
        patchelf("--force-rpath", "--set-rpath", libraries, "--set-interpreter", loader)
    alone = root / "opt" / interpreter.name
    if not alone.exists():
        alone.symlink_to(interpreter)
    return alone


def path(text: str = "") -> str:
    """Return a PATH with pyenv's Pythons, instead of pyenv's shims, and with Debian's."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = [*sorted(pyenv.glob("versions/3.*/bin")), *os.environ["PATH"].split(os.pathsep)]
    for version in PYTHONS:
        known = os.pathsep.join(str(one) for one in folders if one != pyenv / "shims")
        if version in (text or version) and not shutil.which(f"python{version}", path=known):
            try:
                folders.append(python(version).parent)
            except ServerError as error:  # nox will report that it is missing
                print(error, file=sys.stderr)
    return os.pathsep.join(map(str, folders))


if __name__ == "__main__":
    print(path(" ".join(sys.argv[1:])))
