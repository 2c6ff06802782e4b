"""Genotypes as other programs print them, written here in their formats."""

from collections.abc import Callable

from tune_nas.spaces import Genotype

Edges = list[tuple[int, int, str]]


def edges_of(genotype: Genotype, cell: str) -> Edges:
    return [(edge.source, edge.target, edge.operation) for edge in genotype.cells[cell].edges]


def by_node(edges: Edges) -> dict[int, Edges]:
    return {
        target: [e for e in edges if e[1] == target] for target in sorted({e[1] for e in edges})
    }


def as_darts(genotype: Genotype, entry: Callable[[int, int, str], str] | None = None) -> str:
    """The pairs of each node in one list, as quark0/darts has them; sources in falling order."""
    entry = entry or (lambda source, target, operation: f"({operation!r}, {source})")
    fields = []
    for field, cell in (("normal", "normal"), ("reduce", "reduction")):
        edges = edges_of(genotype, cell)
        listed = [entry(*edge) for node in by_node(edges).values() for edge in reversed(node)]
        fields.append(
            f"{field}=[{', '.join(listed)}], {field}_concat=range(2, {2 + len(by_node(edges))})"
        )
    return f"Genotype({', '.join(fields)})"


def with_numpy(genotype: Genotype) -> str:
    """What NumPy 2 prints where the indices and names come from its arrays."""
    text = as_darts(genotype, lambda s, t, o: f"(np.str_({o!r}), np.int64({s}))")
    return text.replace("range(2, 6)", "[np.int64(2), np.int64(3), np.int64(4), np.int64(5)]")


def as_fairdarts(genotype: Genotype) -> str:
    return as_darts(genotype, lambda s, t, o: f"({o!r}, {t}, {s})")


def as_gdas(genotype: Genotype, *, weights: bool) -> str:
    """The dictionary that GDAS's supernet returns, with the weight of each edge or without."""
    fields = {}
    for field, cell in (("normal", "normal"), ("reduce", "reduction")):
        nodes = by_node(edges_of(genotype, cell))
        fields[field] = [
            tuple((o, s, 0.125 + s / 8) if weights else (o, s) for s, _, o in node)
            for node in nodes.values()
        ]
        fields[f"{field}_concat"] = list(nodes)
    return repr(fields)


def as_named_gdas(genotype: Genotype) -> str:
    """The same as a file of the authors has it, over several lines and with two fields more."""
    lines = ["Genotype("]
    for field, cell in (("normal", "normal"), ("reduce", "reduction")):
        nodes = by_node(edges_of(genotype, cell))
        lines.append(f"  {field}=[")
        for step, node in enumerate(nodes.values(), start=1):
            pairs = ", ".join(f"('{o}', {s})" for s, _, o in node)
            lines.append(f"    ({pairs},), # step {step}")
        lines += ["  ],", f"  {field}_concat={list(nodes)},"]
    return "\n".join([*lines, "  connectN=None, connects=None,", ")"])


NASLIB = {
    "skip_connect": "Identity",
    "none": "Zero",
    "nor_conv_3x3": "ReLUConvBN3x3",
    "nor_conv_1x1": "ReLUConvBN1x1",
    "avg_pool_3x3": "AvgPool1x1",
}


def with_naslib_names(cell: str) -> str:
    for ours, theirs in NASLIB.items():
        cell = cell.replace(ours, theirs)
    return cell
