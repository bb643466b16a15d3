"""State tables: a mapping whose every edge has a sentence, and all of which begins somewhere."""

from enum import Enum

import pytest

from libs.common.states import EventT, StateT, StateTable
from services.registry.domain.status import (
    POOLER_TRANSITIONS,
    TRANSITIONS,
    FarmerStatus,
    PoolerStage,
)
from services.wallet.chain import EndpointState
from services.wallet.chain.node.health import ENDPOINT_EDGES
from services.wallet.domain.model import OperationState, TransactionState
from services.wallet.domain.states import OPERATION_EDGES, TRANSACTION_EDGES

TABLES = [
    (OPERATION_EDGES, set(OperationState)),
    (TRANSACTION_EDGES, set(TransactionState)),
    (ENDPOINT_EDGES, set(EndpointState)),
    (TRANSITIONS, set(FarmerStatus)),
    (POOLER_TRANSITIONS, set(PoolerStage)),
]


class Light(Enum):
    """States."""

    RED = "red"
    GREEN = "green"


class Press(Enum):
    """Events."""

    ONCE = "once"
    LONG = "long"


def reached(table: StateTable[StateT, EventT]) -> set[StateT]:
    """What can be reached from where it begins."""
    found = {table.initial}
    while more := {end for (start, _), end in table.items() if start in found} - found:
        found |= more
    return found


def test_a_table_is_a_mapping_that_refuses_what_is_not_in_it() -> None:
    table = StateTable(
        initial=Light.RED, edges={(Light.RED, Press.ONCE): (Light.GREEN, "Cars may go.")}
    )
    assert dict(table) == {(Light.RED, Press.ONCE): Light.GREEN}
    assert table.reason(Light.RED, Press.ONCE) == "Cars may go."
    assert table.get((Light.GREEN, Press.LONG)) is None
    with pytest.raises(KeyError):
        table[Light.GREEN, Press.LONG]


@pytest.mark.parametrize(("table", "states"), TABLES)
def test_every_state_is_reached_from_the_first_one(
    table: StateTable[Enum, Enum], states: set[Enum]
) -> None:
    assert reached(table) == states


@pytest.mark.parametrize("table", [table for table, _ in TABLES])
def test_every_edge_has_a_sentence_that_fits_into_a_table(table: StateTable[Enum, Enum]) -> None:
    for state, event in table:
        sentence = table.reason(state, event)
        assert sentence[0].isalpha(), (state, event)
        assert sentence.endswith("."), (state, event)
        assert "|" not in sentence
        assert "\n" not in sentence
