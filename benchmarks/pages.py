"""Tables in the documentation that are written by benchmarks."""

from __future__ import annotations

from pathlib import Path


def replace_table(page: Path, name: str, text: str) -> None:
    """Insert a text between the two named comments of a Markdown page."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = page.read_text().partition(begin)
    page.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}")


def publish_table(page: Path | None, name: str, text: str) -> None:
    """Print a table, and insert it into a page if one is given."""
    print(text)
    if page is not None:
        replace_table(page, name, text)
