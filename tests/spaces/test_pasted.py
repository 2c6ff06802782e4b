"""What others print is read whole: logs, Python files, other orders, names and brackets."""

import ast
import json
import textwrap
from collections.abc import Callable

import pasted
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tune_nas.errors import GenotypeError
from tune_nas.spaces import CellGenotype, Genotype, Space, load_space

relaxed = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
Write = Callable[[Genotype], str]

OF_DARTS: dict[str, Write] = {
    "one list": pasted.as_darts,
    "numpy": pasted.with_numpy,
    "triples": pasted.as_fairdarts,
    "pairs by node": lambda g: pasted.as_gdas(g, weights=False),
    "pairs by node with weights": lambda g: pasted.as_gdas(g, weights=True),
    "JSON": lambda g: json.dumps(ast.literal_eval(pasted.as_gdas(g, weights=False))),
    "several lines": pasted.as_named_gdas,
    "positional": lambda g: pasted.as_darts(g).replace("normal=", "").replace("reduce=", "")
    .replace("normal_concat=", "").replace("reduce_concat=", ""),
    "list of a range": lambda g: pasted.as_darts(g).replace("range(2, 6)", "list(range(2, 6))"),
    "a tuple": lambda g: pasted.as_darts(g).replace("range(2, 6)", "(2, 3, 4, 5)"),
    "an array": lambda g: pasted.as_darts(g).replace("range(2, 6)", "array([2, 3, 4, 5])"),
    "trailing commas": lambda g: pasted.as_darts(g).replace("]", ",]").replace("6))", "6),)"),
    "a module's name": lambda g: f"genotypes.{pasted.as_darts(g)},",
    "a name before it": lambda g: f"PDARTS_50 = {pasted.as_darts(g)}  # 97.5 %\n",
    "a log line": lambda g: f"12/01 10:11:12 AM genotype = {pasted.as_darts(g)}",
    "a log line with a level": lambda g: f"2021-03-04 05:06:07,890 [INFO] genotype: {g.to_darts()}",
    "quotes": lambda g: f'"{pasted.as_darts(g)}"',
    "another case of NASLib": lambda g: pasted.as_darts(g)
    .replace("'skip_connect'", "'Identity'").replace("'max_pool_3x3'", "'MaxPool'")
    .replace("'sep_conv_5x5'", "'SepConv5x5'").replace("'dil_conv_3x3'", "'DilConv3x3'"),
}  # fmt: skip


@pytest.mark.parametrize("write", OF_DARTS.values(), ids=OF_DARTS)
@relaxed
@given(data=st.data())
def test_every_way_to_write_a_darts_cell_is_read(picker, write: Write, data) -> None:
    space = load_space("darts")
    genotype = picker(space, lambda options, n: data.draw(st.permutations(options))[:n])
    assert Genotype.parse(write(genotype)) == genotype


CELL_201: dict[str, Callable[[str], str]] = {
    "plain": lambda cell: cell,
    "quoted": lambda cell: f"'{cell}'",
    "structure": lambda cell: f"Structure(4 nodes with {cell})",
    "NATS-Bench's structure": lambda cell: f"genotype=TopologyStructure(4 nodes with {cell}),",
    "a log line": lambda cell: f"[2020-01-02 03:04:05] <<<--->>> The 049-050 : {cell} , acc=91.2 %",
    "an assignment": lambda cell: f'arch_str = "{cell}"  # the best one',
    "a line for each node": lambda cell: cell.replace("+", "+\n  "),
    "the plus in the next line": lambda cell: cell.replace("+", "\n+"),
    "a string for each node": lambda cell: "(" + cell.replace("+", "+'\n    '").join("''") + ")",
    "a backslash in each line": lambda cell: f"'{cell}'".replace("+", "+\\\n"),
    "spaces": lambda cell: cell.replace("+", " + "),
    "a narrow terminal": lambda cell: "\n".join(textwrap.wrap(cell, 17)),
    "NASLib's names": pasted.with_naslib_names,
    "a row of a table": lambda cell: f"| 3 | {cell} | 93.4 |",
    "a tuple": lambda cell: f"({cell!r}, 93.4)",
}


