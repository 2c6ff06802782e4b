"""The options of the supernet that change over the epochs."""

from __future__ import annotations

from tune_nas.config.section import Decay, Rate, Section


class AuxiliarySkipConfig(Section):
    """A skip connection with weight β beside the operations of every edge (DARTS-).

    Without it, if both are 0: no edge then has one.

    Args:
        start: β of epoch 1 (DARTS-: 1).
        end: β that the linear decay reaches after the last epoch, and of the tuning epochs of a
            selection (DARTS-: 0).
    """

    start: Rate = 0.0
    end: Rate = 0.0

    @property
    def present(self) -> bool:
        """Whether the edges of the supernet have an auxiliary skip connection."""
        return self.start > 0 or self.end > 0

    def weight(self, epoch: int, epochs: int) -> float:
        """Return β(e) = start + (end − start) · e / E for epoch e (0-based) of E."""
        return self.start + (self.end - self.start) * epoch / epochs


class SupernetOptions(Section):
    """Options of the supernet of every relaxation.

    Args:
        auxiliary_skip: β of a skip connection beside the operations of every edge (DARTS-), which a
            genotype never has; 0 for none.
        drop_path: Probability of the last epoch with which the output of an edge is dropped for an
            image in training, whole; it grows linearly from 0 (RobustDARTS).
    """

    auxiliary_skip: AuxiliarySkipConfig = AuxiliarySkipConfig()
    drop_path: Decay = 0.0

    def drop_path_in(self, epoch: int, epochs: int) -> float:
        """Return p · e / (E − 1) for epoch e (0-based) of E."""
        return self.drop_path * epoch / max(epochs - 1, 1)
