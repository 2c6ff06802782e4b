"""Genotypes: round trips of random ones, the published ones, and one line for each mistake."""

import csv
import gzip

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tune_nas.errors import GenotypeError
from tune_nas.spaces import CellGenotype, Genotype, GenotypeEdge, load_space, operation_names
from tune_nas.spaces.operation_registry import KINDS

relaxed = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@relaxed
@given(data=st.data())
def test_random_genotypes_survive_every_notation(space, picker, data):
    def pick(options, n):
        return data.draw(st.permutations(options))[:n]

    genotype = picker(space, pick)
    genotype.check(space)
    assert Genotype.parse(genotype.to_yaml()) == genotype
    assert Genotype.parse(str(genotype), space=space.name) == genotype
    assert hash(Genotype.from_yaml(genotype.to_yaml())) == hash(genotype)
    shapes = {(cell.n_inputs, cell.inputs_per_node) for cell in space.cells.values()}
    if shapes == {(2, 2)}:
        assert Genotype.parse(genotype.to_darts(), space=space.name) == genotype
        assert str(genotype) == genotype.to_darts()
    if shapes == {(1, None)}:
        assert Genotype.parse(genotype.to_nasbench201(), space=space.name) == genotype
        assert str(genotype) == genotype.to_nasbench201()
    total = sum(genotype.count(kind) for kind in KINDS)
    assert total == sum(len(cell.edges) for cell in genotype.cells.values())


@given(
    text=st.text(alphabet="|+~()[]{}=,:'\"#\n 0123Genotypeskip_connectnormal->&*!%", max_size=80)
)
def test_any_text_is_a_genotype_or_one_line(text):
    try:
        Genotype.parse(text)
    except GenotypeError as error:
        assert "\n" not in str(error)


def test_published_darts_genotypes(published):
    first, second = (Genotype.parse(published[name]) for name in ("DARTS_V1", "DARTS_V2"))
    for genotype in (first, second):
        genotype.check(load_space("darts"))
        assert Genotype.parse(str(genotype)) == genotype
    assert [first.count(kind, "normal") for kind in ("convolution", "skip", "pool")] == [5, 3, 0]
    assert [first.count(kind, "reduction") for kind in ("convolution", "skip", "pool")] == [0, 3, 5]
    assert second.count("convolution") == 6 and second.count("skip") == 5
    assert second.cells["normal"].edges[4:6] == (
        GenotypeEdge(0, 4, "skip_connect"),
        GenotypeEdge(1, 4, "sep_conv_3x3"),
    )


def test_published_darts_notation_is_written(published):
    text = str(Genotype.parse(published["DARTS_V2"]))
    assert text.startswith("Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ")
    assert text.endswith("('skip_connect', 2)], reduce_concat=range(2, 6))")


def test_nasbench201_notation_is_written_as_read(published):
    genotype = Genotype.parse(published["NB201"])
    assert genotype.space == "nasbench201"
    assert str(genotype) == published["NB201"]
    assert [genotype.count(kind) for kind in ("skip", "pool", "convolution")] == [3, 1, 2]


def test_every_nasbench201_arch_reads_and_writes(shared_data_dir):
    with gzip.open(shared_data_dir / "nasbench201.csv.gz", "rt") as file:
        archs = [row["arch"] for row in csv.DictReader(file)][::50]
    assert [str(Genotype.parse(arch)) for arch in archs] == archs


def test_yaml_has_a_line_for_each_edge(published):
    lines = Genotype.parse(published["NB201"]).to_yaml().splitlines()
    assert lines[:4] == ["space: nasbench201", "cells:", "  normal:", "    0->1: avg_pool_3x3"]


def test_cells_that_no_paper_has_are_listed_by_edge(own_yaml, last_genotype):
    assert str(last_genotype(load_space(own_yaml))) == (
        "normal: 1->2 dil_conv_3x3, 2->3 avg_pool_3x3; reduction: 0->2 max_pool_3x3, "
        "1->2 max_pool_3x3, 1->3 max_pool_3x3, 2->3 max_pool_3x3, 2->4 max_pool_3x3, "
        "3->4 max_pool_3x3"
    )


