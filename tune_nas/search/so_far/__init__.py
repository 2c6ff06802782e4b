"""How long two searches are the same, and continuing one from the checkpoint of another."""

from __future__ import annotations

from tune_nas.search.so_far.course import Course, shared_epochs
from tune_nas.search.so_far.deciding_keys import deciding_text, has_own_parts

__all__ = ["Course", "deciding_text", "has_own_parts", "shared_epochs"]
