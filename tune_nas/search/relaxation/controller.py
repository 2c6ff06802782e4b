"""Operations sampled by an LSTM, which is trained by REINFORCE instead of a gradient through α.

Pham et al., "Efficient Neural Architecture Search via Parameter Sharing" (ENAS), ICML 2018,
arXiv:1802.03268; for NAS-Bench-201: D-X-Y/AutoDL-Projects, `exps/NAS-Bench-201-algos/ENAS.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tune_nas.config import RelaxationConfig
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.relaxation.controller_network import ControllerNetwork
from tune_nas.search.relaxation.path import UniformPath
from tune_nas.search.relaxation.relaxation import Alphas, Operations, softmax_where
from tune_nas.seeds import Generators, building
from tune_nas.spaces import Space


class Controller(UniformPath):
    """Samples one operation per edge from the controller, and the edges as `UniformPath` does.

    The operations of a cell depend on each other, so there is no α that determines them. What the
    search has as α are the logits along the greedy decode, in which each edge takes its most
    probable operation: softmax(α) are the probabilities of an edge given the most probable
    operations of the edges before it. They are updated after each training of the controller.
    """

    def __init__(
        self, config: RelaxationConfig, space: Space, choices: CandidateMask | None = None
    ) -> None:
        super().__init__(config, space, choices)
        self.network = self._new_network(None)

    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Return the probabilities of the operations of each edge along the greedy decode."""
        return softmax_where(alphas, mask)

    def initial_alphas(self, generator: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        """Initialize the controller, on the CPU, and return α of its greedy decode."""
        new = self._new_network(int(torch.randint(2**62, (), generator=generator)))
        # in place: an optimizer holds the parameters
        self.network.to(dtype).load_state_dict(new.state_dict())
        return self.greedy_logits()

    def greedy_logits(self) -> dict[str, Tensor]:
        """Return the logits along the greedy decode by cell type, each (edges, operations)."""
        found = {}
        for name, cell in self.cells.items():
            allowed = self.choices.selectable(name)
            _, logits = self.network.decode(name, allowed, lambda p: int(p.argmax()))
            found[name] = logits * cell.mask()
        return found

    def sample_operations(self, generator: torch.Generator) -> Operations:
        """Sample the operation of each edge by cell type, each (edges,)."""

        def sampled(probabilities: Tensor) -> int:
            return int(torch.multinomial(probabilities, 1, generator=generator))

        allowed = {name: self.choices.selectable(name) for name in self.cells}
        return {name: self.network.decode(name, mask, sampled)[0] for name, mask in allowed.items()}

    def log_probabilities(self, seeds: list[int], generators: Generators) -> tuple[Tensor, Tensor]:
        """Return log p and entropy of the samples of passes, each (n,), over all cell types."""
        samples = [self._operations(seed, generators) for seed in seeds]
        found = []
        for name in self.cells:
            columns = torch.stack([sample[name] for sample in samples])
            allowed = self.choices.selectable(name)
            found.append(self.network.log_probabilities(name, columns, allowed))
        logs, entropies = zip(*found, strict=True)
        return torch.stack(logs).sum(dim=0), torch.stack(entropies).sum(dim=0)

    def set_alphas(self, alphas: Alphas) -> None:
        """Set α to the greedy decode of the controller; α of decided and pruned edges is kept."""
        with torch.no_grad():
            for name, logits in self.greedy_logits().items():
                alpha = alphas[name]
                closed = self.choices.closed(name, alpha.device)
                new = logits.to(alpha)
                alpha.copy_(new if closed is None else torch.where(closed[:, None], alpha, new))

    def _new_network(self, seed: int | None) -> ControllerNetwork:
        operations = max(cell.n_operations for cell in self.cells.values())
        with building(seed):
            return ControllerNetwork(self.config.controller, list(self.cells), operations)

    def _chosen(self, name: str, seed: int, generators: Generators, scores: Tensor) -> Tensor:
        return self._operations(seed, generators)[name]

    def _operations(self, seed: int, generators: Generators) -> Operations:
        """Return the operations of the pass with a seed: the same in each call."""
        return self.sample_operations(generators(seed, "operations", torch.device("cpu")))
