"""The results as one HTML page that needs nothing else, with its charts beside it as files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

from benchmarks.report import charts
from benchmarks.report.questions import tables
from benchmarks.report.tables import Table
from benchmarks.results import Results

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 72rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; }
svg { width: 100%; height: auto; margin: 1rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
.best { font-weight: bold; color: #00664b; } .bad { color: #c00; }
.note { color: #666; font-size: 13px; }
"""


def write(results: Results) -> Path:
    """Write the charts and the page beside the results; return where the page is."""
    folder = results.path.parent
    drawn = charts.draw(results)
    charts.save(drawn, folder)
    pictures = [inline(folder / f"{name}.svg", name) for name in drawn]
    page = folder / "index.html"
    page.write_text("\n".join(html(results, pictures)) + "\n")
    return page


def inline(path: Path, name: str) -> str:
    """The picture for use inside a page, where ids must not meet those of other pictures."""
    picture = path.read_text()
    picture = picture[picture.index("<svg") :]
    return re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", picture)


def html(results: Results, pictures: list[str]) -> Iterator[str]:
    """The page, in pieces."""
    data = results.data
    yield '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width">'
    yield f"<title>Numbers without gaps: what they cost</title><style>{STYLE}</style>"
    yield "<h1>Numbers without gaps: what they cost</h1>"
    machine = data["machine"]
    yield (
        f'<p class="note">{escape(data["started"])}, scale {escape(results.scale)}, '
        f"{data['seconds'] / 60:.0f} minutes of measuring. {escape(machine['cpu'])}, "
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, {escape(machine['system'])}, "
        f"Python {escape(machine['python'])}. "
        f"{escape(', '.join(f'{name} {version}' for name, version in data['packages'].items()))}."
        f"</p>"
    )
    yield from pictures
    for table in tables(results):
        yield from rows(table)
    yield "<h2>Settings of the servers</h2><ul>"
    for name, entry in results.databases.items():
        settings = ", ".join(f"{key} = {value}" for key, value in entry.get("settings", {}).items())
        yield f"<li>{escape(entry.get('title', name))}: {escape(settings)}</li>"
    yield "</ul></html>"


def rows(table: Table) -> Iterator[str]:
    yield f'<h2>{escape(table.title)}</h2><div class="wide"><table><tr>'
    yield "".join(f"<th>{escape(column)}</th>" for column in table.columns) + "</tr>"
    for row in table.rows:
        cells = "".join(
            f'<td class="{entry.style}">{escape(entry.text)}</td>'
            if entry.style
            else f"<td>{escape(entry.text)}</td>"
            for entry in row
        )
        yield f"<tr>{cells}</tr>"
    yield "</table></div>"
    if table.note:
        yield f'<p class="note">{escape(table.note)}</p>'
