"""The two state machines as tables {(state, event): state}; any other step is refused."""

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from libs.common.states import StateTable
from services.wallet.domain.model import (
    OperationEvent,
    OperationState,
    TransactionEvent,
    TransactionState,
)

_O, _E = OperationState, OperationEvent

OPERATION_EDGES: StateTable[OperationState, OperationEvent] = StateTable(
    initial=_O.QUEUED,
    edges={
        (_O.QUEUED, _E.SIGN): (
            _O.SIGNED,
            "An envelope that carries it is committed, together with its hash, before a byte "
            "leaves.",
        ),
        (_O.QUEUED, _E.SUCCEED): (
            _O.SUCCEEDED,
            "The chain shows that it is done already: a plant whose pail exists, an account that "
            "exists.",
        ),
        (_O.QUEUED, _E.FAIL): (
            _O.FAILED,
            "A simulation or the block's end shows that it cannot work; nothing was sent.",
        ),
        (_O.QUEUED, _E.RETRY): (
            _O.QUEUED,
            "It did not work out yet (next ledger, node away): another look later.",
        ),
        (_O.QUEUED, _E.EXPIRE): (
            _O.EXPIRED,
            "All attempts were used up by envelopes that no ledger took.",
        ),
        (_O.SIGNED, _E.SEND): (_O.SENT, "The network has its envelope, or may have."),
        (_O.SIGNED, _E.SUCCEED): (
            _O.SUCCEEDED,
            "A crash hid the sending; the ledger shows that it happened.",
        ),
        (_O.SIGNED, _E.FAIL): (
            _O.FAILED,
            "A crash hid the sending; the envelope failed in its ledger.",
        ),
        (_O.SIGNED, _E.RETRY): (
            _O.QUEUED,
            "The envelope is proven excluded, or failed for a reason that another one may not "
            "meet.",
        ),
        (_O.SIGNED, _E.EXPIRE): (
            _O.EXPIRED,
            "The envelope is proven excluded and another one makes no sense.",
        ),
        (_O.SENT, _E.SUCCEED): (_O.SUCCEEDED, "A ledger took the envelope and it worked."),
        (_O.SENT, _E.FAIL): (_O.FAILED, "A ledger took the envelope and it failed for good."),
        (_O.SENT, _E.RETRY): (
            _O.QUEUED,
            "As from signed: only after the proof, or after the failure is in a ledger.",
        ),
        (_O.SENT, _E.EXPIRE): (
            _O.EXPIRED,
            "As from signed: the envelope is proven excluded and another one makes no sense.",
        ),
        (_O.FAILED, _E.CORRECT): (
            _O.SUCCEEDED,
            "A payment that nodes said had failed was given up; its payer's number shows that it "
            "was made.",
        ),
        (_O.EXPIRED, _E.CORRECT): (
            _O.SUCCEEDED,
            "The same, of a payment that had expired on the word of nodes.",
        ),
        (_O.SUCCEEDED, _E.DENY): (
            _O.FAILED,
            "Nodes said that a call worked; reconciliation found twice that the chain has no trace "
            "of it, and the sequence number of its transaction is unused, or only a pail had told "
            "of it.",
        ),
    },
)

_T, _V = TransactionState, TransactionEvent

TRANSACTION_EDGES: StateTable[TransactionState, TransactionEvent] = StateTable(
    initial=_T.SIGNED,
    edges={
        (_T.SIGNED, _V.SEND): (
            _T.SENT,
            "It was handed to a node, whatever the answer was: from here on it may be in a ledger.",
        ),
        (_T.SIGNED, _V.SUCCEED): (
            _T.SUCCEEDED,
            "It was sent before a crash that hid it, and a ledger has it.",
        ),
        (_T.SIGNED, _V.FAIL): (
            _T.FAILED,
            "It was sent before a crash that hid it, and it failed in its ledger.",
        ),
        (_T.SIGNED, _V.EXCLUDE): (
            _T.EXCLUDED,
            "A ledger closed past its bound without it: the proof of STELLAR.md section 1.",
        ),
        (_T.SENT, _V.SUCCEED): (
            _T.SUCCEEDED,
            "A ledger has it, and it worked. Sent ends only by a ledger's result or by the proof "
            "of exclusion; never by a time-out.",
        ),
        (_T.SENT, _V.FAIL): (_T.FAILED, "A ledger has it, and it failed."),
        (_T.SENT, _V.EXCLUDE): (
            _T.EXCLUDED,
            "A ledger closed past its bound without it: the same proof as from signed.",
        ),
    },
)

_State = TypeVar("_State", bound=Enum)
_Event = TypeVar("_Event", bound=Enum)


def sources(edges: Mapping[tuple[_State, _Event], _State], event: _Event) -> list[_State]:
    """Return the states in which an event is possible, for guarded updates."""
    return [state for (state, possible) in edges if possible is event]


def target(edges: Mapping[tuple[_State, _Event], _State], event: _Event) -> _State:
    """Return the one state that an event leads to, from every state."""
    (state,) = {following for (_, possible), following in edges.items() if possible is event}
    return state
