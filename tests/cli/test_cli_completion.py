"""What a shell completes: the names that exist, without starting any heavy library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def completed(folder: Path, *words: str) -> list[str]:
    """Return what bash would offer for the last of the words."""
    code = "import sys; sys.argv[0] = 'tune-nas'; from tune_nas.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "_TUNE_NAS_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(["tune-nas", *words]),
            "COMP_CWORD": str(len(words)),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["swe"], ["sweep"]),
        (["search", "darts-p"], ["darts-plus", "darts-plus-ranking", "darts-pt"]),
        (["sweep", "lam"], ["lambda", "lambda-activation-rate", "lambda-truth"]),
        (["search", "gdas", "--space", "nas"], ["nasbench201"]),
        (["search", "gdas", "--data", "cifar"], ["cifar10", "cifar100"]),
        (["show", "s1"], ["s1"]),
        (["report", "mi"], ["mine"]),
        (["resume", "m"], ["mine"]),
        (["inspect", "mi"], ["mine"]),
        (["select", "mi"], ["mine"]),
        (["analyze", "mine", "grad"], ["gradient-correlation", "gradient-bias"]),
    ],
)
def test_names(tmp_path: Path, words: list[str], expected: list[str]) -> None:
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    (run / "sweep.yaml").write_text("name: mine\n", encoding="utf-8")
    assert completed(tmp_path, *words) == expected


def test_runs_of_a_remote_storage_are_not_asked_for(tmp_path: Path) -> None:
    assert completed(tmp_path, "report", "--storage", "s3://bucket/nas", "mi") == []
