"""The training-free proxies of a genotype, for `tune-nas inspect --proxies`."""

from __future__ import annotations

from dataclasses import dataclass

from tune_nas.cli.proxy_options import ProxyOptions
from tune_nas.config import DataConfig, check_data_keys
from tune_nas.library import validate
from tune_nas.paths import expanded
from tune_nas.proxies import Proxy, ProxyInputs, inputs_for
from tune_nas.proxies.proxy_factory import KEY
from tune_nas.spaces import Genotype, Space
from tune_nas.user_code import find_class


@dataclass(frozen=True)
class ProxyScores:
    """The scores of a genotype.

    Args:
        data: Name of the data set.
        inputs: The inputs of the proxies.
        scores: The scores by the name of the proxy.
    """

    data: str
    inputs: ProxyInputs
    scores: dict[str, float]

    def to_dict(self) -> dict[str, object]:
        """Return the scores as plain containers for JSON."""
        inputs = self.inputs
        return {
            "data": self.data,
            "image_size": inputs.image_size,
            "in_channels": inputs.in_channels,
            "classes": inputs.n_classes,
            "seed": inputs.seed,
            "scores": self.scores,
        }

    def __str__(self) -> str:
        inputs, side = self.inputs, self.inputs.image_size
        channels = "1 channel" if inputs.in_channels == 1 else f"{inputs.in_channels} channels"
        width = max(len(name) for name in self.scores)
        return "\n".join(
            [
                f"proxies on {self.data} ({side} × {side}, {channels}, "
                f"{inputs.n_classes} classes), seed {inputs.seed}; higher is better",
                *(f"{name:<{width}}  {_shown(score)}" for name, score in self.scores.items()),
            ]
        )


def proxy_scores(
    options: ProxyOptions,
    genotype: Genotype,
    space: Space,
    init_channels: int | None,
    cells: int | None,
    image_size: int | None,
) -> ProxyScores:
    """Return the scores of a genotype's final network.

    Args:
        options: The proxies and their data.
        genotype: The genotype.
        space: Its space, in the skeleton of the network.
        init_channels: Channels of the first cell; None for the space's usual number.
        cells: Number of cells; None for the space's usual number.
        image_size: Resize the images to this side in pixels; None for no resizing.

    Raises:
        ConfigError: If a proxy or the data set is unknown, or an option does not fit it.
        DataError: If the images cannot be read.
    """
    classes = {name: find_class(KEY, name, Proxy) for name in options.names}
    content = {"name": options.data, "resolution": image_size}
    if options.data_dir is not None:
        content["dir"] = str(expanded(options.data_dir).resolve())
    data = validate(DataConfig, content, "data")
    check_data_keys([data])
    inputs = inputs_for(space, data, init_channels=init_channels, cells=cells)
    scores = {name: part(inputs).score(genotype) for name, part in classes.items()}
    return ProxyScores(options.data, inputs, scores)


def _shown(score: float) -> str:
    return f"{score:,.0f}" if score.is_integer() else f"{score:.4f}"
