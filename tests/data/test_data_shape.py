"""How often describing the images of trials opens a data set."""

from __future__ import annotations

import pytest

from tune_nas.config import AugmentConfig, DataConfig
from tune_nas.data import DataShape, data_shape, describe_data, described_once
from tune_nas.data.opening import open_part
from tune_nas.errors import DataError
from tune_nas.search.effective import EffectiveValues

CONFIG = DataConfig(name="fake", train_images=32, resolution=8)
CUT = CONFIG.model_copy(update={"augment": AugmentConfig(cutout=2)})
SMALLER = CONFIG.model_copy(update={"resolution": 4})


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[DataConfig]:
    """The data sections that were opened, in this order."""
    configs: list[DataConfig] = []

    def noted(config: DataConfig, part: str) -> object:
        configs.append(config)
        return open_part(config, part)

    monkeypatch.setattr(data_shape, "open_part", noted)
    return configs


def test_each_data_set_is_opened_once_within_the_block(opened: list[DataConfig]) -> None:
    with described_once():
        first = describe_data(CONFIG)
        with described_once():
            assert (
                describe_data(CONFIG.model_copy()) == first == DataShape(4, 3, 8, 32, mirrors=False)
            )
        assert describe_data(CUT).n_train == 32
        assert EffectiveValues(["data.resolution"]).shape(CONFIG) == first
        assert describe_data(SMALLER).image_size == 4
        assert describe_data(CONFIG) == first
    assert opened == [CONFIG, SMALLER]


def test_it_is_opened_again_after_the_block(opened: list[DataConfig]) -> None:
    describe_data(CONFIG)
    with described_once():
        describe_data(CONFIG)
    with pytest.raises(KeyError), described_once():
        describe_data(CONFIG)
        raise KeyError
    describe_data(CONFIG)
    assert opened == [CONFIG] * 4


def test_an_error_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(config: DataConfig, part: str) -> object:
        raise DataError("damaged")

    with described_once():
        with monkeypatch.context() as patch:
            patch.setattr(data_shape, "open_part", fail)
            with pytest.raises(DataError, match="damaged"):
                describe_data(CONFIG)
        assert describe_data(CONFIG).n_train == 32
