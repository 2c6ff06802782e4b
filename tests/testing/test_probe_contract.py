"""The shipped probes, and the example of a user's own, keep the contract."""

from __future__ import annotations

from collections.abc import Mapping

from tune_nas import manifest
from tune_nas.search import Probe, SearchView
from tune_nas.search.analyses import AnalysisProbe
from tune_nas.search.probes import (
    AlphaHistory,
    ChoiceHistory,
    Decisions,
    Entropies,
    GenotypeMetrics,
)
from tune_nas.testing import ProbeContract


class Second(Probe):
    """A shipped probe once more, in a search that has it already: under names of its own."""

    kind: type[Probe]

    def __init__(self, search: SearchView) -> None:
        super().__init__(search)
        self.probe = self.kind(search)

    def after_epoch(self, search: SearchView) -> Mapping[str, float]:
        found = self.probe.after_epoch(search)
        return {f"second/{key}": value for key, value in found.items()}

    def artifacts(self) -> Mapping[str, str | bytes]:
        return {f"second-{name}": content for name, content in self.probe.artifacts().items()}

    def state_dict(self) -> dict[str, object]:
        return dict(self.probe.state_dict())

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        self.probe.load_state_dict(state)


class SecondAlphaHistory(Second):
    kind = AlphaHistory


class SecondChoiceHistory(Second):
    kind = ChoiceHistory


class SecondDecisions(Second):
    kind = Decisions


class SecondEntropies(Second):
    kind = Entropies


class SecondGenotypeMetrics(Second):
    kind = GenotypeMetrics


class TestAlphaHistory(ProbeContract):
    probe = f"{__name__}:SecondAlphaHistory"


class TestChoiceHistory(ProbeContract):
    probe = f"{__name__}:SecondChoiceHistory"
    trial = "sgas"
    epochs = 5


class TestDecisions(ProbeContract):
    probe = f"{__name__}:SecondDecisions"
    trial = "sgas"
    epochs = 5
    settings = {"schedule.greedy.warmup": 0, "schedule.greedy.every": 1}  # noqa: RUF012


class TestEntropies(ProbeContract):
    probe = f"{__name__}:SecondEntropies"


class TestGenotypeMetrics(ProbeContract):
    probe = f"{__name__}:SecondGenotypeMetrics"


class TestAlternatives(ProbeContract):
    probe = "own_parts:Alternatives"


class AnalysisContract(ProbeContract):
    settings = {  # noqa: RUF012
        "analysis.batches": 1,
        "analysis.shuffles": 1,
        "analysis.epochs": 1,
        "analysis.every": 2,
    }


class TestGradientCorrelation(AnalysisContract):
    probe = "gradient-correlation"


class TestGradientBias(AnalysisContract):
    probe = "gradient-bias"


class TestDiscretization(AnalysisContract):
    probe = "discretization"


class TestEdgeShuffle(AnalysisContract):
    probe = "edge-shuffle"


class TestHessian(AnalysisContract):
    probe = "hessian"


class TestSkipGap(AnalysisContract):
    probe = "skip-gap"


def test_every_shipped_analysis_is_here() -> None:
    tested = {kind.probe for kind in AnalysisContract.__subclasses__()}
    assert tested == set(manifest.SHIPPED["probes"])


def test_every_shipped_probe_is_here() -> None:
    shipped = {kind for kind in Probe.__subclasses__() if kind.__module__.startswith("tune_nas.")}
    assert shipped == {*(kind.kind for kind in Second.__subclasses__()), AnalysisProbe}
