"""Genotypes in YAML and JSON: the files that this project writes, and what it prints."""

import json

import pytest
import yaml

from tune_nas.errors import GenotypeError
from tune_nas.search.model_size import BestBySize
from tune_nas.spaces import Genotype


def of_space(name: str, known: str = "DARTS_V2") -> Genotype:
    return Genotype(name, Genotype.parse(known).cells)


FIRST, SECOND = of_space("s1"), of_space("darts", "PDARTS")


def result(trial_id: str, genotype: Genotype | None) -> dict:
    text = None if genotype is None else genotype.to_yaml()
    return {"trial_id": trial_id, "stage": "search", "metrics": {"a": 1}, "genotype": text}


def test_the_table_by_size_names_the_space_of_each() -> None:
    table = BestBySize()
    table.see(FIRST, 1, 50.0)
    assert Genotype.parse(table.to_yaml()) == FIRST
    table.see(SECOND, 2, 60.0)
    sizes = sorted(genotype.count("convolution") for genotype in (FIRST, SECOND))
    assert sizes == [6, 12]  # of DARTS_V2 and PDARTS
    with pytest.raises(GenotypeError, match=r"has 2 genotypes; name one, e.g. FILE:12: 6, 12"):
        Genotype.parse(table.to_yaml())
    assert Genotype.parse(table.to_yaml(), "6") == FIRST
    assert Genotype.parse(table.to_yaml(), "12") == SECOND


def test_the_table_by_size_of_an_older_checkpoint_is_read() -> None:
    old = yaml.safe_dump({6: {"epoch": 1, "valid_accuracy": 50.0, "genotype": str(FIRST)}})
    assert Genotype.parse(old).cells == FIRST.cells


@pytest.mark.parametrize("name", ["search-00000", "search-00001"])
def test_a_genotype_of_the_results_is_picked_by_the_trials_id(name: str) -> None:
    results = [result("search-00000", FIRST), result("search-00001", SECOND), result("x", None)]
    text = json.dumps(results, indent=1)
    wanted = {"search-00000": FIRST, "search-00001": SECOND}
    assert Genotype.parse(text, name) == wanted[name]
    with pytest.raises(GenotypeError, match=r"has 2 genotypes; name one, .*: search-00000, "):
        Genotype.parse(text)
    with pytest.raises(GenotypeError, match="has no genotype 'x'; it has search-00000, search"):
        Genotype.parse(text, "x")


def test_a_record_and_a_state_are_read() -> None:
    job = {"id": "retrain-00000", "genotype": SECOND.to_yaml(), "trial": {"space": {"name": "s1"}}}
    record = {"job": job, "status": "finished", "genotype": FIRST.to_yaml(), "history": [{"a": 1}]}
    assert Genotype.parse(json.dumps(record)) == FIRST
    assert Genotype.parse(json.dumps({**record, "genotype": None})) == SECOND
    state = {"kind": "retrain", "genotype": SECOND.to_yaml(), "folder": "/a"}
    assert Genotype.parse(json.dumps(state)) == SECOND


def test_what_a_sweep_prints_as_json_is_read() -> None:
    printed = {"sweep": "lambda", "best": "search-00000", "best_genotype": FIRST.to_yaml()}
    assert Genotype.parse(json.dumps(printed)) == FIRST


@pytest.mark.parametrize("text", ["{}", "[]", "a: b", "name: s\nskeleton: {layout: thirds}"])
def test_a_document_without_a_genotype_is_refused(text: str) -> None:
    with pytest.raises(GenotypeError, match=r"^has no genotype; in YAML it has the keys"):
        Genotype.parse(text)


def test_a_damaged_genotype_in_a_document_is_told() -> None:
    broken = json.dumps(result("x", None) | {"genotype": "space: darts\ncells: {normal: [1]}\n"})
    with pytest.raises(GenotypeError, match="cell 'normal' must be a mapping"):
        Genotype.parse(broken)
    damaged = json.dumps(result("x", None) | {"genotype": "space: [\n"})
    with pytest.raises(GenotypeError, match="not valid YAML"):
        Genotype.parse(damaged)
    edges = json.dumps({"space": "darts", "edges": {"normal": [{"source": 0}]}})
    with pytest.raises(GenotypeError, match="edges must have source, target and operation"):
        Genotype.parse(edges)


def test_yaml_alone_is_asked_for() -> None:
    assert Genotype.from_yaml(FIRST.to_yaml()) == FIRST
    for text in ("", FIRST.to_darts(), "DARTS_V2"):
        with pytest.raises(GenotypeError):
            Genotype.from_yaml(text)
