"""The documentation as a whole."""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path

import pytest

from tests.distributions import ROOT, run


def test_the_documentation_builds(tmp_path: Path) -> None:
    """Sphinx builds the pages without a warning, and the reference shows real parameters."""
    pytest.importorskip("sphinx", reason="the group docs is not installed")
    options = ["--quiet", "--fail-on-warning", "--keep-going", "-b", "html"]
    run(sys.executable, "-m", "sphinx", *options, ROOT / "docs", tmp_path)
    page = html.unescape(re.sub("<[^>]+>", "", (tmp_path / "reference.html").read_text()))
    for signature in (
        "NumberFormat(template: str, *, tz: str | datetime.tzinfo | None = None, **periods: ",
        "Year(field: str, *, tz: str | datetime.tzinfo | None = None)",
        "FiscalYear(field: str, start: tuple[int, int] | None = None, *, named: ",
        "NextValue(name: str | django.db.models.expressions.Expression = 'default', ",
    ):
        assert f".{signature}" in page
