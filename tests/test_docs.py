"""The documentation as a whole."""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path

import pytest

from tests.distributions import ROOT, run

CODE = re.compile(r'class="[\w ]*highlight-(\w+) .*?<pre>(.*?)</pre>', re.DOTALL)
"""A block of code in a page: the language, and the text with its markup."""

TERM = re.compile(r'<dt(?: id="[^"]*")?>(.*?)</dt>', re.DOTALL)
"""A term of a glossary or another definition list, not the signature of a function."""


def test_the_documentation_builds(tmp_path: Path) -> None:
    """Sphinx builds the pages without a warning. Parameters are real ones, and code isn't cut.

    No definition is on the line of its term.
    """
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
    assert "Whether nothing needs an explanation." in page  # an attribute of a result
    for built in tmp_path.rglob("*.html"):
        for language, code in CODE.findall(built.read_text()):
            lines = html.unescape(re.sub("<[^>]+>", "", code)).splitlines()
            too_long = [line for line in lines if len(line) > 90 and language != "text"]
            assert not too_long, built.name
        for term in TERM.findall(built.read_text()):
            name = html.unescape(re.sub("<[^>]+>", "", term))
            assert len(name) < 100, f"{built.name}: a term and its definition are on one line"
