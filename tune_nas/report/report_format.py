"""The formats of a report, and finding one by its name."""

from __future__ import annotations

from abc import ABC, abstractmethod

from tune_nas import manifest
from tune_nas.errors import ConfigError
from tune_nas.report.comparison import Comparison
from tune_nas.text import brief
from tune_nas.user_code import load_named

KEY = "format"


class ReportFormat(ABC):
    """A format of the report of a sweep; it is constructed without arguments."""

    @abstractmethod
    def render(self, comparison: Comparison) -> str:
        """Return the report as text, which `tune-nas report` prints.

        Args:
            comparison: The trials of a sweep, finished or not. It may be empty, and is not changed.
        """


def find_report_format(name: str) -> ReportFormat:
    """Return a format.

    Args:
        name: A name of the manifest, or ``module:Class``.

    Raises:
        ConfigError: If there is no such format, or the class cannot be imported.
    """
    kind = manifest.KINDS[KEY]
    if not (manifest.is_known(kind, name) or manifest.is_reference(name)):
        known = ", ".join(manifest.names(kind))
        raise ConfigError(
            f"`{KEY}` is '{brief(name)}', but must be one of {known}, or module:Class"
        )
    found = load_named(KEY, name)
    if not (isinstance(found, type) and issubclass(found, ReportFormat)):
        raise ConfigError(f"`{KEY}` is '{name}', but must be a class derived from ReportFormat")
    return found()
