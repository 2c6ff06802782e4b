"""The shipped relaxations, and the example of a user's own, keep the contract."""

from __future__ import annotations

from typing import ClassVar

from tune_nas.search import relaxation_names
from tune_nas.testing import RelaxationContract


class TestSoftmax(RelaxationContract):
    kind = "softmax"


class TestSigmoid(RelaxationContract):
    kind = "sigmoid"


class TestGumbel(RelaxationContract):
    kind = "gumbel"


class TestConcrete(RelaxationContract):
    kind = "concrete"


class TestDirichlet(RelaxationContract):
    kind = "dirichlet"


class TestCategorical(RelaxationContract):
    kind = "categorical"


class TestCategoricalWithAllPaths(RelaxationContract):
    kind = "categorical"
    settings: ClassVar[dict[str, object]] = {"relaxation.gradient": "full"}


class TestCategoricalWithTwoPaths(RelaxationContract):
    kind = "categorical"
    settings: ClassVar[dict[str, object]] = {"relaxation.gradient": "two"}


class TestCategoricalWithLikelihoods(RelaxationContract):
    kind = "categorical"
    settings: ClassVar[dict[str, object]] = {"relaxation.gradient": "importance"}


class TestDropout(RelaxationContract):
    kind = "dropout"
    settings: ClassVar[dict[str, object]] = {"relaxation.dropout.rate": 0.3}


class TestPath(RelaxationContract):
    kind = "uniform-path"
    trial = "rsps"
    settings: ClassVar[dict[str, object]] = {"selection.sampled.genotypes": 2}


class TestSimplex(RelaxationContract):
    kind = "simplex"
    settings: ClassVar[dict[str, object]] = {"optimizer.alphas.kind": "exponentiated"}


class TestGumbelOnTheSimplex(RelaxationContract):
    kind = "gumbel"
    settings: ClassVar[dict[str, object]] = {
        "relaxation.alphas": "probabilities",
        "optimizer.alphas.kind": "exponentiated",
    }


class TestConcreteOnTheSimplex(RelaxationContract):
    kind = "concrete"
    settings: ClassVar[dict[str, object]] = {
        "relaxation.alphas": "probabilities",
        "optimizer.alphas.kind": "exponentiated",
    }


class TestProximal(RelaxationContract):
    kind = "proximal"


class TestController(RelaxationContract):
    kind = "controller"
    trial = "enas"
    settings: ClassVar[dict[str, object]] = {
        "selection.sampled.genotypes": 2,
        "update.policy.steps": 2,
        "update.policy.samples": 2,
    }


class TestSharpening(RelaxationContract):
    kind = "own_parts:Sharpening"
    options: ClassVar[dict[str, object]] = {"end": 0.2}


def test_every_shipped_relaxation_is_here() -> None:
    contracts = RelaxationContract.__subclasses__()
    assert set(relaxation_names()) <= {contract.kind for contract in contracts}
