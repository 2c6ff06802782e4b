"""Tables of the documentation that benchmarks write."""

from __future__ import annotations

from pathlib import Path


def replace_table(page: Path, name: str, text: str) -> None:
    """Put a text between the two comments of a Markdown page that carry a name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = page.read_text().partition(begin)
    page.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}")
