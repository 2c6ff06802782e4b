"""The first epochs that jobs have in common, and the fewest epochs in which all of them run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class CommonEpochs(Generic[Item]):
    """How many first epochs each two of some items, e.g. jobs, have in common.

    "The same up to epoch e" is an equivalence for each e: of the three numbers of three items, the
    two smallest are equal. So the items form a tree, and one that takes over the epochs of the
    earlier item with which it has most in common runs no epoch that any other has run. Items with
    at least one common epoch are a family.

    Args:
        items: The items by id, in the order in which they run.
        same: Returns the number of first epochs that two items have in common.
        sort: Returns a text that is equal for items with a common epoch; items with different texts
            are not compared.
    """

    def __init__(
        self,
        items: Iterable[tuple[str, Item]],
        same: Callable[[Item, Item], int],
        sort: Callable[[Item], str] = lambda item: "",
    ) -> None:
        self._same = same
        self._items = dict(items)
        self._families: dict[str, list[list[str]]] = {}
        self._family: dict[str, list[str]] = {}
        self._with_first: dict[str, int] = {}
        self._known: dict[tuple[str, str], int] = {}
        for name, item in self._items.items():
            self._place(name, self._families.setdefault(sort(item), []))

    def relatives(self, name: str) -> list[str]:
        """Return the ids of the other items of a family, in the order in which they run."""
        return [other for other in self._family.get(name, ()) if other != name]

    def of(self, first: str, second: str) -> int:
        """Return the number of first epochs that two different items have in common."""
        family = self._family.get(first)
        if family is None or family is not self._family.get(second):
            return 0
        if first == family[0] or second == family[0]:
            return self._with_first[second if first == family[0] else first]
        one, other = self._with_first[first], self._with_first[second]
        if one != other:
            return min(one, other)
        pair = (min(first, second), max(first, second))
        if pair not in self._known:
            self._known[pair] = self._same(self._items[first], self._items[second])
        return self._known[pair]

    def taken_over(self) -> dict[str, int]:
        """Return the number of epochs of each item that items before it run."""
        taken: dict[str, int] = {}
        for name in self._items:
            earlier = [other for other in self._family[name] if other in taken]
            taken[name] = max((self.of(other, name) for other in earlier), default=0)
        return taken

    def _place(self, name: str, families: list[list[str]]) -> None:
        """Add an item to its family, which is new if no other item has an epoch in common."""
        for family in families:
            common = self._same(self._items[family[0]], self._items[name])
            if common > 0:
                self._with_first[name] = common
                family.append(name)
                self._family[name] = family
                return
        self._family[name] = [name]
        families.append(self._family[name])
