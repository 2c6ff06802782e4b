"""Paths on this machine and URIs of what lies elsewhere."""

from __future__ import annotations

from pathlib import Path


def is_uri(place: str) -> bool:
    """Return whether a place is a URI (``s3://…``), and no path on this machine."""
    return "://" in place


def absolute(place: str, folder: str = "") -> str:
    """Return a path from the root, ``~`` resolved; a URI as it is.

    Args:
        place: A path or a URI.
        folder: What a relative path is relative to; the working folder if empty.
    """
    return place if is_uri(place) else str(Path(folder, Path(place).expanduser()).absolute())
