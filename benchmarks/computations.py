"""How many genotypes of the shipped spaces compute different functions.

Prints the number of genotypes of each space, and for a small one the number of different
computations (`tune_nas.spaces.computation`) and the largest group of genotypes with the same.
NAS-Bench-201's own way to tell cells apart is printed for comparison: the strings of
``to_unique_str`` in D-X-Y/AutoDL-Projects (Dong and Yang, arXiv:2001.00326), reimplemented.

    python benchmarks/computations.py
"""

from __future__ import annotations

from collections import Counter

from tune_nas.shipped import shipped_names
from tune_nas.spaces import Genotype, load_space
from tune_nas.spaces.architectures import Architectures

SMALL = 100_000  # genotypes that are all compared


def unique_string(genotype: Genotype) -> str:
    """Return the string by which NAS-Bench-201 tells its cells apart."""
    nodes = {0: "0"}
    terms: dict[int, list[str]] = {1: [], 2: [], 3: []}
    for edge in genotype.cells["normal"].edges:
        if edge.source not in nodes:
            nodes[edge.source] = "+".join(sorted(terms[edge.source]))
        source = nodes[edge.source]
        if edge.operation == "none" or source == "#":
            terms[edge.target].append("#")
        elif edge.operation == "skip_connect":
            terms[edge.target].append(source)
        else:
            terms[edge.target].append(f"({source})@{edge.operation}")
    return "+".join(sorted(terms[3]))


def main() -> None:
    """Print all counts."""
    for name in shipped_names("space"):
        architectures = Architectures(load_space(name))
        line = f"{name}: {architectures.size:,} genotypes"
        if architectures.size <= SMALL:
            counts = Counter(map(architectures.key, architectures.enumerate()))
            line += f", {len(counts):,} computations, of one of them {max(counts.values()):,}"
        print(line)
    architectures = Architectures(load_space("nasbench201"))
    pairs = {(unique_string(each), architectures.key(each)) for each in architectures.enumerate()}
    strings = Counter(string for string, _ in pairs)
    keys = Counter(key for _, key in pairs)
    print(
        f"nasbench201: {len(strings):,} strings of its authors; "
        f"{sum(n > 1 for n in keys.values()):,} computations have several strings, "
        f"{sum(n > 1 for n in strings.values()):,} strings are of several computations"
    )


if __name__ == "__main__":
    main()
