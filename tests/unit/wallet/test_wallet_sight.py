"""How long an operation that cannot be done now may wait."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.domain.chain_facts import FarmState, LedgerHead
from services.wallet.domain.model import ChainHead, OperationKind, QueuedOperation
from services.wallet.engine.chain_view import ChainState

OPENED, SECONDS, MOST = 1_000_000, 300, 60


def chain_state(after: int) -> ChainState:
    """Block 7, so many seconds after it was opened."""
    now = OPENED + after
    return ChainState(
        ledger=LedgerHead(sequence=500, close_time=now, oldest=1),
        farm=FarmState(
            index=7,
            timestamp=OPENED,
            paused=False,
            token="",
            code_hash="",
            block=cast("Any", "some"),
        ),
        head=ChainHead(
            ledger=500,
            close_time=datetime.fromtimestamp(now, UTC),
            current_block=7,
            plantable_block=7 if after < SECONDS else 8,
            paused=False,
            block_seconds=SECONDS,
        ),
        block=None,
        inclusion_fee=100,
        limits=cast("Any", None),
        pace=5,
    )


def operation(kind: OperationKind, block: int) -> QueuedOperation:
    """One of a block."""
    return QueuedOperation(
        id=OperationId(new_id()),
        kind=kind,
        wallet_id=WalletId(new_id()),
        address="",
        block_index=block,
        amount=0,
        nonce=None,
        hash=None,
        attempts=0,
        pack_limit=None,
    )


@pytest.mark.parametrize(
    ("after", "block", "seconds"),
    [
        (10, 7, MOST),
        (239, 7, MOST),
        (250, 7, 50),
        (299, 7, 1),
        # Its block is over, and the next one is not opened yet.
        (300, 7, 0),
        (400, 6, 0),
        # For the next block, before and after it may be opened.
        (290, 8, MOST),
        (301, 8, MOST),
    ],
)
def test_a_plant_does_not_wait_for_longer_than_its_block(
    after: int, block: int, seconds: int
) -> None:
    assert chain_state(after).pause(operation(OperationKind.PLANT, block), MOST) == seconds


@pytest.mark.parametrize("kind", [kind for kind in OperationKind if kind.value != "plant"])
def test_nothing_else_has_a_known_end(kind: OperationKind) -> None:
    assert chain_state(299).pause(operation(kind, 7), MOST) == MOST