def test_load_reads_every_form(tmp_path, published):
    for name, text in published.items():
        path = tmp_path / f"{name}.txt"
        path.write_text(text + "\n")
        genotype = Genotype.load(path)
        path.write_text(genotype.to_yaml())
        assert Genotype.load(path) == genotype
    path.write_text("nothing")
    with pytest.raises(GenotypeError, match=r"NB201\.txt: 'nothing' is no genotype; write Geno"):
        Genotype.load(path)
    with pytest.raises(GenotypeError, match=r"absent\.yaml: cannot be read"):
        Genotype.load(tmp_path / "absent.yaml")


DARTS = (
    "Genotype(normal={normal}, normal_concat={concat}, "
    "reduce=[('none', 0), ('none', 1)], reduce_concat=[2])"
)
MISTAKES = {
    "code is not run": (
        DARTS.format(normal="__import__('os').getcwd()", concat="[2]"),
        "line 1, column 17: '__import__('os').getcwd()' is normal, but must be a list of pairs",
    ),
    "code in a range": (
        DARTS.format(normal="[('none', 0), ('none', 1)]", concat="range(open('x'))"),
        "'range(open('x'))' is normal_concat, but must be all intermediate nodes, [2]",
    ),
    "a variable": (
        "genotype = Genotype(normal=gene_normal, normal_concat=concat, reduce=[], reduce_concat=c)",
        "line 1, column 28: 'gene_normal' is normal, but must be a list of pairs",
    ),
    "unknown operation": (
        DARTS.format(normal="[('sep_conv_3x', 0), ('none', 1)]", concat="[2]"),
        "line 1, column 18: ('sep_conv_3x', 0) in normal has an unknown operation 'sep_conv_3x'; "
        "did you mean 'sep_conv_3x3'?",
    ),
    "unknown operation in another line": (
        DARTS.format(normal="[('none', 0),\n  ('sep_conv_3x', 1)]", concat="[2]"),
        "line 2, column 3: ('sep_conv_3x', 1) in normal has an unknown operation",
    ),
    "one edge": (
        DARTS.format(normal="[('none', 0)]", concat="[2]"),
        "('none', 0) in normal is the last of 1 pairs, but there must be two for each node",
    ),
    "no pair": (
        DARTS.format(normal="[('none', 0), 'none']", concat="[2]"),
        "line 1, column 31: 'none' in normal must be a pair as ('sep_conv_3x3', 0)",
    ),
    "half a node": (
        DARTS.format(normal="[('none', 0), ('none', 0.5)]", concat="[2]"),
        "('none', 0.5) in normal must be a pair as ('sep_conv_3x3', 0)",
    ),
    "a truth for a node": (
        DARTS.format(normal="[('none', 0), ('none', True)]", concat="[2]"),
        "('none', True) in normal must be a pair",
    ),
    "forward edge": (
        DARTS.format(normal="[('none', 0), ('none', 3)]", concat="[2]"),
        "('none', 3) in normal is an edge 3->2, but must lead to a later node",
    ),
    "negative source": (
        DARTS.format(normal="[('none', 0), ('none', -1)]", concat="[2]"),
        "('none', -1) in normal is an edge -1->2, but must lead to a later node",
    ),
    "an endless number": (
        DARTS.format(normal=f"[('none', 0), ('none', 0x{'f' * 9000})]", concat="[2]"),
        "in normal must be a pair as ('sep_conv_3x3', 0)",
    ),
    "after letters of two bytes": (
        "é = " + DARTS.format(normal="[('é', 0), ('nothing', 1)]", concat="[2]"),
        "line 1, column 22: ('é', 0) in normal has an unknown operation 'é'",
    ),
    "lines of Windows": (
        DARTS.format(normal="[('none', 0),\r\n('nothing', 1)]", concat="[2]"),
        "line 2, column 1: ('nothing', 1) in normal has an unknown operation 'nothing'",
    ),
    "edge twice": (
        DARTS.format(normal="[('none', 0), ('skip_connect', 0)]", concat="[2]"),
        "column 31: ('skip_connect', 0) in normal is an operation of edge 0->2, which is there "
        "twice; it has 'none' already",
    ),
    "other concat": (
        DARTS.format(normal="[('none', 0), ('none', 1)]", concat="[1, 2]"),
        "[1, 2] is normal_concat, but must be all intermediate nodes, [2]",
    ),
    "mixed concat": (
        DARTS.format(normal="[('none', 0), ('none', 1)]", concat="['2', 2]"),
        "['2', 2] is normal_concat, but must be all intermediate nodes, [2]",
    ),
    "endless range": (
        DARTS.format(normal="[('none', 0), ('none', 1)]", concat="range(1000000000000000)"),
        "'range(1000000000000000)' is normal_concat, but must be all intermediate nodes",
    ),
    "more concat than nodes": (
        DARTS.format(normal="[('none', 0), ('none', 1)]", concat="[2, 3]"),
        "is normal, but has no edge into node 3",
    ),
    "mixed triples": (
        DARTS.format(normal="[('none', 2, 0), ('none', 1)]", concat="[2]"),
        "('none', 2, 0) in normal has two numbers of nodes, as FairDARTS's",
    ),
    "triples in pairs of a node": (
        DARTS.format(normal="[(('none', 2, 0), ('none', 2, 1))]", concat="[2]"),
        "GDAS's third entry is a weight, as 0.5",
    ),
    "triples the other way round": (
        DARTS.format(normal="[('none', 0, 2), ('none', 1, 2)]", concat="[2]"),
        "('none', 0, 2) in normal has the target 0, which is none of [2]; "
        "write (operation, target, source)",
    ),
    "missing field": (
        "Genotype(normal=[])",
        "line 1, column 1: DARTS's notation has normal, normal_concat, reduce, reduce_concat, but "
        "this has normal",
    ),
    "unknown field": ("Genotype(norm=[])", "[] is the field norm; DARTS's notation has normal, "),
    "field twice": ("{'normal': [], 'normal': []}", "[] is the field normal for the second time"),
    "keyword twice": ("Genotype(normal=[], normal=[])", "[] is the field normal for the second"),
    "too many fields": ("Genotype([], [], [], [], 1)", "'1' is one field too many"),
    "unpacked": ("Genotype(**fields)", "'fields' is the field None; DARTS's notation has normal"),
    "broken": ("Genotype(normal=[", "Genotype(' does not parse: its bracket is never closed"),
    "bad syntax": ("Genotype(normal=[0 1])", "line 1, column 18: does not parse: invalid syntax"),
    "nested": ("Genotype(normal=" + "(" * 5000, "'Genotype(' is nested too deeply"),
    "a long sum": (
        DARTS.format(normal="0" + "+0" * 9000, concat="[2]"),
        "line 1, column 1",
    ),
    "too long": ("Genotype(" + " " * 30_000 + ")", "is longer than 20,000 characters"),
    "bad node": (
        "|none~0|+none",
        "line 1, column 10: 'none' must be written |operation~source|, as |skip_connect~0|",
    ),
    "bad cell": ("|nor-conv~0|", "line 1, column 1: '|nor-conv~0|' must be written |operation~"),
    "no cell": ("|", "'|' must be written |operation~source|"),
    "missing source": (
        "|none~0|+|none~0|",
        "line 1, column 10: '|none~0|' must name each source from 0 to 1 once, for node 2",
    ),
    "unknown cell operation": (
        "|none~0|+\n|conv~0|none~1|",
        "line 2, column 2: 'conv~0' has an unknown operation 'conv'",
    ),
    "other number of nodes": (
        "Structure(4 nodes with |none~0|)",
        "line 1, column 1: 'Structure(4 nodes with' is not true: the cell has 2 nodes",
    ),
    "bad edge in one line": (
        "normal: 0->2 skip_connect, 1-2 none; reduction: 0->2 none",
        "line 1, column 28: '1-2 none' must be an edge, as 0->2 skip_connect",
    ),
    "unknown operation in one line": (
        "normal: 0->2 skip; reduction: 0->2 none",
        "line 1, column 9: '0->2 skip' has an unknown operation 'skip'",
    ),
    "cell twice in one line": (
        "normal: 0->2 none; normal: 0->2 none",
        "line 1, column 19: 'normal: 0->2 none' must be a cell, as normal: 0->2 skip_connect",
    ),
    "edge twice in one line": (
        "normal: 0->2 none, 0->2 skip_connect",
        "cell 'normal': edge 0->2 is there twice",
    ),
    "wrong keys": ("space: darts", "a genotype has the keys 'space' and 'cells', and no others"),
    "no cells": ("space: darts\ncells: []", "space must be a name, and cells a mapping of cells"),
    "no mapping": ("space: a\ncells: {normal: []}", "cell 'normal' must be a mapping as 0->2"),
    "bad edge": ("space: a\ncells: {normal: {2: none}}", "edge '2' must be written SOURCE->TARGET"),
    "bad YAML": ("space: [", "is no genotype and not valid YAML"),
    "no date": ("space: 2024-13-45", "is no genotype and not valid YAML"),
    "number": ("15625", "'15625' is no cell: NAS-Bench-201 numbers its cells from 0 to 15624"),
    "negative number": ("-1", "'-1' is no cell: NAS-Bench-201 numbers its cells from 0 to 15624"),
    "fraction": ("1.5", "'1.5' is no genotype; write Genotype(normal=…), |op~0|+…, YAML, a pub"),
    "six numbers": (
        "[3, 1, 4, 1, 0, 2]",
        # worked out by hand: NAS-Bench-201's order is 0->1, 0->2, 1->2, …, NASLib's 0->1, 0->2, …
        "'[3, 1, 4, 1, 0, 2]' does not say in whose order it is; write NAS-Bench-201: "
        "|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+"
        "|skip_connect~0|none~1|nor_conv_1x1~2| or NASLib: "
        "|nor_conv_1x1~0|+|none~0|none~1|+|avg_pool_3x3~0|skip_connect~1|nor_conv_3x3~2|",
    ),
}