@pytest.mark.parametrize("write", CELL_201.values(), ids=CELL_201)
@relaxed
@given(index=st.integers(0, 15_624))
def test_every_way_to_write_a_nasbench201_cell_is_read(
    write: Callable[[str], str], index: int
) -> None:
    cell = Genotype.parse(str(index)).to_nasbench201()
    found = Genotype.parse(write(cell))
    assert (found.to_nasbench201(), found.space) == (cell, "nasbench201")


@relaxed
@given(data=st.data())
def test_nodes_may_have_any_number_of_edges_where_the_space_has_them(picker, data) -> None:
    space = load_space("darts-all-edges")
    genotype = picker(space, lambda options, n: data.draw(st.permutations(options))[:n])
    for text in (pasted.as_fairdarts(genotype), pasted.as_named_gdas(genotype)):
        found = Genotype.parse(text)
        assert found.cells == genotype.cells
        found.check(space)


def test_an_edge_that_is_left_out_is_none_where_the_space_keeps_every_edge() -> None:
    text = (
        "Genotype(normal=[('sep_conv_3x3', 2, 0), ('sep_conv_3x3', 2, 1), ('skip_connect', 3, 2)], "
        "normal_concat=range(2, 4), reduce=[('max_pool_3x3', 2, 0), ('max_pool_3x3', 3, 0)], "
        "reduce_concat=range(2, 4))"
    )
    content = load_space("darts-all-edges").to_dict()
    for cell in content["cells"].values():
        cell["nodes"] = 2
    space = Space.from_dict({**content, "name": "two-nodes"})
    found = Genotype.parse(text)
    with pytest.raises(GenotypeError, match="node 3 has 1 edges into it, but must have 3"):
        found.check(space)
    completed = found.completed(space)
    completed.check(space)
    assert completed.cells == {
        "normal": CellGenotype.of(
            [
                *((0, 2, "sep_conv_3x3"), (1, 2, "sep_conv_3x3"), (2, 3, "skip_connect")),
                *((0, 3, "none"), (1, 3, "none")),
            ]
        ),
        "reduction": CellGenotype.of(
            [
                *((0, 2, "max_pool_3x3"), (1, 2, "none"), (0, 3, "max_pool_3x3")),
                *((1, 3, "none"), (2, 3, "none")),
            ]
        ),
    }
    assert completed.completed(space) == completed
    darts = load_space("darts")
    assert Genotype.parse("DARTS_V2").completed(darts) == Genotype.parse("DARTS_V2")


GENOTYPES_PY = """\
from collections import namedtuple

Genotype = namedtuple('Genotype', 'normal normal_concat reduce reduce_concat')

PRIMITIVES = ['none', 'max_pool_3x3', 'skip_connect']

NASNet = Genotype(
  normal = [
    ('sep_conv_5x5', 1),
    ('sep_conv_3x3', 0),
    ('avg_pool_3x3', 0),
    ('avg_pool_3x3', 0),
  ],
  normal_concat = [2, 3],
  reduce = [
    ('sep_conv_5x5', 1),
    ('sep_conv_7x7', 0),
  ],
  reduce_concat = [2],
)

first = {first}
second = {second}  # the better one

DARTS = second
"""


def genotypes_py() -> str:
    names = {"first": "DARTS_V1", "second": "DARTS_V2"}
    return GENOTYPES_PY.format(
        **{name: Genotype.parse(known).to_darts() for name, known in names.items()}
    )


@pytest.mark.parametrize(
    ("pick", "known"),
    [("first", "DARTS_V1"), ("second", "DARTS_V2"), ("DARTS", "DARTS_V2"), ("22", "DARTS_V1")],
)
def test_a_genotype_of_a_python_file_is_picked_by_its_name_or_line(pick: str, known: str) -> None:
    found = Genotype.parse(genotypes_py(), pick)
    assert found.cells == Genotype.parse(known).cells


