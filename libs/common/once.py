"""What is told once, however often it is met, and what counts once."""

from collections.abc import Hashable
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT", bound=Hashable)


class Once(Generic[ItemT]):
    """The items that were met already, as far as memory for them is kept."""

    def __init__(self, most: int = 10_000) -> None:
        """Remember so many items at most; beyond, all are forgotten and may be told again."""
        self._most = most
        self._met: set[ItemT] = set()

    def is_first(self, item: ItemT) -> bool:
        """Tell whether an item is met for the first time, and remember it."""
        if item in self._met:
            return False
        if len(self._met) >= self._most:
            self._met.clear()
        self._met.add(item)
        return True


class Spent(Generic[ItemT]):
    """The newest items that were used up, and count no more whatever anybody says."""

    def __init__(self, most: int = 100_000) -> None:
        """Remember so many items at most: beyond, the oldest ones are forgotten."""
        self._most = most
        self._items: dict[ItemT, None] = {}

    def add(self, item: ItemT) -> None:
        """Remember an item."""
        self._items[item] = None
        if len(self._items) > self._most:
            del self._items[next(iter(self._items))]

    def __contains__(self, item: object) -> bool:
        """Tell whether an item was used up, as far as memory goes."""
        return item in self._items
