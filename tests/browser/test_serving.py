"""``make demo SERVE=1`` shows the demo's data in Django's admin, until Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.browser.browser import Browser
from tests.demo.test_demo import COMMAND, environment


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo, whose files are all in ``tmp_path``."""
    variables = environment("sqlite", TMPDIR=str(tmp_path))
    variables.pop("SQLITE_URL", None)
    with subprocess.Popen(
        [*COMMAND, "--invoices", "20", "--kills", "1", "--serve"],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as demo:
        try:
            yield demo
        finally:
            if demo.poll() is None:
                os.killpg(demo.pid, signal.SIGKILL)


class TestServing:
    using = "sqlite"

    def test_the_story_goes_on_in_a_browser(
        self, demo: subprocess.Popen[str], chromium: Browser, tmp_path: Path
    ) -> None:
        """The printed user sees the invoices; after Ctrl-C no process and no file is left."""
        assert demo.stdout
        told = ""
        while not (
            found := re.search(r"(http://[\d.:]+)(/\S+)\nUser (\w+), password (\S+)\n", told)
        ):
            line = demo.stdout.readline()
            assert line, demo.communicate()[1]
            told += line
        site, path, name, password = found.groups()
        chromium.reset(site)
        chromium.open(path)
        chromium.fill(username=name, password=password)
        chromium.follow("Log in")
        assert "Posted invoices" in chromium.text
        chromium.open("/admin/sequences_contrib/audit/invoices.PostedInvoice.number/")
        assert "1 number is void: 7." in chromium.text
        assert "INV-2026-0007" in chromium.text
        assert "written twice" in chromium.text
        chromium.follow("Drafts")
        chromium.follow("Assign numbers")
        assert "5 rows were numbered." in chromium.text

        children = psutil.Process(demo.pid).children(recursive=True)
        os.killpg(demo.pid, signal.SIGINT)
        assert demo.communicate(timeout=60) == ("", "")
        assert demo.returncode == 0
        assert not psutil.wait_procs(children, timeout=10)[1]
        assert not list(tmp_path.iterdir())
