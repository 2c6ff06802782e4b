"""The formats of a report, and finding one by its name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from tune_nas.report.comparison import Comparison
from tune_nas.report.run_details import RunDetails
from tune_nas.user_code import find_class


class ReportFormat(ABC):
    """A format of the report of a sweep; it is constructed without arguments."""

    @abstractmethod
    def render(self, comparison: Comparison) -> str:
        """Return the report as text, which `tune-nas report` prints.

        Args:
            comparison: The trials of a sweep, finished or not. It may be empty, and is not changed.
        """

    def render_run(self, comparison: Comparison, details: Callable[[], RunDetails]) -> str:
        """Return the report of a stored run; by default, only of its comparison.

        Args:
            comparison: The trials of the run that have ended.
            details: Reads the other stored data of the run; a format that does not need it does not
                call it.
        """
        return self.render(comparison)


def find_report_format(name: str) -> ReportFormat:
    """Return a format.

    Args:
        name: A name of the manifest, or ``module:Class``.

    Raises:
        ConfigError: If the format does not exist, or the class cannot be imported.
    """
    found: type[ReportFormat] = find_class("format", name, ReportFormat)
    return found()
