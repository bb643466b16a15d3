"""The state machines: every pair of state and event."""

from itertools import product

import pytest

from services.wallet.domain.model import (
    KeyEnum,
    OperationEvent,
    OperationKind,
    OperationState,
    TransactionEvent,
    TransactionState,
)
from services.wallet.domain.states import (
    OPERATION_EDGES,
    TRANSACTION_EDGES,
    sources,
    target,
)

S, E = OperationState, OperationEvent
T, V = TransactionState, TransactionEvent

#: Written out again, so that an edge cannot be added or lost by accident.
OPERATIONS = {
    E.SIGN: ({S.QUEUED}, S.SIGNED),
    E.SEND: ({S.SIGNED}, S.SENT),
    E.SUCCEED: ({S.QUEUED, S.SIGNED, S.SENT}, S.SUCCEEDED),
    E.FAIL: ({S.QUEUED, S.SIGNED, S.SENT}, S.FAILED),
    E.EXPIRE: ({S.QUEUED, S.SIGNED, S.SENT}, S.EXPIRED),
    E.RETRY: ({S.QUEUED, S.SIGNED, S.SENT}, S.QUEUED),
    E.CORRECT: ({S.FAILED, S.EXPIRED}, S.SUCCEEDED),
    E.DENY: ({S.SUCCEEDED}, S.FAILED),
}
TRANSACTIONS = {
    V.SEND: ({T.SIGNED}, T.SENT),
    V.SUCCEED: ({T.SIGNED, T.SENT}, T.SUCCEEDED),
    V.FAIL: ({T.SIGNED, T.SENT}, T.FAILED),
    V.EXCLUDE: ({T.SIGNED, T.SENT}, T.EXCLUDED),
}


@pytest.mark.parametrize(("state", "event"), list(product(S, E)))
def test_operation_edges(state: OperationState, event: OperationEvent) -> None:
    possible, following = OPERATIONS[event]
    expected = following if state in possible else None
    assert OPERATION_EDGES.get((state, event)) is expected


@pytest.mark.parametrize(("state", "event"), list(product(T, V)))
def test_transaction_edges(state: TransactionState, event: TransactionEvent) -> None:
    possible, following = TRANSACTIONS[event]
    expected = following if state in possible else None
    assert TRANSACTION_EDGES.get((state, event)) is expected


def test_nothing_leaves_a_final_state_but_by_a_correction() -> None:
    left = {state for state, event in OPERATION_EDGES if event not in {E.CORRECT, E.DENY}}
    assert left == {S.QUEUED, S.SIGNED, S.SENT}
    assert {state for state, _ in TRANSACTION_EDGES} == {T.SIGNED, T.SENT}


@pytest.mark.parametrize("event", list(E))
def test_sources_and_target_agree_with_the_table(event: OperationEvent) -> None:
    possible, following = OPERATIONS[event]
    assert set(sources(OPERATION_EDGES, event)) == possible
    assert target(OPERATION_EDGES, event) is following


@pytest.mark.parametrize("keys", [OperationKind, S, E, T, V])
def test_rows_and_logs_have_names_in_small_letters(keys: type[KeyEnum]) -> None:
    assert [key.value for key in keys] == [key.name.lower() for key in keys]
