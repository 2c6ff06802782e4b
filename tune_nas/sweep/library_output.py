"""Logs, warnings and output of libraries, redirected to a file."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path


@contextmanager
def hidden_warnings(path: Path) -> Iterator[None]:
    """Redirect the logs, warnings and output of libraries from the terminal to a file.

    Ray prints the death of a node to stdout, which is reserved for JSON.
    """
    handler = _QuietHandler(path, encoding="utf-8", delay=True)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, ray_logger = logging.getLogger(), logging.getLogger("ray")
    kept = list(ray_logger.handlers)
    ray_logger.handlers = [handler]
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        with redirect_stdout(_Printed()):
            yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        ray_logger.handlers = kept
        handler.close()


class _QuietHandler(logging.FileHandler):
    """Ignores a full disk, also on closing: it would hide the error that is reported."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, if the file can be opened."""
        with suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Ignore the error."""

    def close(self) -> None:
        """Close the file; unwritten content is lost."""
        with suppress(OSError):
            super().close()


class _Printed(io.TextIOBase):
    """Logs printed text line by line."""

    def write(self, text: str) -> int:
        for line in text.splitlines():
            if line.strip():
                logging.getLogger("stdout").warning("%s", line)
        return len(text)
