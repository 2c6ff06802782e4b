"""docs/python.md and the notebook of examples/ run as they are written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "search.ipynb"

# What the page says of its blocks, checked after they have run.
CHECKS = """
import json
from pathlib import Path
print(json.dumps({
    "done": search.done, "epochs": len(search.history),
    "svg": Path("cells.svg").read_bytes()[:5].decode(),
    "trials": len(frame), "values": sorted(map(str, frame["update.lambda"].unique())),
    "curves": len(curves), "table": list(finished.columns[:4]),
}))
"""


@pytest.mark.sweep
def test_the_blocks_of_the_page_run_in_order(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 5
    code = "\n".join([*blocks, CHECKS])
    script = tmp_path / "page.py"
    script.write_text(code, encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "RAY_AD"))}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        **{"done": True, "epochs": 3, "svg": "<?xml"},
        **{"trials": 4, "values": ["0.0", "1.0"], "curves": 8},
        "table": ["trial_id", "phase", "seed", "status"],
    }


def test_the_notebook_runs(tmp_path: Path) -> None:
    shutil.copy(NOTEBOOK, tmp_path)
    notebook = nbformat.read(tmp_path / NOTEBOOK.name, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") for cell in notebook.cells)  # none in the repository
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    printed = "".join(output.get("text", "") for output in outputs)
    assert "epoch 5" in printed
    images = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(images) == 2
