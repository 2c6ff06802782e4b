"""The size of a supernet."""

from __future__ import annotations

from typing import NamedTuple


class SupernetSize(NamedTuple):
    """The size of a supernet: channels and cells (None for the space's default), and K."""

    init_channels: int | None
    cells: int | None
    partial_channels: int
