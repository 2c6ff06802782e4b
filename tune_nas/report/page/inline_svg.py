"""Figures as SVG elements inside a page: text as text, unique ids, colors as variables."""

from __future__ import annotations

import io
import re
import warnings

import matplotlib
from markupsafe import Markup, escape
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text

from tune_nas.report.page.page_colors import variable
from tune_nas.text import printable

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_HEAD = re.compile(r"^.*?<svg\b[^>]*>", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_COLOR = re.compile(r"#[0-9a-f]{6}\b")
_FONTS = re.compile(r"(?:'[^']*'|[\w-]+)(?:, (?:'[^']*'|[\w-]+))+(?=[;\"])")
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_ID = re.compile(r' id="([^"]*)"')
_REFERENCE = re.compile(r'(url\(#|href="#)([^)"]+)')
_POINT = 4 / 3
"""Size of a point in CSS pixels."""


def inline_svg(figure: Figure, key: str, title: str) -> Markup:
    """Return a figure as an ``<svg>`` element.

    Equal figures with equal keys give equal text. Ids that nothing refers to are left out, and
    numbers are rounded to a hundredth of a point.

    Args:
        figure: The figure.
        key: Prefix of its ids, unique in the page: letters, digits and dashes.
        title: The text for screen readers.
    """
    width, height = (round(side * 72 * _POINT) for side in figure.get_size_inches())
    text = _METADATA.sub("", _COMMENT.sub("", _svg(figure, key)))
    body = _HEAD.sub("", text, count=1)
    used = {match[2] for match in _REFERENCE.finditer(body)}

    def in_page(tag: re.Match[str]) -> str:
        return _tag(tag[0], key, used)

    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width / _POINT:g} {height / _POINT:g}" width="{width}" height="{height}" '
        f'style="--width: {width}px" role="img" aria-label="{escape(title)}">'
    )
    lines = (line.strip() for line in _TAG.sub(in_page, body).splitlines())
    text = (head + "\n".join(line for line in lines if line)).replace("\u00a0", "&#160;")
    return Markup(printable(text))


def _svg(figure: Figure, key: str) -> str:
    FigureCanvasAgg(figure)
    for text in figure.findobj(Text):
        text.set_text(printable(text.get_text()))
        _check_math(text)
    buffer = io.StringIO()
    settings = {"svg.fonttype": "none", "svg.hashsalt": key}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # The browser's fonts have glyphs that matplotlib's lack, e.g. of Chinese names.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _check_math(text: Text) -> None:
    """Draw a text with dollar signs literally if it is not a formula, e.g. a user's name."""
    content = text.get_text()
    if content.count("$") < 2 or not text.get_parse_math():
        return
    try:
        MathTextParser("path").parse(content)
    except ValueError:
        text.set_parse_math(False)


def _tag(tag: str, key: str, used: set[str]) -> str:
    """Return a tag with the page's ids and colors."""
    if 'id="' in tag:
        tag = _ID.sub(lambda m: f' id="{key}-{m[1]}"' if m[1] in used else "", tag)
    tag = _REFERENCE.sub(lambda m: f"{m[1]}{key}-{m[2]}", tag)
    tag = _FONTS.sub("sans-serif", tag) if "font" in tag else tag
    tag = _NUMBER.sub(lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), tag)
    return _COLOR.sub(lambda m: f"var({name})" if (name := variable(m[0])) else m[0], tag)
