"""The documentation as a whole."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.distributions import ROOT, run


def test_the_documentation_builds(tmp_path: Path) -> None:
    """Sphinx builds the pages without a warning: each link leads to a page that there is."""
    pytest.importorskip("sphinx", reason="the group docs is not installed")
    options = ["--quiet", "--fail-on-warning", "--keep-going", "-b", "html"]
    run(sys.executable, "-m", "sphinx", *options, ROOT / "docs", tmp_path)
