"""The scores of a network on the test images."""

from __future__ import annotations

from typing import NamedTuple

import torch

from tune_nas.data import DataSource
from tune_nas.retrain.distributed import Workers
from tune_nas.spaces import Network
from tune_nas.training import tally

_TOP = 5


class Scores(NamedTuple):
    """The scores of a network on the test images.

    Args:
        loss: Mean cross-entropy.
        accuracy: Accuracy in percent.
        top5_accuracy: Percentage of images whose class is among the five largest logits; None for
            data with at most five classes.
    """

    loss: float
    accuracy: float
    top5_accuracy: float | None

    def metrics(self, prefix: str = "") -> dict[str, float]:
        """Return them as metrics: ``test_loss``, ``test_accuracy``, ``test_top5_accuracy``.

        Args:
            prefix: Text before each name.
        """
        found = {f"{prefix}test_loss": self.loss, f"{prefix}test_accuracy": self.accuracy}
        if self.top5_accuracy is not None:
            found[f"{prefix}test_top5_accuracy"] = self.top5_accuracy
        return found


def score_network(
    network: Network,
    data: DataSource,
    batch_size: int,
    device: torch.device,
    workers: Workers = Workers(),
) -> Scores:
    """Return the scores of a network, which is left in evaluation mode.

    Args:
        network: The network, in channels_last.
        data: Its data.
        batch_size: Number of images that are classified at once.
        device: Device of network and images.
        workers: The processes that share the batches; they return the same scores.
    """
    network.eval()
    layout = torch.channels_last
    batches = data.test_batches(batch_size, workers.rank, workers.size)
    ordered = ((images.contiguous(memory_format=layout), labels) for images, labels in batches)
    top = _TOP if data.n_classes > _TOP else None
    found = tally(network, ordered, device, top=top)
    found.combine(workers.add)
    return Scores(found.loss, found.accuracy, found.top_accuracy)