@pytest.mark.parametrize(("text", "complaint"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_in_one_line(text, complaint):
    with pytest.raises(GenotypeError) as error:
        Genotype.parse(text)
    assert complaint in str(error.value) and "\n" not in str(error.value)


def test_check_finds_what_the_space_does_not_hold(published, last_genotype):
    darts, nasbench = load_space("darts"), load_space("nasbench201")
    genotype = last_genotype(darts)
    for cell, complaint in [
        (((0, 2, "none"), (1, 2, "skip_connect")), "edge 0->2: 'none' is not one of max_pool_3x3"),
        (((0, 9, "skip_connect"),), "normal cell, edge 0->9: space 'darts' has no such edge"),
        (((0, 2, "skip_connect"),), "node 2 has 1 edges into it, but must have 2"),
        (((0, 2, "nor_conv_1x1"),), "'nor_conv_1x1' is not one of max_pool_3x3"),
    ]:
        wrong = Genotype("darts", {**genotype.cells, "normal": CellGenotype.of(cell)})
        with pytest.raises(GenotypeError, match=complaint):
            wrong.check(darts)
    with pytest.raises(GenotypeError, match="space 'nasbench201' has the cells normal, but the"):
        genotype.check(nasbench)
    with pytest.raises(GenotypeError, match="DARTS's notation has a normal and a reduction cell"):
        Genotype.parse(published["NB201"]).to_darts()
    with pytest.raises(GenotypeError, match="NAS-Bench-201's notation has one cell"):
        genotype.to_nasbench201()


def test_count_checks_its_arguments(published):
    genotype = Genotype.parse(published["DARTS_V1"])
    with pytest.raises(ValueError, match="kind is 'skips', but must be one of skip, pool"):
        genotype.count("skips")
    with pytest.raises(ValueError, match="cell is 'reduce', but must be one of normal, reduction"):
        genotype.count("skip", "reduce")


def test_genotypes_of_all_operations_have_kinds():
    edges = [(0, 1 + index, name) for index, name in enumerate(operation_names())]
    genotype = Genotype("all", {"normal": CellGenotype.of(edges)})
    kinds = {kind: genotype.count(kind) for kind in KINDS}
    assert sum(kinds.values()) == len(edges) and kinds["none"] == 1 and kinds["skip"] == 1
