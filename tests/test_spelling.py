"""American spelling in the package: identifiers, messages, docstrings and comments."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tune_nas"
SUFFIXES = frozenset((".py", ".h", ".cpp", ".yaml"))

BRITISH = re.compile(
    r"[a-z]*(?:"
    r"(?:anal|catal|paral)ys(?:ed?|ing|er)\b"
    r"|(?:author|capital|categor|character|discret|final|general|initial|local|maxim|memor"
    r"|minim|modern|normal|optim|organ|parallel|penal|prior|quant|random|real|recogn|regular"
    r"|serial|special|stabil|standard|summar|synchron|token|util|vector|visual)is(?:e|ing|ation)"
    r"|(?:behavi|col|fav|flav|hon|lab|neighb)our"
    r"|(?:cent|fib|lit|met|spect)re(?:s|d)?\b|barycentre"
    r"|(?:cancel|label|model|signal|travel)l(?:ed|ing)"
    r"|artefact|catalogue|defence|dialogue|fulfil\b|grey|judgement|licence|programme\b"
    r")[a-z]*",
    re.IGNORECASE,
)

# What users have typed and what their files hold, each with its home.
KEPT = {
    ("normalisation", "config/relaxation_config.py"),  # edge_normalisation: a key's old spelling
    ("analyse", "cli/app.py"),  # a command's old spelling
    ("optimisers", "search/supernet_training.py"),  # a name in checkpoints
    ("optimisers", "search/so_far/branching.py"),  # the same
    ("discretisation", "operation_strength.py"),  # a key of its JSON
}


def british(text: str) -> list[str]:
    """Return the words in British spelling, in the order of the text."""
    return [found.group() for found in BRITISH.finditer(text)]


@pytest.mark.parametrize(
    "text",
    [
        "edge_normalisation",
        "Optimisers",
        "x_COLOURS",
        "analysed",
        "centre",
        "neighbours",
        "initialising",
        "discretised",
        "labelled",
        "behaviour",
        "recognised",
        "barycentre",
    ],
)
def test_british_words_are_found(text: str) -> None:
    assert british(text) != []


@pytest.mark.parametrize(
    "text",
    [
        "edge_normalization",
        "Optimizers",
        "color",
        "analysis",
        "analyses of edges",
        "center",
        "metric",
        "precision",
        "otherwise",
        "depthwise",
        "raised",
        "four",
        "promise",
        "laborious",
        "label",
        "meters",
        "revised",
        "noised",
    ],
)
def test_american_words_are_not(text: str) -> None:
    assert british(text) == []


def test_the_package_is_spelled_the_american_way() -> None:
    files = [path for path in sorted(PACKAGE.rglob("*")) if path.suffix in SUFFIXES]
    assert len(files) > 200
    found = {
        (word, path.relative_to(PACKAGE).as_posix())
        for path in files
        for word in (*british(path.stem), *british(path.read_text(encoding="utf-8")))
    }
    assert found - KEPT == set()
    assert KEPT - found == set(), "these exceptions are not needed any more"
