"""The SVG text of cells: the same picture as with matplotlib."""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree

import pytest
from matplotlib.patches import FancyBboxPatch

from tune_nas.errors import GenotypeError
from tune_nas.figures import cells_svg, draw_cells
from tune_nas.spaces import Genotype, load_space

_SVG = "{http://www.w3.org/2000/svg}"


def _positions(text: str) -> tuple[float, float]:
    x, y = re.findall(r"[-\d.]+", text)
    return float(x), float(y)


def test_boxes_and_labels_are_where_matplotlib_has_them(darts_v2: str) -> None:
    genotype, space = Genotype.parse(darts_v2), load_space("darts")
    figure, root = draw_cells(genotype, space), ElementTree.fromstring(cells_svg(genotype, space))
    expected, found = [], []
    width, height = figure.get_size_inches() * 72
    for axes in figure.axes:
        left, bottom, _, _ = axes.get_position().bounds
        low = axes.get_ylim()[0] * 72
        for patch in axes.patches:
            if isinstance(patch, FancyBboxPatch):
                x, top = patch.get_x() * 72, patch.get_y() * 72 + patch.get_height() * 72
                y = height - (bottom * height + top - low)
                expected.append((left * width + x, y, patch.get_width() * 72))
    for group in root.iter(f"{_SVG}g"):
        _, shift = _positions(group.attrib["transform"])
        for box in group.iter(f"{_SVG}rect"):
            x, y, wide = (float(box.attrib[name]) for name in ("x", "y", "width"))
            found.append((x, y + shift, wide))
    assert found == [pytest.approx(box, abs=0.03) for box in expected]
    assert len(found) == 2 * (8 + 7)  # two cells of eight operations and seven nodes
    assert float(root.attrib["width"].removesuffix("pt")) == pytest.approx(width, abs=0.01)

    texts = Counter("".join(text.itertext()) for text in root.iter(f"{_SVG}text"))
    plain = str.maketrans("", "", "${}_ ")
    labels = Counter(
        text.get_text().translate(plain).replace("k-", "k−")
        for axes in figure.axes
        for text in axes.texts
    )
    assert Counter(text.translate(plain) for text in texts.elements()) == labels


def test_a_dashed_line_leads_to_and_from_an_edge_with_none(nb201: str) -> None:
    space = load_space("nasbench201")
    with_more = nb201.replace("nor_conv_3x3~0", "none~0", 1)
    before, after = (
        cells_svg(Genotype.parse(text), space).count(b"stroke-dasharray")
        for text in (nb201, with_more)
    )
    assert after == before + 2


def test_equal_cells_give_equal_files(darts_v2: str) -> None:
    genotype, space = Genotype.parse(darts_v2), load_space("darts")
    assert cells_svg(genotype, space) == cells_svg(genotype, space)


def test_a_genotype_of_another_space_is_rejected(nb201: str) -> None:
    with pytest.raises(GenotypeError):
        cells_svg(Genotype.parse(nb201), load_space("darts"))
