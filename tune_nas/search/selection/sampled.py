"""Selection among many genotypes, evaluated with the supernet's weights.

Sampled uniformly: Li and Talwalkar, "Random Search and Reproducibility for Neural Architecture
Search" (RSPS), UAI 2019, arXiv:1902.07638. The most probable ones by α: Dong and Yang, "One-Shot
Neural Architecture Search via Self-Evaluated Template Network" (SETN), ICCV 2019, arXiv:1910.11831.
Run at the end of every epoch, as in Dong and Yang (NAS-Bench-201).
"""

from __future__ import annotations

import copy

import torch

from tune_nas.search.ablation import candidates
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.selection.most_probable import most_probable
from tune_nas.search.selection.selection import Selection
from tune_nas.search.view import SearchControl, SearchView
from tune_nas.seeds import make_generator
from tune_nas.spaces import CellGenotype, Edge, Genotype, GenotypeEdge, MixingWeights


class Sampled(Selection):
    """The best of sampled or most probable genotypes, evaluated with the supernet's weights.

    Each epoch has its own samples, determined by the trial's seed and the epoch.
    """

    def __init__(self, search: SearchControl) -> None:
        super().__init__(search)
        self._sampled_in = (-1, -1)  # of the results below
        self._best: Genotype
        self._accuracies: list[float] = []

    def genotype(self) -> Genotype:
        """Return the best of the genotypes of the current epoch."""
        if self._sampled_in != self._now():
            self._sample()
        return self._best

    def metrics(self) -> dict[str, float]:
        """Return the accuracy of the best genotype in the supernet, and the mean over all."""
        accuracies = self._accuracies
        return {
            "sampled/best_accuracy": max(accuracies),
            "sampled/mean_accuracy": sum(accuracies) / len(accuracies),
        }

    def _sample(self) -> None:
        search, config = self.search, self.search.trial.selection.sampled
        found = []
        for genotype in self._candidates():
            # Running statistics are those of all paths, not of this one.
            loss, accuracy = search.evaluate(
                weights_of(search, genotype), config.batches, batch_statistics=True
            )
            found.append((accuracy, -loss, genotype))
        self._accuracies = [accuracy for accuracy, *_ in found]
        self._best = max(found, key=lambda entry: entry[:2])[2]
        self._sampled_in = self._now()

    def _now(self) -> tuple[int, int]:
        """Return the epochs run and those of the schedule, which a rule may set back."""
        return self.search.epoch, self.search.schedule_epoch

    def _candidates(self) -> list[Genotype]:
        search, config = self.search, self.search.trial.selection.sampled
        if config.candidates == "most-probable":
            return most_probable(search, config.genotypes)
        generator = make_generator(search.trial.seed, f"genotypes of epoch {search.epoch}")
        return [sample_genotype(search, generator) for _ in range(config.genotypes)]


def sample_genotype(search: SearchView, generator: torch.Generator) -> Genotype:
    """Sample a genotype: edges of each node, decided ones first, and an operation each.

    Edges are sampled uniformly, and so are operations, unless the relaxation samples them.

    Args:
        search: The search; only its remaining choices are sampled.
        generator: A generator on the CPU.
    """

    def below(n: int) -> int:
        return int(torch.randint(n, (), generator=generator))

    cells = {}
    sampled = search.relaxation.sample_operations(generator)
    for name, cell in search.space.cells.items():
        decided, pruned = search.choices.decided(name), search.choices.pruned(name)
        edges = []
        for node in cell.nodes:
            rows = [row for row in cell.incoming(node) if not pruned[row]]
            order = torch.randperm(len(rows), generator=generator).tolist()
            shuffled = sorted((rows[place] for place in order), key=lambda row: not decided[row])
            for row in shuffled[: cell.kept_inputs(node)]:
                if sampled is None:
                    columns = candidates(search, name, row)
                    column = columns[below(len(columns))]
                else:
                    column = int(sampled[name][row])
                operation = cell.operations[row][column]
                edges.append(GenotypeEdge(cell.edges[row].source, node, operation))
        cells[name] = CellGenotype(tuple(edges))
    return Genotype(search.space.name, cells)


def weights_of(search: SearchView, genotype: Genotype) -> MixingWeights:
    """Return the mixing weights that reduce the supernet to a genotype: one operation per edge.

    Edge weights, if any, are distributed among the edges of the genotype.
    """
    choices = CandidateMask(search.space)
    for name, found in genotype.cells.items():
        cell = search.space.cells[name]
        operations = {Edge(edge.source, edge.target): edge.operation for edge in found.edges}
        for row, edge in enumerate(cell.edges):
            if edge in operations:
                choices.decide(name, row, cell.operations[row].index(operations[edge]))
            else:
                choices.prune(name, row)
    relaxation = copy.copy(search.relaxation)
    relaxation.choices = choices
    with torch.no_grad():
        return relaxation.weights(search.alphas, search.betas)
