"""The table of published genotypes: sizes as published, sources, the cells that are refused."""

import csv
import gzip

import pytest

from tune_nas.errors import GenotypeError
from tune_nas.spaces import Genotype, load_space, model_size
from tune_nas.spaces.network import AuxiliaryHead
from tune_nas.spaces.notation import Published, published_genotypes

TABLE = published_genotypes()


@pytest.mark.parametrize("known", TABLE, ids=lambda known: known.name)
def test_a_published_genotype_is_of_its_space_and_survives_every_notation(known: Published) -> None:
    genotype = Genotype.parse(known.name)
    assert genotype == Genotype.parse(f"published:{known.name}")
    assert genotype.space == known.space
    genotype.check(load_space(known.space))
    assert Genotype.parse(str(genotype), space=known.space) == genotype
    assert known.paper and "/" in known.source


@pytest.mark.parametrize(
    "known", [k for k in TABLE if k.parameters is not None], ids=lambda known: known.name
)
def test_the_network_has_as_many_parameters_as_published(known: Published) -> None:
    size = model_size(
        Genotype.parse(known.name),
        load_space(known.space),
        image_size=32,
        n_classes=10,
        init_channels=36,
        cells=20,
    )
    head = AuxiliaryHead(4 * 36 * 4, 10)  # on four nodes of four times the first cell's channels
    extra = sum(p.numel() for p in head.parameters()) if known.with_auxiliary_head else 0
    digits = len(str(known.parameters).partition(".")[2])
    assert known.parameters == round((size.parameters + extra) / 1e6, digits)


def test_well_known_edges() -> None:
    assert Genotype.parse("PC_DARTS_cifar") == Genotype.parse(
        "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), "
        "('dil_conv_3x3', 1), ('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), "
        "('dil_conv_3x3', 1)], normal_concat=range(2, 6), reduce=[('sep_conv_5x5', 1), "
        "('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_5x5', 2), ('sep_conv_3x3', 0), "
        "('sep_conv_3x3', 3), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2)], "
        "reduce_concat=range(2, 6))"
    )


def test_the_older_copies_of_published_genotypes_are_the_same(published) -> None:
    for name in ("DARTS_V1", "DARTS_V2", "PDARTS"):
        assert Genotype.parse(published[name]) == Genotype.parse(name)


def test_the_published_names_are_asked_for_as_they_are_written() -> None:
    with pytest.raises(GenotypeError, match=r"'darts_v2' is no genotype; did you .* 'DARTS_V2'"):
        Genotype.parse("darts_v2")
    with pytest.raises(GenotypeError, match="'other' is no published genotype of the table: DARTS"):
        Genotype.parse("published:other")


NASNET = """\
NASNet = Genotype(
  normal = [
    ('sep_conv_5x5', 1),
    ('sep_conv_3x3', 0),
    ('sep_conv_5x5', 0),
    ('sep_conv_3x3', 0),
    ('avg_pool_3x3', 1),
    ('skip_connect', 0),
    ('avg_pool_3x3', 0),
    ('avg_pool_3x3', 0),
    ('sep_conv_3x3', 1),
    ('skip_connect', 1),
  ],
  normal_concat = [2, 3, 4, 5, 6],
  reduce = [('sep_conv_5x5', 1), ('sep_conv_7x7', 0)],
  reduce_concat = [2],
)
"""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("NASNet", "NASNet"),
        ("NASNet_A", "NASNet"),
        ("AmoebaNet", "AmoebaNet"),
        ("ENASNet", "ENAS"),
        ("PNASNet", "PNASNet"),
        ("published:NASNet", "NASNet"),
        (NASNET, "NASNet"),
        (NASNET.replace("NASNet", "mine"), "NASNet"),
        (NASNET.replace("NASNet", "NASNet_mobile").replace("5x5', 1", "3x3', 1"), "NASNet"),
    ],
)
def test_cells_of_other_spaces_are_refused_by_name(text: str, name: str) -> None:
    with pytest.raises(GenotypeError, match=rf"^{name} \(.* is a cell that no space holds: it"):
        Genotype.parse(text)


def test_a_darts_cell_that_is_called_nasnet_is_read() -> None:
    genotype = Genotype.parse("DARTS_V2")
    assert Genotype.parse(f"NASNet_like = {genotype.to_darts()}") == genotype


KNOWN_CELLS = {
    # asserted by the benchmark's own generator of its order
    0: "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+"
    "|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    9: "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
    123: "|avg_pool_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|",
}


@pytest.mark.parametrize("index", KNOWN_CELLS)
def test_a_number_is_the_benchmarks(index: int) -> None:
    for text in (str(index), f"nasbench201:{index}"):
        assert str(Genotype.parse(text)) == KNOWN_CELLS[index]


def test_every_number_is_the_benchmarks(shared_data_dir) -> None:
    with gzip.open(shared_data_dir / "nasbench201.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15_625
    for row in rows:
        assert Genotype.parse(row["index"]).to_nasbench201() == row["arch"]
