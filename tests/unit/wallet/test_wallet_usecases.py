"""What a call may ask for is decided by the newest ledger that any wallet process has seen."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from libs.common.ids import FarmerId, OperationId, WalletId
from services.wallet.domain.budget import FeeTerms
from services.wallet.domain.errors import BlockNotClosedError, WrongBlockError
from services.wallet.domain.model import ChainHead, Intent, NewOperation, OperationKind
from services.wallet.store.operations import Check
from services.wallet.store.refusals import Now
from services.wallet.usecases.wallet import UseCases

FARMER = FarmerId(UUID(int=1))
WORK, HARVEST = OperationKind.WORK, OperationKind.HARVEST
BEFORE = ChainHead(
    ledger=9,
    close_time=datetime(2026, 1, 1, tzinfo=UTC),
    current_block=4,
    plantable_block=5,
    paused=False,
    block_seconds=300,
)
#: Somebody has planted in block 5.
AFTER = replace(BEFORE, ledger=10, current_block=5)


class Pool:
    """Tables with one wallet and the head that some process has kept."""

    def __init__(self, kept: ChainHead | None) -> None:
        self._kept = kept
        self.recorded: list[int] = []

    async def ids_of_farmers(self, farmer_ids: Sequence[FarmerId]) -> dict[FarmerId, WalletId]:
        """The wallet of the one farmer."""
        return {item: WalletId(item) for item in farmer_ids}

    async def record_one(
        self,
        *,
        kind: OperationKind,
        block_index: int,
        operation: NewOperation,
        check: Check,
        now: Now,
    ) -> OperationId:
        """Notes the block, when it is one that this can be done in."""
        assert kind in {WORK, HARVEST}
        assert not now.circumstances.is_rent_due
        check(self._kept)
        self.recorded.append(block_index)
        return operation.id


async def submitted(kind: OperationKind, block: int, *, seen: ChainHead, kept: ChainHead) -> Pool:
    """The tables after a call for one farmer to a process that has seen `seen`."""
    pool = Pool(kept)
    parts: dict[str, Any] = dict.fromkeys(UseCases.__dataclass_fields__, pool)
    chain_state = SimpleNamespace(
        head=seen, is_rent_due=False, inclusion_fee_for=lambda _: 100, pace=5
    )
    chain_view = SimpleNamespace(current=chain_state)
    wakeup = SimpleNamespace(notify=lambda: None)
    usecases = UseCases(
        **parts | {"chain_view": chain_view, "wakeup": wakeup, "fees": FeeTerms(), "max_fee": 9}
    )
    intent = Intent(farmer_id=FARMER, nonce=1, hash=bytes(32))
    await usecases.submit(kind, request_id="", block_index=block, intents=[intent])
    return pool


@pytest.mark.parametrize(("kind", "block"), [(WORK, 5), (HARVEST, 4)])
async def test_another_process_is_a_ledger_ahead(kind: OperationKind, block: int) -> None:
    pool = await submitted(kind, block, seen=BEFORE, kept=AFTER)
    assert pool.recorded == [block]


@pytest.mark.parametrize(("kind", "block"), [(WORK, 5), (HARVEST, 4)])
async def test_what_is_kept_may_be_older_than_what_was_seen(
    kind: OperationKind, block: int
) -> None:
    pool = await submitted(kind, block, seen=AFTER, kept=BEFORE)
    assert pool.recorded == [block]


async def test_what_nobody_has_seen_is_refused() -> None:
    with pytest.raises(WrongBlockError, match="block 6 is not the current one, block 5 is"):
        await submitted(WORK, 6, seen=BEFORE, kept=AFTER)
    with pytest.raises(BlockNotClosedError, match="the chain is at block 5"):
        await submitted(HARVEST, 5, seen=AFTER, kept=BEFORE)
