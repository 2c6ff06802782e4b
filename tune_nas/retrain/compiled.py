"""The passes of a retraining run: by kernels on a CPU, compiled by torch.compile on a GPU."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from tune_nas.config.trial import RuntimeConfig
from tune_nas.runtime import supernet_form
from tune_nas.spaces import Network
from tune_nas.spaces.native_network import NativeNetwork

Output = Tensor | tuple[Tensor, Tensor]
Run = Callable[[Tensor, Tensor | None], Output]

_LOG = logging.getLogger(__name__)


def compile_pays(choice: Literal["auto", "never"], device: torch.device) -> bool:
    """Return whether ``runtime.compile`` requests compilation: ``auto`` does only on a GPU."""
    return choice == "auto" and device.type == "cuda"


def kernels_pay(config: RuntimeConfig, device: torch.device) -> bool:
    """Return whether a retraining run uses the kernels: on a CPU if a supernet does."""
    return device.type == "cpu" and supernet_form(config, device) == "fast"


class TrainingPass:
    """The forward pass of training steps: the sampling of drop path, then the network.

    A function is compiled rather than the module, to keep the keys of its state dict.

    Args:
        network: The network; its gradients must be None at the first batch.
        compiled: Whether to compile it. If that fails (no compiler, an operation that cannot be
            traced), one line is logged and it runs uncompiled.
        drops: Whether it drops paths in any epoch.
        kernels: Whether the kernels of a CPU run it, where there are some.

    Attributes:
        kernels: Likewise; it may be changed between steps.
    """

    def __init__(
        self, network: Network, *, compiled: bool, drops: bool, kernels: bool = False
    ) -> None:
        self.network = network
        self.kernels, self._native = kernels, NativeNetwork(network)
        self._wanted, self._drops = compiled, drops
        self._compiled: Run | None = None

    def __call__(self, images: Tensor) -> Output:
        """Return the output of the network in training mode for images (n, in_channels, h, w)."""
        kept = self.network.draw_kept(images)
        if self._wanted:
            factors = kept
            if kept is None and self._drops:
                # Nothing is dropped in the first epoch: multiply by 1, to avoid a second
                # compilation.
                factors = images.new_ones(self.network.n_paths, len(images), 1, 1, 1)
            if self._compiled is None:
                self._compiled = _compile(self.network, images, factors)
                self._wanted = self._compiled is not None
            if self._compiled is not None:
                return self._compiled(images, factors)
        return (self._native if self.kernels else self.network.run)(images, kept)


def _compile(network: Network, images: Tensor, kept: Tensor | None) -> Run | None:
    """Return `network.run` compiled for batches like this one; None if that fails.

    Both passes are run once, so that failures occur here; the network and its generator are
    restored afterwards.
    """
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    drawn = None if network.generator is None else network.generator.get_state()
    run: Run | None = None
    try:
        # A process that retrains several networks would otherwise reach torch's limit on the number
        # of versions of a function.
        torch.compiler.reset()
        run = torch.compile(network.run, fullgraph=True, dynamic=False)
        output = run(images, kept)
        logits = output if isinstance(output, tuple) else (output,)
        torch.autograd.backward([scores.sum() for scores in logits])
    except Exception as error:  # compilers raise anything; fall back to the plain network
        reason = str(error).strip().splitlines() or [type(error).__name__]
        _LOG.warning("the network is not compiled, torch's operations are used: %s", reason[0])
        run = None
    with torch.no_grad():
        for buffer, before in buffers:
            buffer.copy_(before)
    if network.generator is not None and drawn is not None:
        network.generator.set_state(drawn)
    network.zero_grad(set_to_none=True)
    return run
