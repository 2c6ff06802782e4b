"""A comparison as one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tune_nas.report.comparison import Comparison
from tune_nas.report.page.page_colors import dark_colors, light_colors
from tune_nas.report.page.page_content import page_content
from tune_nas.report.report_format import ReportFormat
from tune_nas.report.run_details import RunDetails
from tune_nas.text import printable


class Html(ReportFormat):
    """An HTML file that needs no network: text, tables, plots and the best cells."""

    def render(self, comparison: Comparison) -> str:
        """Return the page of a comparison without a stored run."""
        return self.render_run(comparison, RunDetails)

    def render_run(self, comparison: Comparison, details: Callable[[], RunDetails]) -> str:
        """Return the page of a stored run."""
        environment = Environment(
            loader=PackageLoader("tune_nas.report.page"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_shown,
        )
        script = environment.get_template("sort.js").render()
        style = environment.get_template("page.css").render(
            light=light_colors(), dark=dark_colors()
        )
        return environment.get_template("page.html").render(
            page=page_content(comparison, details()),
            style=Markup(style),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )


def _shown(value: object) -> object:
    """Return a value of the template; a text has no control characters."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
