"""The demo tells gapless numbers from others, on every database, and cleans up."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "contrib" / "demo" / "run.py")]


def environment(database: str, **variables: str) -> dict[str, str]:
    """The demo is a project of its own: Django's settings of the tests are not for it."""
    given = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return given | {"DB": database, "COLUMNS": "100", "PYTHONWARNINGS": "error"} | variables


def run(
    database: str, invoices: int, kills: int, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "--invoices", str(invoices), "--kills", str(kills)],
        env=environment(database, **variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def table(output: str) -> dict[str, list[int]]:
    """Each line's label, with the numbers of its columns."""
    lines = re.findall(r"^│ ([a-z: ]+?) +((?:│ +[\d,]+ )+)│$", output, re.MULTILINE)
    return {
        label: [int(cell.strip().replace(",", "")) for cell in cells.split("│")[1:]]
        for label, cells in lines
    }


def test_numbers_stay_gapless_while_writers_roll_back_and_are_killed(using: str) -> None:
    """SequenceField has the numbers 1 to 100; the other methods refuse invoices or leave gaps.

    Auto-increment is shown only on servers: SQLite stores its counter in the table sqlite_sequence,
    so a rollback restores it.
    """
    demo = run(using, 100, 3)
    assert (demo.returncode, demo.stderr) == (0, ""), demo.stdout
    counts = table(demo.stdout)
    ways = 3 if using == "sqlite" else 4
    assert counts["requested"] == [100] * ways
    # A writer whose remaining invoices are all refused ends without being killed.
    assert (counts["writers killed"][0], max(counts["writers killed"])) == (3, 3)
    assert counts["rolled back"][0] > 10
    assert counts["duplicate numbers"] == [0] * ways
    issued, missing = counts["issued"], counts["missing numbers"]
    assert (issued[0], missing[0]) == (100, 0)
    assert "SequenceField: 1 to 100 with no gap and no duplicate." in demo.stdout
    refused = "refused: locked" if using == "sqlite" else "refused: duplicate"
    for way in (1, 2):
        assert issued[way] < 100
        assert refused in demo.stdout
    assert re.search(r"^  INV-2026-0001, INV-2026-0002, … INV-2026-\d{4}$", demo.stdout, re.M)
    assert re.search(r"^invoices +100 +1 +100 +100 .* ok *$", demo.stdout, re.M)
    assert re.search(r"^posted invoices.2026 .* void 7 *$", demo.stdout, re.M)
    if using == "sqlite":
        assert "Auto-increment is not" in demo.stdout
    else:
        assert (issued[3], missing[3] > 0) == (100, True)
        assert re.search(r"^auto-increment: [\d, ]+ and \d+ more missing", demo.stdout, re.M)


class TestFaults:
    """The demo reports a faulty allocator, and exits with status 1."""

    using = "sqlite"

    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            (
                "SkipsNumbers",
                "SequenceField: 1, 3, 5, 7, 9, 11, 13, 15 and 32 more missing.",
            ),
            ("CountsAlone", " duplicates."),
            (
                "Fails",
                "FAILED: A writer ended unexpectedly (status 1), with 5 invoices to request.",
            ),
        ],
        ids=["holes", "duplicates", "dead writers"],
    )
    def test_a_faulty_allocator_is_reported(self, fault: str, said: str) -> None:
        """Gaps, duplicates and missing rows are reported, and the status is 1."""
        demo = run("sqlite", 40, 1, SEQUENCES_BACKEND=f"tests.faults.broken.{fault}")
        assert demo.returncode == 1, demo.stderr
        assert said in demo.stdout


class TestEnds:
    """Nothing is left of the demo, however it ends."""

    using = "sqlite"

    def test_ctrl_c_leaves_no_process_and_no_file(self, tmp_path: Path) -> None:
        """Interrupted while its writers are at work, it ends them and removes its database."""
        variables = environment("sqlite", TMPDIR=str(tmp_path))
        del variables["SQLITE_URL"]
        with subprocess.Popen(
            [*COMMAND, "--invoices", "1000000"],
            env=variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as demo:
            family = psutil.Process(demo.pid)
            # Multiprocessing's two helpers, and the writers.
            while len(family.children(recursive=True)) < 2 + 8:
                assert demo.poll() is None
                time.sleep(0.01)
            children = family.children(recursive=True)
            # As the terminal does: to all of the group.
            os.killpg(demo.pid, signal.SIGINT)
            assert demo.communicate(timeout=60)[1] == "Interrupted.\n"
        assert demo.returncode == 130
        assert not psutil.wait_procs(children, timeout=10)[1]
        assert not list(tmp_path.iterdir())
