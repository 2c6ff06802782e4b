"""What is computed once for many simulated searches: keys of genotypes and training-free scores."""

from __future__ import annotations

from tune_nas.candidates.proxy_of_trial import proxy_name
from tune_nas.config import TrialConfig
from tune_nas.proxies import Proxy, make_proxy, proxy_inputs
from tune_nas.spaces import Genotype, Space, load_space
from tune_nas.spaces.architectures import Architectures

# All edges of a NAS-Bench-201 cell have the same channels and resolution: the size of its network
# follows from how often each operation occurs.
_SIZES = ("parameters", "multiply-adds")


class KeptScores:
    """The proxy of a trial, whose scores are kept: simulations have the same few thousand cells.

    Its initial weights and images are those of the trial's own seed, in every simulation.

    Args:
        trial: A trial with a strategy, in the space NAS-Bench-201.
        name: Name of the proxy.
    """

    def __init__(self, trial: TrialConfig, name: str) -> None:
        self._trial, self._name = trial, name
        self._proxy: Proxy | None = None
        self._known: dict[str | tuple[str, ...], float] = {}

    def __call__(self, genotype: Genotype) -> float:
        """Return the score of a genotype.

        Raises:
            ConfigError: If the proxy cannot be built, at the first call.
            DataError: If it needs images that cannot be read.
        """
        key: str | tuple[str, ...] = str(genotype)
        if self._name in _SIZES:
            edges = [edge for cell in genotype.cells.values() for edge in cell.edges]
            key = tuple(sorted(edge.operation for edge in edges))
        if key not in self._known:
            if self._proxy is None:
                self._proxy = make_proxy(self._name, proxy_inputs(self._trial))
            self._known[key] = self._proxy.score(genotype)
        return self._known[key]


class KeptKeys(Architectures):
    """Genotypes whose keys are kept: there are 15,625, which every simulation asks for again."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self._keys: dict[Genotype, str] = {}

    def key(self, genotype: Genotype) -> str:
        """Return a text that is equal for genotypes whose networks compute the same."""
        key = self._keys.get(genotype)
        if key is None:
            key = self._keys[genotype] = super().key(genotype)
        return key


class SimulationCache:
    """What the simulations of one process share: genotypes, and the proxies of trials."""

    def __init__(self) -> None:
        self._spaces: dict[str, Architectures] = {}
        self._proxies: list[tuple[TrialConfig, str, KeptScores]] = []

    def architectures(self, space: str) -> Architectures:
        """Return the genotypes of a space.

        Raises:
            ConfigError: If the space is not found.
        """
        if space not in self._spaces:
            self._spaces[space] = KeptKeys(load_space(space))
        return self._spaces[space]

    def proxy(self, trial: TrialConfig) -> KeptScores | None:
        """Return the proxy that the strategy of a trial reads; None if it reads none.

        Trials that differ in the strategy alone share it.
        """
        name = proxy_name(trial)
        if name is None:
            return None
        for known, of_name, scores in self._proxies:
            if of_name == name and _same(known, trial):
                return scores
        scores = KeptScores(trial, name)
        self._proxies.append((trial, name, scores))
        return scores


def _same(one: TrialConfig, other: TrialConfig) -> bool:
    """Return whether two trials differ in their strategies and names alone."""
    plain = {"strategy": None, "name": "", "description": ""}
    return one.model_copy(update=plain) == other.model_copy(update=plain)
