"""The notations of a genotype: text, to and from lists of (source, target, operation).

Text is parsed as syntax and never executed.
"""

from tune_nas.spaces.notation.cells import Cells, Reading
from tune_nas.spaces.notation.darts import to_darts
from tune_nas.spaces.notation.documents import read_yaml
from tune_nas.spaces.notation.edge_list import to_edge_list
from tune_nas.spaces.notation.nasbench201 import to_nasbench201
from tune_nas.spaces.notation.published import (
    Published,
    nearest_published,
    published_genotypes,
)
from tune_nas.spaces.notation.reading import read_genotype, read_name

__all__ = [
    "Cells",
    "Published",
    "Reading",
    "nearest_published",
    "published_genotypes",
    "read_genotype",
    "read_name",
    "read_yaml",
    "to_darts",
    "to_edge_list",
    "to_nasbench201",
]
