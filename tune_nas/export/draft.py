"""Files that get their names only when they are complete and checked."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tune_nas.errors import ExportError, TuneNasError
from tune_nas.export.export_format import ExportFormat
from tune_nas.user_code import said


def check_packages(form: ExportFormat, to: str) -> None:
    """Check that the packages of a format are installed.

    Raises:
        ExportError: If one is missing.
    """
    missing = [name for name in form.packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(
            f"{to} needs {', '.join(missing)}, not installed here: pip install 'tune-nas[export]'"
        )


@contextmanager
def kept_if_accepted(path: Path, form: ExportFormat, to: str) -> Iterator[Path]:
    """Yield a temporary name for a file; the file is moved to its path unless the block fails.

    Args:
        path: The file; an existing one is replaced.
        form: Its format.
        to: The name of the format, for messages.

    Raises:
        ExportError: If the folder cannot be written to, or the block fails for another reason than
            an error of this project.
    """
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            draft = Path(folder) / path.name
            yield draft
            # the main file last: it is only there when all of its parts are
            for extra in form.extra_files(draft):
                shutil.move(extra, path.parent / extra.name)
            shutil.move(draft, path)
    except TuneNasError:
        raise
    except OSError as error:
        raise ExportError(f"'{path}' cannot be written: {error.strerror or error}") from error
    except Exception as error:  # of a custom format, or of what a runtime cannot represent
        raise ExportError(
            f"{to} cannot represent this network: {type(error).__name__}: {said(error)}"
        ) from error
