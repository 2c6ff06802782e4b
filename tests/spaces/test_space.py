"""Spaces: what the shipped files say, a user's own, and one line for each mistake."""

import copy
from pathlib import Path

import pytest
import torch
import yaml

from tune_nas.errors import ConfigError
from tune_nas.spaces import Edge, Space, load_space


def test_darts_is_as_published():
    space = load_space("darts")
    assert list(space.cells) == ["normal", "reduction"]
    for cell in space.cells.values():
        assert cell.n_inputs == 2 and cell.nodes == (2, 3, 4, 5)
        assert " ".join(str(edge) for edge in cell.edges) == (
            "0->2 1->2 0->3 1->3 2->3 0->4 1->4 2->4 3->4 0->5 1->5 2->5 3->5 4->5"
        )
        assert set(cell.operations) == {
            (
                "none",
                "max_pool_3x3",
                "avg_pool_3x3",
                "skip_connect",
                "sep_conv_3x3",
                "sep_conv_5x5",
                "dil_conv_3x3",
                "dil_conv_5x5",
            )
        }
        assert (cell.output, cell.inputs_per_node, cell.excluded) == ("concat", 2, ("none",))
    skeleton = space.skeleton
    assert (skeleton.init_channels, skeleton.cells, skeleton.stem_multiplier) == (16, 8, 3)
    assert load_space("darts").final_size == (36, 20)


def test_nasbench201_is_as_published():
    space = load_space("nasbench201")
    cell = space.cells["normal"]
    assert " ".join(str(edge) for edge in cell.edges) == "0->1 0->2 1->2 0->3 1->3 2->3"
    assert cell.n_operations ** len(cell.edges) == 15_625
    assert (cell.output, cell.inputs_per_node, cell.excluded) == ("last", None, ())
    assert (space.skeleton.init_channels, space.skeleton.cells) == (16, 5)
    assert space.final_size == (16, 5)


def test_every_space_is_consistent(space):
    for cell in space.cells.values():
        assert list(cell.edges) == sorted(cell.edges, key=lambda e: (e.target, e.source))
        mask = cell.mask()
        assert mask.dtype == torch.bool and mask.shape == (len(cell.edges), cell.n_operations)
        assert mask.sum(1).tolist() == [len(names) for names in cell.operations]
        rows = [row for node in cell.nodes for row in cell.incoming(node)]
        assert rows == list(range(len(cell.edges)))


def test_to_dict_describes_the_same_space(space):
    text = yaml.safe_dump(space.to_dict())
    again = Space.from_dict(yaml.safe_load(text))
    assert again == space


def test_a_users_own_file(own_yaml):
    space = load_space(own_yaml)
    normal = space.cells["normal"]
    assert space.name == "own-thirds"
    assert normal.edges == (Edge(0, 2), Edge(1, 2), Edge(1, 3), Edge(2, 3))
    assert normal.operations[0] == ("skip_connect", "sep_conv_3x3", "none")
    assert normal.mask().tolist()[3] == [True, False, False]
    assert [normal.kept_inputs(node) for node in normal.nodes] == [1, 1]


def test_a_file_without_a_name_is_named_as_the_file(own_yaml):
    content = yaml.safe_load(own_yaml.read_text())
    del content["name"]
    own_yaml.write_text(yaml.safe_dump(content))
    assert load_space(str(own_yaml)).name == "own"


def change(path: str, value: object):
    """Return a function that sets a dotted key of a description; None as value deletes it."""

    def apply(content: dict) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            content = content[parent]
        if value is None:
            del content[last]
        else:
            content[last] = value

    return apply


