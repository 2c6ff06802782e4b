import sys
from pathlib import Path

import pytest
from matplotlib.collections import LineCollection

from tune_nas.errors import GenotypeError, StorageError
from tune_nas.figures import draw_cells, plot_alphas, render
from tune_nas.spaces import Genotype, load_space

HEADER = "epoch,cell,source,target,operation,alpha,weight\n"


def test_every_operation_is_labeled_once_per_edge(darts_v2: str) -> None:
    figure = draw_cells(Genotype.parse(darts_v2), load_space("darts"))
    normal, reduction = ([text.get_text() for text in axes.texts] for axes in figure.axes)
    assert normal[0] == "normal cell"
    assert normal.count("sep conv 3×3") == 5
    assert (normal.count("skip connect"), normal.count("dil conv 3×3")) == (2, 1)
    assert (reduction.count("max pool 3×3"), reduction.count("skip connect")) == (5, 3)
    assert {"0: $c_{k-2}$", "1: $c_{k-1}$", "2", "3", "4", "5", "$c_k$"} < set(normal)


def test_a_cell_whose_last_node_is_its_output(nb201: str) -> None:
    figure = draw_cells(Genotype.parse(nb201), load_space("nasbench201"))
    (texts,) = ([text.get_text() for text in axes.texts] for axes in figure.axes)
    assert set(texts) >= {"none", "avg pool 3×3", "nor conv 1×1", "0: $c_{k-1}$", "3"}
    assert "$c_k$" not in texts


def test_a_genotype_of_another_space_is_refused(nb201: str) -> None:
    with pytest.raises(GenotypeError):
        draw_cells(Genotype.parse(nb201), load_space("darts"))


def test_labels_stay_inside_the_figure_and_apart(darts_v2: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = draw_cells(Genotype.parse(darts_v2), load_space("darts"))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [
        text.get_window_extent(canvas.get_renderer()) for axes in figure.axes for text in axes.texts
    ]
    assert all(
        box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        for box in boxes
    )
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_files_are_repeatable_and_need_no_pyplot(
    nb201: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it raises
    files = [
        [render(draw_cells(Genotype.parse(nb201), load_space("nasbench201")), k) for k in kinds]
        for kinds in (("png",), ("png",))
    ]
    assert files[0] == files[1]
    with pytest.raises(ValueError, match="kind is 'pdf', but must be 'svg' or 'png'"):
        render(draw_cells(Genotype.parse(nb201), load_space("nasbench201")), "pdf")


def test_the_alpha_plot_has_a_line_for_each_edge_and_operation(tmp_path: Path) -> None:
    lines = [
        f"{epoch},{cell},0,{target},{operation},0.0,{0.1 * epoch}"
        for epoch in (1, 2, 3)
        for cell in ("normal", "reduction")
        for target in (1, 2)
        for operation in ("none", "skip_connect", "sep_conv_3x3")
    ]
    path = tmp_path / "alphas.csv"
    path.write_text(HEADER + "\n".join(lines))
    figure = plot_alphas(path)
    (axes,) = figure.axes
    collections = [c for c in axes.collections if isinstance(c, LineCollection)]
    assert [len(c.get_segments()) for c in collections] == [4, 4, 4]
    assert all(len(segment) == 3 for c in collections for segment in c.get_segments())
    assert render(figure, "png").startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "lacks the columns"),
        ("epoch,cell\n1,normal\n", "lacks the columns operation, source, target, weight"),
        (HEADER, "has no line"),
        (HEADER + "1,normal,zero,1,none,0,0\n", "cannot be read"),
    ],
)
def test_a_bad_alpha_history_is_one_line(text: str, complaint: str) -> None:
    with pytest.raises(StorageError, match=complaint):
        plot_alphas(text.encode())
