"""Names that MLflow accepts, checked by MLflow's own rule."""

from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_param_name

from tune_nas.tracking.names import legal_name, legal_names


@given(st.text(min_size=1, max_size=300))
@example("..")
@example("../a")
@example("a/../../b")
@example("/")
@example("a//b/./c/")
@example("x" * 249 + "/y")
def test_any_key_becomes_a_name_that_mlflow_accepts(key: str) -> None:
    _validate_metric_name(legal_name(key))
    _validate_param_name(legal_name(key))


def test_what_is_legal_stays_and_what_is_not_can_be_recognized() -> None:
    legal = ["valid_accuracy", "benchmark/cifar10_test", "set.update.lambda", "a b: c"]
    assert [legal_name(key) for key in legal] == legal
    assert legal_name("acc@5") == "acc_5"
    assert legal_name("set_in./data/own.yaml.x") == "set_in./data/own.yaml.x"


def test_keys_that_would_have_one_name_stay_apart() -> None:
    keys = ["acc@5", "acc#5", "acc_5", "x" * 300, "x" * 301]
    names = legal_names(keys)
    assert list(names) == keys
    assert len(set(names.values())) == len(keys)
    assert names["acc@5"] == "acc_5"
    assert all(len(name) <= 250 for name in names.values())
