"""Search and retraining as the authors' code does them, to hold this project's against.

Images are augmented one by one, through Pillow and torchvision. A first-order search step: what it
does and this project does not: one loader that augments image by image, and a new iterator
of the valid loader in every step; ``backward`` over all leaves, so that every pass computes the
gradients of both w and α and one of them is thrown away; mixed level in three passes; optimisers
tensor by tensor; NCHW; the accuracy read back in every step. Sources: quark0/darts
``cnn/train_search.py`` and ``architect.py``; D-X-Y/AutoDL-Projects ``DARTS-V1.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tune_nas.data import Images
from tune_nas.data.vision import import_torchvision
from tune_nas.retrain import Retrain
from tune_nas.search import Search

WORKERS = 2


def cut_out(image: Tensor, size: int) -> Tensor:
    """Blank a square of an image (channels, height, width) around a drawn pixel, in place."""
    row, column = (int(torch.randint(side, ())) for side in image.shape[1:])
    top, left = max(row - size // 2, 0), max(column - size // 2, 0)
    image[:, top : row + size // 2, left : column + size // 2] = 0
    return image


class OneByOne(Dataset[tuple[Tensor, int]]):
    """Images that are augmented one by one, by torchvision.

    Args:
        images: The images.
        repeats: How many times each comes in an epoch.
        cutout: Side of the square that is blanked, in pixels; 0 for none.
    """

    def __init__(self, images: Images, repeats: int, cutout: int = 0) -> None:
        import_torchvision()
        from torchvision import transforms

        side = images.images.shape[-1]
        self.images = [transforms.functional.to_pil_image(image) for image in images.images.cpu()]
        self.labels = images.labels.tolist()
        self.repeats = repeats
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(side, padding=side // 8),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize([0.5], [0.25]),
                *([] if cutout == 0 else [partial(cut_out, size=cutout)]),
            ]
        )

    def __len__(self) -> int:
        return len(self.images) * self.repeats

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        place = index % len(self.images)
        return self.transform(self.images[place]), self.labels[place]


class PublishedStep:
    """Steps of a first-order search of the plain supernet.

    Args:
        search: Of the form ``plain``; its supernet is put into NCHW.
    """

    def __init__(self, search: Search) -> None:
        trial = search.trial
        self.search, self.level = search, trial.update.level
        search.supernet.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        size = trial.schedule.batch_size
        self.train, self.valid = (
            DataLoader(OneByOne(images, 100), size, shuffle=True, num_workers=WORKERS)
            for images in (search.data.train, search.data.valid)
        )
        self.train_batches: Iterator[tuple[Tensor, Tensor]] = iter(self.train)
        weights, alphas = trial.optimizer.weights, trial.optimizer.alphas
        self.w = list(search.supernet.parameters())
        self.sgd = torch.optim.SGD(
            self.w,
            weights.learning_rate,
            momentum=weights.momentum,
            weight_decay=weights.weight_decay,
            foreach=False,
        )
        self.adam = torch.optim.Adam(
            search.objective.alpha_list, alphas.learning_rate, betas=(0.5, 0.999), foreach=False
        )
        self.clip = weights.clip

    def __call__(self) -> None:
        """Move α, then w; at single level both from one pass."""
        train = next(self.train_batches)
        if self.level != "single":
            self.adam.zero_grad()
            if self.level == "mixed":
                self._backward(train)
            self._backward(next(iter(self.valid)))
            self.adam.step()
        self.sgd.zero_grad()
        if self.level == "single":
            self.adam.zero_grad()
        logits = self._backward(train)
        torch.nn.utils.clip_grad_norm_(self.w, self.clip or 1e9)
        self.sgd.step()
        if self.level == "single":
            self.adam.step()
        (logits.argmax(1) == train[1].to(logits.device)).float().mean().item()

    def _backward(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, labels = (tensor.to(self.search.device) for tensor in batch)
        seeded = self.search.objective.seeded((images, labels))
        logits = self.search.supernet(images, self.search.objective.mixing(seeded))
        F.cross_entropy(logits, labels).backward()
        return logits


def plain_retraining(retrain: Retrain) -> Callable[[Tensor, Tensor], None]:
    """Return a retraining step in NCHW, by SGD that is not fused, not compiled.

    Args:
        retrain: Its network is put into NCHW.
    """
    recipe = retrain.trial.retrain
    network = retrain.network
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    sgd = torch.optim.SGD(
        network.parameters(),
        recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )

    def step(images: Tensor, labels: Tensor) -> None:
        sgd.zero_grad()
        logits, auxiliary = network(images)
        loss = F.cross_entropy(logits, labels)
        (loss + recipe.auxiliary_weight * F.cross_entropy(auxiliary, labels)).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        sgd.step()

    return step
