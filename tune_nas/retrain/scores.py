"""The scores of a network on the held-out images."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tune_nas.data import DataSource
from tune_nas.retrain.distributed import Workers
from tune_nas.spaces import Network
from tune_nas.spaces.native_network import NativeNetwork
from tune_nas.training import tally

_TOP = 5


class Scores(NamedTuple):
    """The scores of a network on the held-out images.

    Args:
        loss: Mean cross-entropy.
        accuracy: Accuracy in percent.
        top5_accuracy: Percentage of images whose class is among the five largest logits; None for
            data with at most five classes.
    """

    loss: float
    accuracy: float
    top5_accuracy: float | None

    def metrics(self, prefix: str) -> dict[str, float]:
        """Return them as metrics, e.g. ``test_loss``, ``test_accuracy``, ``test_top5_accuracy``.

        Args:
            prefix: Text before each name, e.g. ``test_``.
        """
        found = {f"{prefix}loss": self.loss, f"{prefix}accuracy": self.accuracy}
        if self.top5_accuracy is not None:
            found[f"{prefix}top5_accuracy"] = self.top5_accuracy
        return found


def score_network(
    network: Network,
    data: DataSource,
    batch_size: int,
    device: torch.device,
    workers: Workers = Workers(),
    *,
    kernels: bool = False,
) -> Scores:
    """Return the scores of a network, which is left in evaluation mode.

    Args:
        network: The network, in channels_last.
        data: Its data.
        batch_size: Number of images that are classified at once.
        device: Device of network and images.
        workers: The processes that share the batches; they return the same scores.
        kernels: Whether the kernels of a CPU run the network, where there are some.
    """
    network.eval()
    run = NativeNetwork(network) if kernels else network.run
    layout = torch.channels_last
    batches = data.test_batches(batch_size, workers.rank, workers.size)
    ordered = ((images.contiguous(memory_format=layout), labels) for images, labels in batches)

    def classify(images: Tensor) -> Tensor:
        logits = run(images, None)
        assert isinstance(logits, Tensor)  # the auxiliary head is left out in evaluation
        return logits

    top = _TOP if data.n_classes > _TOP else None
    found = tally(classify, ordered, device, top=top)
    found.combine(workers.add)
    return Scores(found.loss, found.accuracy, found.top_accuracy)
