"""Tests that every data set must pass: images of one shape, in the requested order, and labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, get_args

import torch

from tune_nas.config import DataConfig
from tune_nas.data import load_data
from tune_nas.data.dataset_registry import Part, Source, dataset_description
from tune_nas.data.opening import open_part

_FEW = 8


class DataSetContract:
    """The tests of a data set.

    Attributes:
        name: ``data.name``.
        settings: Further keys of the section ``data``, e.g. ``dir``.
    """

    name: ClassVar[str]
    settings: ClassVar[Mapping[str, object]] = {}

    def config(self) -> DataConfig:
        """Return the section ``data`` of the tests."""
        return DataConfig.model_validate({"name": self.name, **self.settings})

    def open_part(self, part: Part) -> Source:
        """Open the train or the test part."""
        return open_part(self.config(), part)

    def test_labels_are_classes(self) -> None:
        """Labels are int64, (n,), from 0 to ``n_classes`` - 1; the training part has them all."""
        for part in get_args(Part):
            source = self.open_part(part)
            assert source.labels.dtype == torch.int64 and source.labels.dim() == 1
            assert len(source.labels) > 0, f"the {part} part has no image"
            assert 0 <= int(source.labels.min()) <= int(source.labels.max()) < source.n_classes
            assert len(source.classes) in (0, source.n_classes)
        train = self.open_part("train")
        assert len(set(train.labels.tolist())) == train.n_classes

    def test_both_parts_have_the_same_classes(self) -> None:
        """The test part has the classes of the training part, under the same numbers."""
        train, test = self.open_part("train"), self.open_part("test")
        assert (train.n_classes, train.classes) == (test.n_classes, test.classes)

    def test_images_come_in_the_order_that_is_asked_for(self) -> None:
        """``read`` returns uint8, (m, channels, height, width), on the CPU, in requested order."""
        for part in get_args(Part):
            source = self.open_part(part)
            indices = torch.arange(min(_FEW, len(source.labels)))
            images = source.read(indices)
            assert (images.dtype, images.device.type) == (torch.uint8, "cpu")
            assert images.dim() == 4 and len(images) == len(indices)
            assert images.shape[1] in (1, 3), f"{images.shape[1]} channels"
            assert torch.equal(source.read(indices.flip(0)), images.flip(0))
            assert torch.equal(source.read(indices[2:3]), images[2:3])

    def test_opening_it_again_gives_the_same(self) -> None:
        """Labels and images are the same in every run."""
        for part in get_args(Part):
            first, second = self.open_part(part), self.open_part(part)
            assert torch.equal(first.labels, second.labels)
            last = torch.tensor([len(first.labels) - 1])
            assert torch.equal(first.read(last), second.read(last))

    def test_a_search_and_a_retraining_run_can_load_it(self) -> None:
        """It is loaded with the section's settings, normalized and finite."""
        for for_search in (True, False):
            data = load_data(
                self.config(), seed=0, device=torch.device("cpu"), for_search=for_search
            )
            assert data.n_classes == self.open_part("train").n_classes

    def test_it_is_described_in_one_line(self) -> None:
        """`tune-nas list data` shows the first line of the function's docstring."""
        assert dataset_description(self.name).strip()
