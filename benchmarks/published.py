"""Search and retraining steps as in the authors' code, as a baseline for this project.

Images are augmented one by one, through Pillow and torchvision. In contrast to this project, a
search step has one loader that augments image by image, and a new iterator of the validation
loader in every step; ``backward`` over all leaves, so that every pass computes the
gradients of both w and α and one of them is discarded; mixed level in three passes; second order
with a newly created model and a norm that is read back; optimizers tensor by tensor; NCHW; the
accuracy read back in every step. Sources: quark0/darts ``cnn/train_search.py`` and
``architect.py``; D-X-Y/AutoDL-Projects ``DARTS-V1.py`` and ``GDAS.py``, which run sampled paths
alone; PC-DARTS and DrNAS use the loop of DARTS with other mixing weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from tune_nas.data import Images
from tune_nas.data.vision import import_torchvision
from tune_nas.retrain import Retrain
from tune_nas.search import Search

Batch = tuple[Tensor, Tensor]

WORKERS = 2


def cut_out(image: Tensor, size: int) -> Tensor:
    """Blank a square of an image (channels, height, width) around a random pixel, in place."""
    row, column = (int(torch.randint(side, ())) for side in image.shape[1:])
    top, left = max(row - size // 2, 0), max(column - size // 2, 0)
    image[:, top : row + size // 2, left : column + size // 2] = 0
    return image


class OneByOne(Dataset[tuple[Tensor, int]]):
    """Images that are augmented one by one, by torchvision.

    Args:
        images: The images.
        repeats: Number of times that each image occurs in an epoch.
        cutout: Side of the blanked square, in pixels; 0 for none.
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
    """Steps of a search of the plain supernet.

    Args:
        search: A search of the form ``plain``; its supernet is converted to NCHW.
    """

    def __init__(self, search: Search) -> None:
        trial = search.trial
        self.search, self.level = search, trial.update.level
        self.order, self.sequence = trial.update.order, trial.update.sequence
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
            search.objective.alpha_list,
            alphas.learning_rate,
            betas=alphas.betas,
            weight_decay=alphas.weight_decay,
            foreach=False,
        )
        self.clip = weights.clip

    def __call__(self) -> None:
        """Run a step with the next batches."""
        train = next(self.train_batches)
        self.step(train, None if self.level == "single" else next(iter(self.valid)))

    def step(self, train: Batch, valid: Batch | None) -> None:
        """Update α and w, in the order of the trial; at single level both from one pass."""
        if valid is not None and self.sequence != "weights-first":
            self._move_alphas(train, valid)
        self.sgd.zero_grad()
        if valid is None:
            self.adam.zero_grad()
        logits = self._backward(train)
        torch.nn.utils.clip_grad_norm_(self.w, self.clip or 1e9)
        self.sgd.step()
        if valid is None:
            self.adam.step()
        elif self.sequence == "weights-first":
            self._move_alphas(train, valid)
        (logits.argmax(1) == train[1].to(logits.device)).float().mean().item()

    def _move_alphas(self, train: Batch, valid: Batch) -> None:
        self.adam.zero_grad()
        if self.order == 2:
            self._unrolled(train, valid)
        else:
            if self.level == "mixed":
                self._backward(train)
            self._backward(valid)
        self.adam.step()

    def _backward(self, batch: Batch) -> Tensor:
        loss, logits = self._loss(self.search.supernet, batch)
        loss.backward()
        return logits

    def _loss(self, supernet: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        images, labels = (tensor.to(self.search.device) for tensor in batch)
        seeded = self.search.objective.seeded((images, labels))
        logits = supernet(images, self.search.objective.mixing(seeded))
        return F.cross_entropy(logits, labels), logits

    def _unrolled(self, train: Batch, valid: Batch) -> None:
        """Compute the gradients of α through one step of w, as ``Architect`` does.

        A copy of the model holds the moved w. (The authors' model is built and initialized again,
        which takes longer.)
        """
        supernet, alphas = self.search.supernet, self.search.objective.alpha_list
        group = self.sgd.param_groups[0]
        loss, _ = self._loss(supernet, train)
        found = torch.autograd.grad(loss, self.w)
        ahead = copy.deepcopy(supernet)
        with torch.no_grad():
            for moved, weight, gradient in zip(ahead.parameters(), self.w, found, strict=True):
                buffer = self.sgd.state[weight].get("momentum_buffer")
                direction = gradient + group["weight_decay"] * weight
                if buffer is not None:
                    direction = direction + group["momentum"] * buffer
                moved.copy_(weight - group["lr"] * direction)
        self._loss(ahead, valid)[0].backward()
        vector = [moved.grad for moved in ahead.parameters()]
        epsilon = 0.01 / torch.cat([each.flatten() for each in vector]).norm().item()
        sides = []
        for step in (epsilon, -2 * epsilon):
            self._move(vector, step)
            sides.append(torch.autograd.grad(self._loss(supernet, train)[0], alphas))
        self._move(vector, epsilon)
        for alpha, plus, minus in zip(alphas, *sides, strict=True):
            alpha.grad -= group["lr"] * (plus - minus) / (2 * epsilon)

    @torch.no_grad()
    def _move(self, along: list[Tensor], step: float) -> None:
        for weight, vector in zip(self.w, along, strict=True):
            weight.add_(vector, alpha=step)


def plain_retraining(retrain: Retrain) -> Callable[[Tensor, Tensor], None]:
    """Return a retraining step in NCHW, with SGD that is not fused, and not compiled.

    Args:
        retrain: A retraining run; its network is converted to NCHW.
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
