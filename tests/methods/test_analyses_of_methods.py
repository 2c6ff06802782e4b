"""The analyses as probes of the shipped methods: they fit all of them and change none."""

from __future__ import annotations

import math

import pytest
from conftest import Shrink

from tune_nas import manifest
from tune_nas.search import Search
from tune_nas.testing.states import differences

PROBES = list(manifest.SHIPPED["probes"])
OPTIONS = {"analysis.batches": 1, "analysis.shuffles": 1, "analysis.epochs": 1}
# partial channels and β; sampled; stages and dropout; no α; decided edges; tuning epochs
METHODS = ("pc-darts", "gdas", "p-darts", "rsps", "sgas", "darts-pt", "sdarts-rs")


@pytest.mark.parametrize("name", METHODS)
def test_analyses_change_no_method(shrink: Shrink, name: str) -> None:
    probes = [probe for probe in PROBES if name != "rsps" or probe != "hessian"]
    observed = Search(shrink(name, probes=probes, **OPTIONS))
    alone = Search(shrink(name, **OPTIONS))
    for search in (observed, alone):
        while not search.done:
            search.run_epoch()
    own, expected = observed.state_dict(), alone.state_dict()
    keys = [key for key in expected if key not in ("trial", "probes", "history")]
    assert not differences({key: own[key] for key in keys}, {key: expected[key] for key in keys})
    for metrics, before in zip(observed.history, alone.history, strict=True):
        assert not differences({key: metrics[key] for key in before}, before)
        assert all(math.isfinite(value) for value in metrics.values())
    assert "gradient_bias/valid" in observed.history[0]
