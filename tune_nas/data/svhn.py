"""SVHN, house numbers (Netzer et al. 2011), read by torchvision, which checks the MD5 sums."""

from __future__ import annotations

import torch

from tune_nas.config import DataConfig
from tune_nas.data.dataset_registry import Part, Source, folder_problem
from tune_nas.data.vision import import_torchvision
from tune_nas.errors import DataError, DataUnavailableError
from tune_nas.paths import expanded

# As in the code of DARTS-PT and RobustDARTS, `_data_transforms_svhn`.
_MEAN = (0.4377, 0.4438, 0.4728)
_STD = (0.1980, 0.2010, 0.1970)


def read_svhn(config: DataConfig, part: Part) -> Source:
    """Open SVHN: 73,257 and 26,032 color images of house numbers, 32 × 32 pixels, 10 classes.

    The additional images (``extra``) are not used.
    """
    dataset = import_torchvision().datasets.SVHN
    name = dataset.split_list[part][1]
    if config.dir is None:
        raise DataError(
            f"data.dir is not given, but {config.name} needs it: the folder that holds '{name}'"
        )
    folder = expanded(config.dir)
    file = folder / name
    if not config.download:
        problem = folder_problem(folder)
        if problem is not None:
            raise DataUnavailableError(f"data.dir: '{folder}' {problem}")
        if not file.is_file():
            raise DataUnavailableError(
                f"data.dir: '{file}' is missing; set data.download to fetch it"
            )
    try:
        data = dataset(root=str(folder), split=part, download=config.download)
    except ImportError as error:
        raise DataError(f"{config.name} needs SciPy, which is not installed") from error
    except OSError as error:
        cause = " ".join(str(error).split())
        raise DataUnavailableError(f"data.dir: '{file}' cannot be read ({cause})") from error
    except RuntimeError as error:
        if config.download:
            cause = " ".join(str(error).split())
            raise DataUnavailableError(
                f"data.download: {config.name} could not be fetched into '{folder}' ({cause})"
            ) from error
        raise DataError(
            f"data.dir: '{file}' is damaged (its MD5 sum is not the published one); "
            f"fetch {config.name} again (data.download)"
        ) from error
    images = torch.from_numpy(data.data).contiguous()
    return Source(
        torch.from_numpy(data.labels),
        10,
        lambda index: images[index],
        mean=_MEAN,
        std=_STD,
        mirrors=False,
        classes=tuple("0123456789"),
        well_known=True,
    )
