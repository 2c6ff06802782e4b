"""Values as JSON text that every reader accepts and that is safe to print."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path


def json_text(value: object) -> str:
    """Return a value as an indented JSON document without control characters."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    if text.replace("\n", "").isprintable():  # JSON escapes only characters below a space
        return text
    kept = (char.isprintable() or char == "\n" for char in text)
    return "".join(c if k else json.dumps(c)[1:-1] for c, k in zip(text, kept, strict=True))


def encode(value: object) -> object:
    """Return nested containers with inf and nan as text, since JSON has no such numbers."""
    if isinstance(value, Mapping):
        return {key: encode(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [encode(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    return value


def plain(value: object) -> object:
    """Convert a value to JSON types; ``inf`` becomes the string that YAML accepts."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, Path):
        return str(value)
    return value