@pytest.mark.parametrize(
    ("pick", "message"),
    [
        (None, "has 4 genotypes; name one, e.g. FILE:DARTS: NASNet, first, second, DARTS"),
        ("secnd", "has no genotype 'secnd'; did you mean 'second'?"),
        ("7x", "has no genotype '7x'; it has NASNet, first, second, DARTS"),
        ("NASNet", "NASNet (Zoph et al., arXiv:1707.07012) is a cell that no space holds: it has"),
    ],
)
def test_what_is_not_one_genotype_of_a_python_file_is_refused(
    pick: str | None, message: str
) -> None:
    with pytest.raises(GenotypeError) as error:
        Genotype.parse(genotypes_py(), pick)
    assert str(error.value).startswith(message)


def test_a_log_with_a_genotype_for_each_epoch() -> None:
    lines = [
        "12/01 10:11:12 AM epoch 0 lr 2.500000e-02",
        f"12/01 10:11:12 AM genotype = {Genotype.parse('DARTS_V1').to_darts()}",
        "12/01 10:21:12 AM epoch 1 lr 2.497500e-02",
        f"12/01 10:21:12 AM genotype = {Genotype.parse('DARTS_V2').to_darts()}",
    ]
    log = "\n".join(lines)
    with pytest.raises(GenotypeError, match=r"has 2 genotypes; name one, e.g. FILE:4: 2, 4$"):
        Genotype.parse(log)
    with pytest.raises(
        GenotypeError, match=r"has 2 genotypes 'genotype'; name one by the line .* 2, 4"
    ):
        Genotype.parse(log, "genotype")
    assert Genotype.parse(log, "4").cells == Genotype.parse("DARTS_V2").cells
    alike = "\n".join([*lines[:2], *lines[:2]])
    assert Genotype.parse(alike).cells == Genotype.parse("DARTS_V1").cells


def test_two_cells_in_two_lines_are_two() -> None:
    cells = [Genotype.parse(str(index)).to_nasbench201() for index in (3, 4)]
    with pytest.raises(GenotypeError, match=r"has 2 genotypes; name one, e.g. FILE:2: 1, 2"):
        Genotype.parse("\n".join(cells))
    assert Genotype.parse("\n".join(cells), "2").to_nasbench201() == cells[1]


def test_nothing_of_a_text_is_run(tmp_path) -> None:
    trap = tmp_path / "trap"
    code = f"open({str(trap)!r}, 'w')"
    for text in (
        f"Genotype(normal={code}, normal_concat=[2], reduce=[], reduce_concat=[])",
        f"Genotype(normal=[('none', int({code}))], normal_concat=[2], reduce=[], reduce_concat=[])",
        f"Genotype(normal=list({code}), normal_concat=[2], reduce=[], reduce_concat=[])",
        f"genotype = Genotype(*[{code}])",
        f"!!python/object/apply:open [{trap}, w]",
        f"space: !!python/object/apply:open [{trap}, w]",
    ):
        with pytest.raises(GenotypeError):
            Genotype.parse(text)
    assert not trap.exists()


SIGNS = "|+~()[]{}=,:;'\"#\\\n 0123Genotypeskip_connectnormalreduce->&*!%.\r\x00\x0cé→"


@settings(deadline=None)
@given(
    text=st.text(SIGNS, max_size=120),
    pick=st.none() | st.sampled_from(["1", "normal", ""]),
)
def test_any_text_is_a_genotype_or_one_line(text: str, pick: str | None) -> None:
    try:
        Genotype.parse(text, pick)
    except GenotypeError as error:
        assert "\n" not in str(error)


def test_a_file_of_windows_is_read(tmp_path) -> None:
    path = tmp_path / "genotype.yaml"
    genotype = Genotype.parse("DARTS_V2")
    path.write_bytes(b"\xef\xbb\xbf" + genotype.to_yaml().replace("\n", "\r\n").encode())
    assert Genotype.load(path) == genotype
