"""Repayments: signed only when it is sure that payments were not made, after the payer's number."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from stellar_sdk import Keypair

from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.payment_orders import Part
from services.wallet.domain.withdrawals import Asset
from services.wallet.engine.payments.repayments import Repayments
from services.wallet.store.payers import LeasedPayer, UnmadePayment
from services.wallet.store.transactions import Draft
from tests.support.payment_world import TREASURY, Submitted
from tests.support.signing import (
    CLOSE_TIME,
    LEDGER,
    LIMITS,
    NETWORK,
    FakeSender,
    FakeSigners,
    chain_state,
)

#: Where the payer stands, and the target of the payments that it has not made.
NUMBER, TARGET = 500, 3000
OUTSIDE = Keypair.random().public_key
PAYER = LeasedPayer(
    wallet_id=WalletId(new_id()),
    address=Keypair.random().public_key,
    until=datetime(2026, 1, 1, tzinfo=UTC),
    stopped="",
)


def unmade(
    amount: int,
    asset: Asset = Asset.KALE,
    *,
    source: WalletId | None = None,
    is_top_up: bool = False,
    failures: int = 0,
) -> UnmadePayment:
    return UnmadePayment(
        operation_id=OperationId(new_id()),
        bump_to=TARGET,
        source_id=None if is_top_up else source or WalletId(new_id()),
        parts=(Part(destination=OUTSIDE, asset=asset, amount=amount),),
        failures=failures,
    )


class World:
    """Repayments over stand-ins."""

    def __init__(self, limits: OperatorLimits = LIMITS) -> None:
        self.signers, self.sender = FakeSigners(), FakeSender()
        self.is_allowed = True
        self.drafts: list[tuple[Draft, int]] = []
        self.repayments = Repayments(
            chain=cast(Any, SimpleNamespace(network=NETWORK)),
            treasury=cast(Any, SimpleNamespace(wallet=SimpleNamespace(id=TREASURY))),
            signers=cast(Any, self.signers),
            transactions=cast(Any, SimpleNamespace(commit_again=self._commit)),
            sender=cast(Any, self.sender),
            chain_view=cast(Any, SimpleNamespace(current=chain_state())),
            limits=limits,
        )

    async def _commit(self, draft: Draft, *, ledger: int) -> bool:
        self.drafts.append((draft, ledger))
        return self.is_allowed

    async def repay(self, payments: Sequence[UnmadePayment]) -> None:
        await self.repayments.repay(PAYER, payments, NUMBER)


def test_a_payer_is_behind_for_sure_after_three_ledgers() -> None:
    repayments = World().repayments
    sure = [repayments.is_sure("G1", ledger) for ledger in (100, 102, 103, 104)]
    assert sure == [False, False, True, True]
    # Each payer by itself, and anew once it was well.
    assert not repayments.is_sure("G2", 104)
    repayments.is_well("G1")
    repayments.is_well("G1")
    assert not repayments.is_sure("G1", 105)
    assert repayments.is_sure("G1", 108)


def test_a_head_that_was_turned_back_begins_the_count_anew() -> None:
    repayments = World().repayments
    seen = [repayments.is_sure("G1", ledger) for ledger in (100, 50, 52, 53)]
    assert seen == [False, False, False, True]


async def test_payments_are_signed_again_after_the_number_with_their_target() -> None:
    world = World()
    sources = [WalletId(new_id()), WalletId(new_id())]
    payments = [unmade(7, source=sources[0]), unmade(8, Asset.XLM, source=sources[1])]
    await world.repay(payments)
    ((draft, ledger),) = world.drafts
    ids = tuple(item.operation_id for item in payments)
    assert (ledger, draft.operation_ids, draft.stakes_returned) == (LEDGER, ids, (0, 0))
    assert (draft.payer_id, draft.is_rent) == (PAYER.wallet_id, False)
    envelope = draft.envelope
    assert (envelope.sequence, envelope.bump_to) == (NUMBER + 1, TARGET)
    assert envelope.source == world.signers.key(PAYER.wallet_id).address
    assert envelope.max_time == CLOSE_TIME + LIMITS.lifetime
    assert world.signers.opened == [[TREASURY, PAYER.wallet_id, *sources]]
    made = Submitted(operations=[], envelope=envelope, payer=None)
    assert made.paid == [
        (world.signers.key(sources[0]).address, OUTSIDE, "KALE", 7),
        (world.signers.key(sources[1]).address, OUTSIDE, "XLM", 8),
    ]
    # The bump of the number counts as one more operation.
    assert world.sender.sent == [(ids, 3 * LIMITS.max_fee)]


async def test_the_treasury_pays_a_top_up_again() -> None:
    world = World()
    await world.repay([unmade(9, Asset.XLM, is_top_up=True)])
    assert world.signers.opened == [[TREASURY, PAYER.wallet_id, TREASURY]]
    made = Submitted(operations=[], envelope=world.drafts[0][0].envelope, payer=None)
    assert made.paid == [(world.signers.key(TREASURY).address, OUTSIDE, "XLM", 9)]


async def test_what_the_database_forbids_is_not_sent() -> None:
    world = World()
    world.is_allowed = False
    await world.repay([unmade(7)])
    assert (len(world.drafts), world.sender.sent) == (1, [])


@pytest.mark.parametrize(("failures", "drafts"), [(2, 1), (3, 0)])
async def test_a_person_has_to_look_after_three_envelopes_have_failed(
    failures: int, drafts: int
) -> None:
    world = World()
    await world.repay([unmade(7, failures=failures), unmade(8)])
    assert len(world.drafts) == drafts


async def test_a_repayment_above_the_cap_waits() -> None:
    world = World(replace(LIMITS, max_fee=149))
    await world.repay([unmade(7)])
    assert (world.drafts, world.sender.sent) == ([], [])
