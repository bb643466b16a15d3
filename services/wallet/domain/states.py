"""The two state machines as tables {(state, event): state}; what is not in them is refused."""

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from services.wallet.domain.model import (
    OperationEvent,
    OperationState,
    TransactionEvent,
    TransactionState,
)

_O, _E = OperationState, OperationEvent

OPERATION_EDGES: Mapping[tuple[OperationState, OperationEvent], OperationState] = {
    # An envelope that carries it is committed, together with its hash, before a byte leaves.
    (_O.QUEUED, _E.SIGN): _O.SIGNED,
    # The chain shows that it is done already: a plant whose pail exists, an account that exists.
    (_O.QUEUED, _E.SUCCEED): _O.SUCCEEDED,
    # A simulation or the block's end shows that it cannot work; nothing was sent.
    (_O.QUEUED, _E.FAIL): _O.FAILED,
    # It did not work out yet (next ledger, node away): another look later.
    (_O.QUEUED, _E.RETRY): _O.QUEUED,
    # All attempts were used up by envelopes that no ledger took.
    (_O.QUEUED, _E.EXPIRE): _O.EXPIRED,
    # The network has its envelope, or may have.
    (_O.SIGNED, _E.SEND): _O.SENT,
    # A crash hid the sending; the ledger shows that it happened.
    (_O.SIGNED, _E.SUCCEED): _O.SUCCEEDED,
    # The same, with an envelope that failed in its ledger.
    (_O.SIGNED, _E.FAIL): _O.FAILED,
    # The envelope is proven excluded, or failed for a reason that another one may not meet.
    (_O.SIGNED, _E.RETRY): _O.QUEUED,
    # The envelope is proven excluded and another one makes no sense.
    (_O.SIGNED, _E.EXPIRE): _O.EXPIRED,
    # A ledger took the envelope and it worked.
    (_O.SENT, _E.SUCCEED): _O.SUCCEEDED,
    # A ledger took the envelope and it failed for good.
    (_O.SENT, _E.FAIL): _O.FAILED,
    # As for SIGNED: only after the proof, or after the failure is in a ledger.
    (_O.SENT, _E.RETRY): _O.QUEUED,
    # As for SIGNED.
    (_O.SENT, _E.EXPIRE): _O.EXPIRED,
    # A payment that nodes said had failed was given up; its payer's number shows that it was made.
    (_O.FAILED, _E.CORRECT): _O.SUCCEEDED,
    (_O.EXPIRED, _E.CORRECT): _O.SUCCEEDED,
}

_T, _V = TransactionState, TransactionEvent

TRANSACTION_EDGES: Mapping[tuple[TransactionState, TransactionEvent], TransactionState] = {
    # It was handed to a node, whatever the answer was: from here on it may be in a ledger.
    (_T.SIGNED, _V.SEND): _T.SENT,
    # It was sent before a crash that hid it, and a ledger has it.
    (_T.SIGNED, _V.SUCCEED): _T.SUCCEEDED,
    (_T.SIGNED, _V.FAIL): _T.FAILED,
    # A ledger closed past its bound without it: the proof of STELLAR.md section 1.
    (_T.SIGNED, _V.EXCLUDE): _T.EXCLUDED,
    # "Sent" ends only by a ledger's result or by that proof; never by a time-out.
    (_T.SENT, _V.SUCCEED): _T.SUCCEEDED,
    (_T.SENT, _V.FAIL): _T.FAILED,
    (_T.SENT, _V.EXCLUDE): _T.EXCLUDED,
}

_State = TypeVar("_State", bound=Enum)
_Event = TypeVar("_Event", bound=Enum)


def sources(edges: Mapping[tuple[_State, _Event], _State], event: _Event) -> list[_State]:
    """The states in which an event is possible, for guarded updates."""
    return [state for (state, possible) in edges if possible is event]


def target(edges: Mapping[tuple[_State, _Event], _State], event: _Event) -> _State:
    """The one state that an event leads to, wherever it comes from."""
    (state,) = {following for (_, possible), following in edges.items() if possible is event}
    return state
