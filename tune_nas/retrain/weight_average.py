"""The exponential moving average of a network's weights over the steps of its training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim.swa_utils import PARAM_LIST, AveragedModel, get_ema_multi_avg_fn

from tune_nas.checkpoint import State
from tune_nas.spaces import Network


class WeightAverage:
    """A copy of a network whose weights are averaged by `torch.optim.swa_utils.AveragedModel`.

    After the first step, the copy equals the network. After each later step, every weight v of the
    copy becomes d · v + (1 - d) · w. The running means and variances of batch normalization are
    averaged in the same way, so that they match the weights; its counters of batches are copied.

    Args:
        network: The network, on its device.
        decay: d, in (0, 1).

    Attributes:
        network: The copy; it shares no memory with the network.
    """

    def __init__(self, network: Network, decay: float) -> None:
        average = _average(decay)
        self._average = AveragedModel(network, multi_avg_fn=average, use_buffers=True)
        self._average.requires_grad_(False)
        assert isinstance(self._average.module, Network)
        self.network = self._average.module

    def update(self, network: Network) -> None:
        """Include the weights of the network after a step."""
        self._average.update_parameters(network)
        own = self.network.generator
        if own is not None and network.generator is not None:
            # Noise in the next evaluation is that of the network, so that a resumed run samples the
            # same and the network's generator does not depend on whether weights are averaged.
            own.set_state(network.generator.get_state())

    def state_dict(self) -> State:
        """Return the averaged weights and the number of steps that they include."""
        return {
            "network": dict(self.network.state_dict()),
            "steps": int(self._average.n_averaged),
        }

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        steps: Tensor = self._average.n_averaged
        steps.fill_(state["steps"])


def _average(decay: float) -> Callable[[PARAM_LIST, PARAM_LIST, Tensor | int], None]:
    """Return torch's update of averages; it would truncate integers, which are copied instead."""
    ema = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    def update(averages: PARAM_LIST, values: PARAM_LIST, steps: Tensor | int) -> None:
        if averages[0].is_floating_point():
            ema(averages, values, steps)
        else:
            torch._foreach_copy_(averages, values)

    return update
