"""Paths on this machine and URIs of what lies elsewhere."""

from __future__ import annotations

from pathlib import Path


def is_uri(place: str) -> bool:
    """Return whether a place is a URI (``s3://…``), and no path on this machine."""
    return "://" in place


def absolute(place: str) -> str:
    """Return a path from the root, ``~`` resolved; a URI as it is."""
    return place if is_uri(place) else str(Path(place).expanduser().absolute())
