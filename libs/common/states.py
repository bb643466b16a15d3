"""State machines as tables: a step that is not in a table cannot happen.

Each edge has its reason.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

StateT = TypeVar("StateT", bound=Enum)
EventT = TypeVar("EventT", bound=Enum)


@dataclass(frozen=True, kw_only=True)
class StateTable(Mapping[tuple[StateT, EventT], StateT], Generic[StateT, EventT]):
    """A mapping {(state, event): the state that follows}; docs/states.md is made from it."""

    #: The first state.
    initial: StateT
    #: The state that follows, and a sentence that says when this happens.
    edges: Mapping[tuple[StateT, EventT], tuple[StateT, str]]

    def __getitem__(self, key: tuple[StateT, EventT]) -> StateT:
        """Return the state that follows.

        Raise KeyError when the event cannot happen in this state.
        """
        return self.edges[key][0]

    def __iter__(self) -> Iterator[tuple[StateT, EventT]]:
        """Go through the pairs of state and event, in the order of the table."""
        return iter(self.edges)

    def __len__(self) -> int:
        """Count the edges."""
        return len(self.edges)

    def reason(self, state: StateT, event: EventT) -> str:
        """Return the sentence of an edge."""
        return self.edges[state, event][1]
