"""Pythons that the machine has not got, and with them other releases of SQLite."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.servers.install import debian, install

PYTHONS = {"3.13": "trixie", "3.14": "sid"}
"""The releases of Debian that have a newer SQLite than the machine, by their Pythons."""


def python(version: str) -> Path:
    """The interpreter of Debian's Python `version`, with the libraries of that release.

    It runs where it lies: its loader and its libraries are those of the system around it.
    """
    root = debian(PYTHONS[version], f"python{version}-venv")
    interpreter = root / "usr" / "bin" / f"python{version}"
    libraries = root / "usr" / "lib" / f"{os.uname().machine}-linux-gnu"
    (loader,) = (root / "usr" / "lib64").glob("ld-linux-*")
    patchelf = str(install("patchelf"))
    print_interpreter = [patchelf, "--print-interpreter", interpreter]
    if subprocess.check_output(print_interpreter, text=True).strip() != str(loader):
        change = ["--force-rpath", "--set-rpath", libraries, "--set-interpreter", loader]
        subprocess.run([patchelf, *change, interpreter], check=True)
    return interpreter
