"""Withdrawals whose ledger is forgotten: what a node says of before proves nothing."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from libs.common.ids import OperationId, WalletId
from services.wallet.chain.errors import StaleAnswerError
from services.wallet.domain.model import (
    CarriedOperation,
    ChainHead,
    OpenTransaction,
    OperationEvent,
    OperationKind,
    TransactionId,
    TransactionState,
)
from services.wallet.domain.withdrawals import Asset, Payout
from services.wallet.engine.parts import EngineParts
from services.wallet.engine.unseen import Unseen

SIGNED, USED = 100, 103
ID = UUID(int=7)


class Nodes:
    """Two nodes behind one address: one answers what it is asked first, the other the rest."""

    def __init__(self, *, read_at: int) -> None:
        self._read_at = read_at

    @asynccontextmanager
    async def pinned(self) -> AsyncIterator["Nodes"]:
        """Itself."""
        yield self

    async def head(self) -> SimpleNamespace:
        """Where the first one is."""
        return SimpleNamespace(sequence=USED)

    async def last_changes(self, holdings: Sequence[Any]) -> tuple[int, dict[Any, int]]:
        """As the other one has it: nothing has changed since long ago."""
        return self._read_at, dict.fromkeys(holdings, SIGNED - 50)


class Records:
    """What the withdrawals are."""

    async def grown(self, _: object) -> dict[Any, Any]:
        """No harvests."""
        return {}

    async def payouts(self, ids: Sequence[OperationId]) -> dict[OperationId, Payout]:
        """All of them go elsewhere."""
        return {
            one: Payout(operation_id=one, destination="G2", asset=Asset.KALE, is_stopped=False)
            for one in ids
        }


class Follower:
    """Where the chain is."""

    async def refresh(self) -> SimpleNamespace:
        """A look at it."""
        head = ChainHead(
            ledger=USED,
            close_time=datetime(2026, 1, 1, tzinfo=UTC),
            current_block=5,
            plantable_block=6,
            paused=False,
            block_seconds=300,
        )
        return SimpleNamespace(head=head)


def unseen(nodes: Nodes) -> Unseen:
    parts = SimpleNamespace(chain=nodes, transactions=Records(), follower=Follower())
    return Unseen(cast(EngineParts, parts))


def withdrawal() -> OpenTransaction:
    carried = CarriedOperation(
        id=OperationId(ID),
        kind=OperationKind.WITHDRAW,
        wallet_id=WalletId(ID),
        address="G1",
        block_index=1,
        amount=5,
        zeros=None,
        attempts=1,
    )
    return OpenTransaction(
        id=TransactionId(ID),
        state=TransactionState.SENT,
        source="GT",
        sequence=9,
        hash="aa",
        lookup_hash="aa",
        envelope="",
        max_time=1000,
        fee_bid=100,
        signed_ledger=SIGNED,
        resend_ledger=SIGNED + 2,
        last_answer="",
        operations=(carried,),
    )


async def test_an_account_that_a_node_has_not_changed_by_then_proves_that_nothing_was_paid() -> (
    None
):
    closing = await unseen(Nodes(read_at=USED)).closing(withdrawal(), ledger=USED)
    assert [item.event for item in closing.settlements] == [OperationEvent.RETRY]


async def test_an_answer_from_before_the_payment_is_none() -> None:
    with pytest.raises(StaleAnswerError):
        await unseen(Nodes(read_at=USED - 1)).closing(withdrawal(), ledger=USED)
