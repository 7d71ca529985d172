"""The pictures of the documentation, which the other tests write."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_each_picture_is_used_and_together_they_are_small() -> None:
    """A clone and a source distribution contain them all."""
    pages = "".join(page.read_text() for page in DOCS.glob("*.rst"))
    pictures = list((DOCS / "images").glob("*.png"))
    assert [picture.name for picture in pictures if f"images/{picture.name}" not in pages] == []
    assert 0 < sum(picture.stat().st_size for picture in pictures) < 600_000
