import json
import math

import pytest

from tune_nas.errors import StorageError
from tune_nas.report import TrialResult


def full_result() -> TrialResult:
    return TrialResult(
        trial_id="a1",
        phase="retrain",
        parameters={"update.lambda": math.inf, "relaxation.kind": "sigmoid", "betas": [0.5, 0.999]},
        seed=3,
        status="failed",
        reason="it broke",
        metrics={"train_loss": -math.inf, "epoch": 2},
        history=[{"train_loss": 2.5}, {"train_loss": -math.inf}],
        genotype="space: darts\n",
        error="ValueError: it broke",
        parent="a0",
    )


def test_strict_json_gives_the_same_result_back() -> None:
    text = json.dumps(full_result().to_dict(), allow_nan=False)
    assert json.loads(text)["parameters"]["update.lambda"] == "inf"
    assert TrialResult.from_dict(json.loads(text)) == full_result()


def test_a_result_of_an_earlier_version_is_read() -> None:
    content = full_result().to_dict()
    content["stage"] = content.pop("phase")
    assert TrialResult.from_dict(content) == full_result()


def test_nan_survives() -> None:
    result = TrialResult("a", "search", {}, 0, "finished", metrics={"loss": math.nan})
    again = TrialResult.from_dict(json.loads(json.dumps(result.to_dict(), allow_nan=False)))
    assert math.isnan(again.metrics["loss"])


def test_texts_that_read_like_numbers_stay_texts_outside_of_numbers() -> None:
    result = TrialResult("inf", "search", {}, 0, "failed", reason="nan", error="inf")
    again = TrialResult.from_dict(result.to_dict())
    assert (again.trial_id, again.reason, again.error) == ("inf", "nan", "inf")


@pytest.mark.parametrize(("key", "value"), [("phase", "training"), ("status", "done")])
def test_bad_words_are_named(key: str, value: str) -> None:
    content = {**full_result().to_dict(), key: value}
    with pytest.raises(StorageError, match=f"{key} is '{value}', but must be one of"):
        TrialResult.from_dict(content)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(StorageError, match="trial_id"):
        TrialResult.from_dict({"phase": "search"})
