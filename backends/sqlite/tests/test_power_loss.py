"""With synchronous = NORMAL, a power loss causes no gap and loses no acknowledged number."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.install import install

HERE = Path(__file__).with_name("power")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the library that records which data is synced."""
    library = tmp_path_factory.mktemp("power") / "durable.so"
    options = ["-shared", "-fPIC", "-O2", "-Wall", "-Werror"]
    subprocess.run([install("gcc"), *options, "-o", library, HERE / "durable.c"], check=True)
    return library


class TestPowerLoss:
    """Simulated power losses between any two steps, with any of the unsynced sectors written."""

    using = "sqlite"

    def faults(self, library: Path, folder: Path, seed: int, waits: str) -> list[str]:
        disk, durable = folder / "disk", folder / "durable"
        disk.mkdir()
        durable.mkdir()
        unwanted = ("DJANGO_SETTINGS_MODULE", "COVERAGE_PROCESS_START")
        given = {name: value for name, value in os.environ.items() if name not in unwanted}
        preload = {"LD_PRELOAD": str(library), "DISK": str(disk), "DURABLE": str(durable)}
        done = subprocess.run(
            [sys.executable, "losses.py", str(seed), "150", waits],
            cwd=HERE,
            env=given | preload,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split("\n")[:-1]

    @pytest.mark.parametrize("seed", range(4))
    def test_nothing_acknowledged_is_lost(self, library: Path, tmp_path: Path, seed: int) -> None:
        """No acknowledged number is lost with checkpoints, other writers and closed connections."""
        assert self.faults(library, tmp_path, seed, "wait") == [""]

    def test_without_the_wait_it_would_be_lost(self, library: Path, tmp_path: Path) -> None:
        """Without the wait, the simulation finds lost numbers, but still no gap."""
        faults = self.faults(library, tmp_path, 0, "no wait")
        assert len(faults) > 3
        assert all(fault.startswith("lost: ") for fault in faults)
