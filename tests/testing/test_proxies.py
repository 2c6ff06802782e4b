"""The shipped proxies, and one of a user's own, keep the contract; broken ones do not."""

from __future__ import annotations

import itertools

import pytest
import torch

from tune_nas import manifest
from tune_nas.proxies import NetworkProxy, Proxy
from tune_nas.spaces import Genotype, Network
from tune_nas.testing import ProxyContract


class TestParameters(ProxyContract):
    proxy = "parameters"


class TestMultiplyAdds(ProxyContract):
    proxy = "multiply-adds"


class TestSynflow(ProxyContract):
    proxy = "synflow"


class TestNaswot(ProxyContract):
    proxy = "naswot"


class TestGradNorm(ProxyContract):
    proxy = "grad-norm"


class LogitSpread(NetworkProxy):
    """Standard deviation of the logits, where some are dropped at random."""

    def measure(self, network: Network) -> float:
        images, _ = self.inputs.batch()
        with torch.no_grad():
            return float(torch.nn.functional.dropout(network(images)).std())


class TestOwnProxy(ProxyContract):
    proxy = f"{__name__}:LogitSpread"


def test_every_shipped_proxy_is_here() -> None:
    tested = {contract.proxy for contract in ProxyContract.__subclasses__()}
    assert set(manifest.SHIPPED["proxies"]) <= tested


class Unseeded(Proxy):
    """Samples from torch's own generator."""

    def score(self, genotype: Genotype) -> float:
        return float(torch.rand(()))


class Counting(Proxy):
    """Counts its calls."""

    def __init__(self, inputs: object) -> None:
        self.calls = itertools.count()

    def score(self, genotype: Genotype) -> float:
        return float(next(self.calls))


class Endless(Proxy):
    """Has no finite score."""

    def score(self, genotype: Genotype) -> float:
        return float("inf")


@pytest.mark.parametrize(
    ("name", "test"),
    [
        ("Unseeded", "test_the_same_inputs_give_the_same_score"),
        ("Unseeded", "test_the_random_state_is_unchanged"),
        ("Counting", "test_earlier_calls_change_nothing"),
        ("Endless", "test_every_score_is_a_finite_number"),
    ],
)
def test_broken_proxies_are_caught(name: str, test: str) -> None:
    class Contract(ProxyContract):
        proxy = f"{__name__}:{name}"

    with pytest.raises(AssertionError):
        getattr(Contract(), test)()
