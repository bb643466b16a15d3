"""What wallet keeps for fees by itself: poolers' custodial accounts, and sums of what is past."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from stellar_sdk import Keypair

from libs.common import failpoints
from libs.common.db.pool import Database
from libs.common.failpoints import FailpointError
from libs.common.ids import PoolerId, new_id
from services.wallet.domain.budget import SPONSORED, SponsorTerms
from services.wallet.domain.errors import SponsorshipBudgetError
from services.wallet.domain.fees_due import FeeMark
from services.wallet.domain.model import Block
from services.wallet.domain.payouts import PoolerAccount
from services.wallet.domain.withdrawals import DailyLimit
from services.wallet.engine.wakeup import Wakeup
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.store.agreements import AgreementStore
from services.wallet.store.blocks import BlockStore
from services.wallet.store.fee_marks import FeeMarkStore
from services.wallet.store.payers import PayerStore
from services.wallet.store.payouts import PayoutStore
from services.wallet.store.pool_payments import PoolPaymentStore
from services.wallet.store.wallets import WalletStore
from services.wallet.store.withdrawals import WithdrawalStore
from services.wallet.usecases.fee_keeping import FeeKeeping
from services.wallet.usecases.payouts import Payouts
from tests.support.agreements import agree
from tests.support.orders import ORDERS
from tests.support.wallet_rows import WalletRows

ADDRESS = Keypair.random().public_key
OPENED = datetime(2026, 1, 1, tzinfo=UTC)


def keeping(
    pool: Database, *, is_open: bool = True, sponsored: SponsorTerms | None = None
) -> FeeKeeping:
    """Return a keeper over real tables, with no chain."""
    marks = FeeMarkStore(pool, ORDERS, AgreementStore(pool, ORDERS))
    withdrawals = WithdrawalStore(pool, ORDERS)
    payouts = PayoutStore(pool, ORDERS, withdrawals=withdrawals, marks=marks)
    pool_payments = PoolPaymentStore(
        pool, ORDERS, payouts=payouts, withdrawals=withdrawals, marks=marks
    )
    treasury = cast(Any, SimpleNamespace(is_open=is_open, wallet=None))
    use_cases = Payouts(
        payouts=payouts,
        pool_payments=pool_payments,
        marks=marks,
        wallets=WalletStore(pool, ORDERS),
        payers=PayerStore(pool, ORDERS),
        chain=cast(Any, None),
        provider=LocalKeyProvider(bytes([7]) * 32),
        treasury=treasury,
        sponsored=sponsored or SponsorTerms(),
        limit=DailyLimit(farmer=1, pool=1),
        operator_address="",
        wakeup=Wakeup(),
        settled=cast(Any, None),
    )
    return FeeKeeping(
        use_cases=use_cases,
        payouts=payouts,
        pool_payments=pool_payments,
        marks=marks,
        treasury=treasury,
    )


async def registered(rows: WalletRows, address: str = ADDRESS) -> PoolerId:
    """Write a pooler that registered."""
    pooler_id = PoolerId(new_id())
    await rows.insert("registry.poolers", id=pooler_id, name="a", public_key=address, max_farmers=7)
    return pooler_id


async def account_of(keeper: FeeKeeping, pooler_id: PoolerId) -> PoolerAccount | None:
    return (await keeper.payouts.poolers([pooler_id])).get(pooler_id)


async def test_a_pooler_of_before_gets_an_account_that_pays_it(rows: WalletRows) -> None:
    pooler_id, keeper = await registered(rows), keeping(rows.pool)
    assert await account_of(keeper, pooler_id) is None
    await keeper.step()
    made = await account_of(keeper, pooler_id)
    assert made is not None
    assert (made.is_ready, made.hindrance) == (False, None)
    assert await keeper.pool_payments.address(made.wallet_id) == ADDRESS
    # What registry's table says later changes nothing.
    await rows.connection.execute("UPDATE registry.poolers SET public_key = 'GTHIEF'")
    await keeper.step()
    assert await account_of(keeper, pooler_id) == made
    assert await keeper.pool_payments.address(made.wallet_id) == ADDRESS
    again = await keeper.use_cases.create_pooler_wallet(pooler_id, "GTHIEF")
    assert again == made


async def test_no_account_is_made_before_the_treasury_is_open(rows: WalletRows) -> None:
    pooler_id, keeper = await registered(rows), keeping(rows.pool, is_open=False)
    assert not await keeper.step()
    assert await account_of(keeper, pooler_id) is None


async def accounts(rows: WalletRows) -> int:
    """Return how many poolers have a custodial account."""
    return len(await rows.values("wallet.wallets", "kind", "id"))


async def test_poolers_that_somebody_invents_have_the_pools_budget_together(
    rows: WalletRows,
) -> None:
    """Each account takes a reserve of the treasury's, as a farmer's does."""
    farmer = await rows.wallet()
    for _ in range(12):
        await registered(rows, Keypair.random().public_key)
    keeper = keeping(rows.pool, sponsored=SponsorTerms(pooler=SPONSORED, pool=3 * SPONSORED))
    await agree(rows.pool, farmer.id)
    # It waits, and sums fees up all the same.
    assert not await keeper.step()
    assert await accounts(rows) == 1 + 2
    assert farmer.id in await rows.values("wallet.fee_marks", "until_block", "wallet_id")
    for _ in range(3):
        assert not await keeper.step()
    assert await accounts(rows) == 1 + 2
    with pytest.raises(SponsorshipBudgetError):
        await keeper.use_cases.create_pooler_wallet(PoolerId(new_id()), ADDRESS)
    # Farmers have no room either; what was made yesterday takes none.
    await rows.connection.execute("UPDATE wallet.wallets SET created_at = now() - interval '1 day'")
    await keeper.step()
    assert await accounts(rows) == 1 + 2 + 3


async def test_who_can_have_no_account_keeps_nobody_else_from_one(rows: WalletRows) -> None:
    """An address that is none would be sealed, and no pooler could be paid beside it."""
    for number in range(12):
        await registered(rows, f"G{number:055}")
    pooler_id, keeper = await registered(rows), keeping(rows.pool)
    assert await keeper.step()
    assert not await keeper.step()
    assert await accounts(rows) == 1
    assert await account_of(keeper, pooler_id) is not None


@pytest.mark.parametrize("is_tampered", [False, True])
async def test_marks_are_made_of_farmers_with_terms(rows: WalletRows, is_tampered: bool) -> None:
    keeper = keeping(rows.pool)
    other, farmer, _ = await rows.wallet(), await rows.wallet(), await rows.wallet()
    for one in (other, farmer):
        await agree(rows.pool, one.id)
    if is_tampered:
        await rows.connection.execute(
            "UPDATE wallet.agreements SET pooler_bps = 1 WHERE wallet_id = $1", other.id
        )
    await keeper.step()
    made = await rows.values("wallet.fee_marks", "until_block", "wallet_id")
    assert made == {farmer.id: -1} | ({} if is_tampered else {other.id: -1})
    # One that is not as wallet wrote it holds up nobody, and is not tried again and again.
    assert not await keeper.step()
    marks = await keeper.marks.marks([farmer.id])
    assert marks == {farmer.id: FeeMark()}


async def test_who_dies_after_a_mark_goes_on_behind_it(rows: WalletRows) -> None:
    farmers = {(await rows.wallet()).id for _ in range(3)}
    for one in farmers:
        await agree(rows.pool, one)
    kept = []
    for _ in range(len(farmers)):
        failpoints.arm("wallet.fee_mark.kept=raise")
        try:
            with pytest.raises(FailpointError):
                await keeping(rows.pool).step()
        finally:
            failpoints.arm("")
        kept.append(set(await rows.values("wallet.fee_marks", "until_block", "wallet_id")))
    assert [len(one) for one in kept] == [1, 2, 3]
    assert kept[-1] == farmers
    keeper = keeping(rows.pool)
    assert not await keeper.step()
    assert await keeper.marks.marks(sorted(farmers)) == dict.fromkeys(farmers, FeeMark())


@pytest.mark.parametrize(("block", "until"), [(5, -1), (4, 4)])
async def test_a_block_that_was_turned_back_is_not_forgotten(
    rows: WalletRows, block: int, until: int
) -> None:
    keeper, farmer = keeping(rows.pool), await rows.wallet()
    await rows.connection.execute(
        "INSERT INTO chain.head (ledger, close_time, current_block, plantable_block, paused, "
        "block_seconds) VALUES (1000, now(), 9, 9, false, 300)"
    )
    values = dict.fromkeys(
        ("min_gap", "max_gap", "min_zeros", "max_zeros", "min_stake", "max_stake"), 1
    )
    seen = Block(
        index=block,
        opened_ledger=1,
        opened_at=OPENED,
        closes_at=OPENED,
        entropy=bytes(32),
        staked_total=0,
        normalized_total=0,
        expires_ledger=899,
        **values,
    )
    await BlockStore(rows.pool, ORDERS).save_block(seen, updated_ledger=900)
    await rows.connection.execute(
        "UPDATE chain.blocks SET updated_ledger = -1, expires_ledger = -1 WHERE index > 4"
    )
    assert await keeper.marks.markable([farmer.id]) == {farmer.id: until}
