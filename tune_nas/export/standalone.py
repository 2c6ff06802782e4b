"""The format ``standalone``: one Python file that needs torch alone, and a file of weights.

The Python file is the source of `plain_network`, without the parts that the network does not use,
followed by the architecture and a function that reads the weights.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from tune_nas.errors import ExportError
from tune_nas.export import plain_network
from tune_nas.export.architecture import operations_in
from tune_nas.export.export_format import Exportable, ExportFormat, Run
from tune_nas.export.plain_network import Architecture, Block
from tune_nas.export.safetensors_file import SafetensorsFile

_WIDTH = 100
_LOAD = '''
def load(weights: str | pathlib.Path = WEIGHTS) -> nn.Module:
    """Return the trained network in evaluation mode; `weights` is a safetensors file."""
    types = {"F32": torch.float32, "I64": torch.int64}
    content = bytearray(pathlib.Path(weights).read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    state = {}
    for name, entry in json.loads(content[8:start]).items():
        if name != "__metadata__":
            first, last = (start + offset for offset in entry["data_offsets"])
            values = torch.frombuffer(content[first:last], dtype=types[entry["dtype"]])
            state[name] = values.reshape(entry["shape"])
    network = PlainNetwork(ARCHITECTURE, normalizes=%s)
    network.load_state_dict(state)
    return network.eval()
'''


class Standalone(ExportFormat):
    """A Python file of at most 250 lines for a network of 20 cells, and a safetensors file."""

    suffix = ".py"
    packages = ("safetensors",)

    def write(self, network: Exportable, path: Path) -> None:
        """Write both files.

        Raises:
            ExportError: If the genotype has custom operations, whose code is elsewhere.
        """
        if network.own_operations:
            raise ExportError(
                f"the genotype has custom operations ({', '.join(network.own_operations)}), whose "
                "code a standalone file does not contain; use another format"
            )
        SafetensorsFile().write(network, self._weights(path))
        path.write_text(source_of(network, self._weights(path).name), encoding="utf-8")

    def read(self, path: Path, network: Exportable) -> Run:
        """Return a function that runs the written file with its weights."""
        spec = importlib.util.spec_from_file_location("standalone_network", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        loaded = module.load()

        def run(images: Tensor) -> Tensor:
            logits: Tensor = loaded(images)
            return logits

        return run

    def extra_files(self, path: Path) -> tuple[Path, ...]:
        """Return the path of the weights."""
        return (self._weights(path),)

    @staticmethod
    def _weights(path: Path) -> Path:
        return path.with_suffix(SafetensorsFile.suffix)


def source_of(network: Exportable, weights: str) -> str:
    """Return the source of the Python file of a network.

    Args:
        network: The network.
        weights: Name of the file of weights, in the same folder.
    """
    data, architecture = network.trained.data, network.trained.architecture
    lines = [
        _docstring(network),
        "from __future__ import annotations\n",
        "import json\nimport pathlib",
        *_parts(architecture),
        *_architecture(architecture),
        _packed("CLASSES = (", data.classes),
        f"MEAN = {data.mean!r}",
        f"STD = {data.std!r}",
        f"WEIGHTS = pathlib.Path(__file__).with_name({weights!r})\n",
        _LOAD % network.normalizes,
    ]
    return "\n".join(lines)


def _docstring(network: Exportable) -> str:
    range_ = "in [0, 1]" if network.normalizes else "(image in [0, 1] - MEAN) / STD"
    shape = ", ".join(map(str, network.image_shape))
    accuracy = network.trained.metrics.get("test_accuracy")
    tested = "" if accuracy is None else f" Test accuracy: {accuracy:.4f}."
    return (
        '"""A trained network; it needs torch alone: `load()(images)` returns the logits.\n\n'
        f'images: (n, {shape}), float32, {range_}.{tested}\n"""\n'
    )


def _parts(architecture: Architecture) -> Iterator[str]:
    """Yield the parts of `plain_network`, without its docstring and unused operations."""
    source = inspect.getsource(plain_network)
    lines = source.splitlines()
    operations = operations_in(architecture)
    for node in ast.parse(source).body[2:]:
        text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        if isinstance(node, ast.AnnAssign):
            text = "\n".join(line for line in text.splitlines() if _is_used(line, operations))
        yield f"\n\n{text}" if isinstance(node, ast.ClassDef | ast.FunctionDef) else text


def _is_used(line: str, operations: set[str]) -> bool:
    """Return whether a line of the table of operations is needed."""
    name = line.strip().partition(":")[0]
    return not name.startswith('"') or name.strip('"') in operations


def _architecture(architecture: Architecture) -> Iterator[str]:
    cells = "".join(f'    "{name}": {cell!r},\n' for name, cell in architecture.cells.items())
    yield f"\n\nCELLS = {{\n{cells}}}"
    yield _packed("BLOCKS = (", [_numbers(block) for block in architecture.blocks])
    sizes = ", ".join(repr(value) for value in architecture[:6])
    yield f"ARCHITECTURE = Architecture({sizes}, CELLS, tuple(Block(*block) for block in BLOCKS))"


def _numbers(block: Block) -> tuple[object, ...]:
    """Return the fields of a block, with 0 and 1 for truth values."""
    inputs = tuple((channels, int(larger)) for channels, larger in block.inputs)
    odd = (1,) if block.odd else ()
    return block.cell, block.channels, int(block.reduction), inputs, *odd


def _packed(start: str, values: Sequence[object]) -> str:
    """Return an assignment of a tuple with as many values in a line as fit."""
    # a value is never broken at its own spaces
    text = ", ".join(repr(value).replace(" ", "\0") for value in values) + ","
    wrapped = textwrap.wrap(text, _WIDTH - 4, break_long_words=False, break_on_hyphens=False)
    return "\n".join([start, *(f"    {line}" for line in wrapped), ")"]).replace("\0", " ")