NORMAL = "cells.normal."
MISTAKES = {
    "unknown operation": (
        change(NORMAL + "operations", ["sep_conv3x3"]),
        "cells.normal: unknown operation 'sep_conv3x3'; did you mean 'sep_conv_3x3'?",
    ),
    "unknown excluded operation": (
        change(NORMAL + "excluded", ["non"]),
        "unknown operation 'non'; did you mean 'none'?",
    ),
    "operation twice": (
        change(NORMAL + "operations", ["none", "none"]),
        "operation named twice in [none, none]",
    ),
    "nothing left": (
        change(NORMAL + "operations", ["none"]),
        "all of [none] are excluded, so nothing is left",
    ),
    "nothing but none": (
        lambda content: (
            change(NORMAL + "excluded", [])(content),
            change(NORMAL + "operations", ["none"])(content),
        ),
        "all operations are 'none', so that nothing reaches the output",
    ),
    "operations no list": (change(NORMAL + "operations", "none"), "must be a list, not 'none'"),
    "unknown node": (
        change(NORMAL + "edges", ["0->2", "1->2", "1->9"]),
        "edge '1->9': there is no node 9, the last one is 3",
    ),
    "edge to an input": (
        change(NORMAL + "edges", ["0->1", "1->2", "1->3"]),
        "edge '0->1': node 1 is an input",
    ),
    "edge backwards": (
        change(NORMAL + "edges", ["0->2", "1->3", "3->2"]),
        "edge '3->2': an edge must lead to a later node",
    ),
    "edge misspelt": (
        change(NORMAL + "edges", ["0-2"]),
        "edge '0-2' must be written SOURCE->TARGET, as 0->2",
    ),
    "edge twice": (
        change(NORMAL + "edges", ["0->2", "0->2", "1->3"]),
        "an edge is named twice",
    ),
    "edges no list": (change(NORMAL + "edges", "some"), "must be a list, not 'some'"),
    "lonely node": (change(NORMAL + "edges", ["0->2", "1->2"]), "no edge leads to node 3"),
    "operations of an edge missing": (
        change(NORMAL + "operations", {"0->2": ["skip_connect"]}),
        "operations of edge '1->2' are missing",
    ),
    "operations of no edge": (
        change(NORMAL + "edges", ["0->2", "1->2", "1->3"]),
        "operations are given for '2->3', no edge",
    ),
    "unknown key": (
        change(NORMAL + "inputs_per_nod", 1),
        "unknown key 'cells.normal.inputs_per_nod'; did you mean 'cells.normal.inputs_per_node'?",
    ),
    "missing key": (change(NORMAL + "output", None), "cells.normal.output"),
    "bad value": (change(NORMAL + "inputs", 3), "cells.normal.inputs is 3"),
    "too many nodes": (
        change(NORMAL + "nodes", 10**9),
        "cells.normal.nodes is 1000000000, but must be <= 100",
    ),
    "bad layout": (change("skeleton.layout", "halves"), "skeleton.layout is 'halves'"),
    "missing cell": (
        change("cells.reduction", None),
        "layout 'thirds' has the cells normal, reduction, but cells has normal",
    ),
    "layout of one cell": (
        change("skeleton.layout", "stages"),
        "layout 'stages' has the cells normal, but cells has normal, reduction",
    ),
    "different inputs": (
        change("cells.reduction.inputs", 1),
        "all cells must have the same number of inputs",
    ),
}


@pytest.mark.parametrize(("mistake", "complaint"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_in_one_line(own_yaml, mistake, complaint):
    content = yaml.safe_load(own_yaml.read_text())
    broken = copy.deepcopy(content)
    mistake(broken)
    own_yaml.write_text(yaml.safe_dump(broken))
    with pytest.raises(ConfigError) as error:
        load_space(own_yaml)
    message = str(error.value)
    assert complaint in message
    assert message.startswith(f"space '{own_yaml}': ") and "\n" not in message


def test_stages_need_a_cell_that_keeps_its_channels(own_yaml):
    content = yaml.safe_load(own_yaml.read_text())
    del content["cells"]["reduction"]
    content["skeleton"]["layout"] = "stages"
    with pytest.raises(ConfigError, match="needs cells with inputs: 1 and output: last"):
        Space.from_dict(content)
    content["cells"]["normal"] = {
        "inputs": 1,
        "nodes": 1,
        "operations": ["skip_connect"],
        "output": "last",
    }
    with pytest.raises(ConfigError, match=r"needs skeleton\.stem_multiplier: 1"):
        Space.from_dict(content)


def test_an_unknown_space_names_the_nearest_and_all():
    with pytest.raises(ConfigError, match="'dart' is neither a file nor a shipped space; did you"):
        load_space("dart")


def test_the_documented_space_is_valid():
    page = Path(__file__).parents[2] / "docs" / "spaces.md"
    block = page.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    space = Space.from_dict(yaml.safe_load(block))
    assert space.name == "shallow" and space.cells["normal"].n_operations == 4
