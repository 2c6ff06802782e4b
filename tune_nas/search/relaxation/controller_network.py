"""The LSTM that samples the operations of a cell, edge by edge.

Pham et al., "Efficient Neural Architecture Search via Parameter Sharing" (ENAS), ICML 2018,
arXiv:1802.03268. Sizes and logits as for NAS-Bench-201 in D-X-Y/AutoDL-Projects
(`models/cell_searchs/search_model_enas_utils.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from tune_nas.config.options.controller_options import ControllerConfig
from tune_nas.search.relaxation.relaxation import masked

Choose = Callable[[Tensor], int]
"""Takes the probabilities of the operations of an edge, (operations,), and returns a column."""

_INIT = 0.1  # parameters of the LSTM and the first inputs start uniform in ± this


class ControllerNetwork(nn.Module):
    """p(operations of a cell) = Π over edges of p(operation | operations of the edges before).

    Every cell type is a separate sequence with a separate first input; the other parameters are
    shared.

    Args:
        config: Sizes, and the form of the logits.
        cells: Names of the cell types.
        operations: Number of operations of an edge, at most.
    """

    def __init__(self, config: ControllerConfig, cells: Sequence[str], operations: int) -> None:
        super().__init__()
        self._config, self._cells = config, list(cells)
        self.first = nn.Parameter(torch.empty(len(cells), config.hidden))
        self.lstm = nn.LSTM(config.hidden, config.hidden, config.layers, batch_first=True)
        self.embedding = nn.Embedding(operations, config.hidden)
        self.output = nn.Linear(config.hidden, operations)
        for parameter in (self.first, *self.lstm.parameters()):
            nn.init.uniform_(parameter, -_INIT, _INIT)

    @torch.no_grad()
    def decode(self, cell: str, allowed: Tensor, choose: Choose) -> tuple[Tensor, Tensor]:
        """Choose an operation for each edge, one after the other.

        Args:
            cell: The cell type.
            allowed: Mask of the operations that may be chosen, (edges, operations), bool. An edge
                without any counts as if its first one were chosen.
            choose: Chooses the operation of an edge.

        Returns:
            The columns chosen, (edges,), and the logits from which they were, (edges, operations).
        """
        inputs, state = self._first(cell), None
        columns, rows = [], []
        for row in allowed:
            output, state = self.lstm(inputs, state)
            logits = self._logits(output)[0, 0, : len(row)]
            rows.append(logits)
            column = choose(masked(logits, row).softmax(dim=0)) if bool(row.any()) else 0
            columns.append(column)
            inputs = self.embedding(torch.tensor([[column]]))
        return torch.tensor(columns), torch.stack(rows)

    def log_probabilities(
        self, cell: str, columns: Tensor, allowed: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return log p and entropy of samples, each (n,), summed over the edges.

        The entropy of a sample is that of its edges' distributions, given the operations before.

        Args:
            cell: The cell type.
            columns: The operations of each sample, (n, edges).
            allowed: As for `decode`.
        """
        n, width = len(columns), allowed.shape[1]
        inputs = torch.cat([self._first(cell).expand(n, 1, -1), self.embedding(columns[:, :-1])], 1)
        logits = self._logits(self.lstm(inputs)[0])[..., :width]
        logs = masked(logits, allowed).log_softmax(dim=-1)
        open_ = allowed.any(dim=1)
        chosen = logs.gather(2, columns[..., None])[..., 0]
        probabilities = logs.exp()
        entropies = -(probabilities * logs.masked_fill(probabilities == 0, 0.0)).sum(dim=-1)
        return (chosen * open_).sum(dim=1), (entropies * open_).sum(dim=1)

    def _first(self, cell: str) -> Tensor:
        return self.first[self._cells.index(cell)].view(1, 1, -1)

    def _logits(self, output: Tensor) -> Tensor:
        logits: Tensor = self.output(output) / self._config.logit_divisor
        return self._config.tanh_scale * logits.tanh()
