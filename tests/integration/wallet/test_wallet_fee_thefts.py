"""Thefts of fees: whoever rewrites, deletes or replays rows gets no stroop more than was agreed.

With all rights on the database, but without the keys of rows.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from libs.common.ids import OperationId, PoolerId, WalletId, new_id
from libs.kale.fees import Terms, split
from services.wallet.domain.audit import Findings
from services.wallet.domain.errors import AgreementTamperedError, FeesTamperedError
from services.wallet.domain.fees_due import Fees, advanced
from services.wallet.domain.model import Block, Ending, OperationKind, OperationState
from services.wallet.domain.payouts import FeeAccounts, Refusal, WantedPayout
from services.wallet.domain.withdrawals import DailyLimit
from services.wallet.store.agreements import AgreementStore
from services.wallet.store.audit_check import AuditCheck
from services.wallet.store.blocks import BlockStore
from services.wallet.store.custody import CustodyStore
from services.wallet.store.fee_marks import FeeMarkStore
from services.wallet.store.payouts import PayoutStore
from services.wallet.store.withdrawals import WithdrawalStore
from tests.support.agreements import agree
from tests.support.orders import ORDERS
from tests.support.wallet_rows import WalletRow, WalletRows

REWARD = 10_000
TERMS = Terms(pooler_bps=1_000, operator_bps=100, miners_bps=5_000)
PARTS = split(REWARD, TERMS)
#: Of one harvest.
ONE = Fees(pooler=PARTS.pooler, operator=PARTS.operator, miners=PARTS.miners)
LIMIT = DailyLimit(farmer=10**12, pool=10**12)
OPENED = datetime(2026, 1, 1, tzinfo=UTC)
#: With all rights: no trigger, no foreign key.
FREE, BOUND = "SET session_replication_role = replica", "RESET session_replication_role"


@dataclass(frozen=True, kw_only=True)
class Fixture:
    """A farmer with terms who has harvested, and the stores that pay."""

    rows: WalletRows
    farmer: WalletRow
    payouts: PayoutStore
    marks: FeeMarkStore

    async def harvested(
        self,
        block: int,
        amount: int = REWARD,
        *,
        wallet: WalletRow | None = None,
        is_found: bool = False,
    ) -> OperationId:
        """Write a harvest as wallet settles it, and when its block opened."""
        whose, name = wallet or self.farmer, OperationId(new_id())
        await self.opened(block)
        ending = Ending(operation_id=name, state=OperationState.SUCCEEDED, amount=amount, ledger=9)
        return await self.rows.operation(
            whose,
            "harvest",
            "succeeded",
            id=name,
            block=block,
            amount=amount,
            ledger=9,
            is_found=is_found,
            mac=order_mac(name, whose, block),
            end_mac=ORDERS.for_end(ending),
        )

    async def opened(self, block: int, at: datetime | None = None) -> None:
        """Have wallet see that a block opened."""
        seen = Block(
            index=block,
            opened_ledger=1,
            opened_at=at or opened(block),
            closes_at=opened(block + 1),
            entropy=bytes(32),
            min_gap=0,
            max_gap=1,
            min_stake=0,
            max_stake=1,
            min_zeros=0,
            max_zeros=1,
            staked_total=0,
            normalized_total=0,
            expires_ledger=block,
        )
        await BlockStore(self.rows.pool, ORDERS).save_block(seen, updated_ledger=1)

    async def sweep(self, name: str = "", *, free: int = 10**9) -> Fees | Refusal | Exception:
        """Ask for all fees that are due; return what leaves."""
        wallet_id = self.farmer.id
        accrued = (await self.marks.accrued([wallet_id]))[wallet_id]
        if not isinstance(accrued, Fees):
            return accrued
        (account,) = (await self.payouts.farmers([self.farmer.owner])).values()
        wanted = WantedPayout(
            id=OperationId(new_id()),
            account=account,
            amount=0,
            accrued=accrued,
            free=free,
            fee_accounts=FeeAccounts(pooler="GPOOLER", operator="GOPERATOR"),
        )
        found = await self.payouts.record(
            name or str(wanted.id), [wanted], limit=LIMIT, actor="harvest"
        )
        became = found[wanted.id]
        if isinstance(became, Refusal):
            return became
        row = await self.rows.connection.fetchrow(
            "SELECT pooler, operator, miners FROM wallet.payouts WHERE operation_id = $1", became
        )
        assert row is not None
        return Fees(**dict(row))

    async def settled(self, state: str = "succeeded") -> None:
        """Have wallet settle all payouts that are open."""
        query = "SELECT id FROM wallet.operations WHERE kind = 'payout' AND state = 'queued'"
        for row in await self.rows.connection.fetch(query):
            reason = None if state == "succeeded" else "REFUSED"
            mac = ORDERS.for_end(
                Ending(operation_id=row["id"], state=OperationState(state), ledger=0)
            )
            await self.rows.connection.execute(
                "UPDATE wallet.operations SET state = $2::wallet.operation_state, reason = $3, "
                "settled_at = now(), end_mac = $4 WHERE id = $1",
                row["id"],
                state,
                reason,
                mac,
            )

    async def forge(self, *statements: str) -> None:
        """Do something with all rights."""
        await self.rows.connection.execute(FREE)
        for statement in statements:
            await self.rows.connection.execute(statement)
        await self.rows.connection.execute(BOUND)

    async def mark(self, until: int) -> None:
        """Have wallet sum up to a block."""
        marks = await self.marks.marks([self.farmer.id])
        rewards = (await self.marks.rewards(marks))[self.farmer.id]
        past = (await self.payouts.past(marks))[self.farmer.id]
        await self.marks.save(
            self.farmer.id, advanced(marks[self.farmer.id], rewards, past, until_block=until)
        )


def opened(block: int) -> datetime:
    return OPENED + timedelta(seconds=300 * block)


def order_mac(name: UUID, whose: WalletRow, block: int) -> bytes:
    return ORDERS.for_own_operation(
        OperationKind.HARVEST, row_id=name, wallet_id=whose.id, block_index=block
    )


@pytest.fixture
async def world(rows: WalletRows) -> Fixture:
    agreements = AgreementStore(rows.pool, ORDERS)
    marks = FeeMarkStore(rows.pool, ORDERS, agreements)
    payouts = PayoutStore(
        rows.pool, ORDERS, withdrawals=WithdrawalStore(rows.pool, ORDERS), marks=marks
    )
    farmer = await rows.wallet()
    await rows.wallet("payer")
    await terms(rows, farmer)
    return Fixture(rows=rows, farmer=farmer, payouts=payouts, marks=marks)


async def terms(rows: WalletRows, farmer: WalletRow, *, at: datetime = OPENED, **more: int) -> None:
    values: dict[str, Any] = {
        "pooler_bps": TERMS.pooler_bps,
        "operator_bps": TERMS.operator_bps,
        "miners_bps": TERMS.miners_bps,
        **more,
    }
    await agree(rows.pool, farmer.id, registered_at=at, effective_at=at, **values)


def reason(found: object) -> str:
    """Return why nothing left."""
    assert isinstance(found, Refusal | AgreementTamperedError | FeesTamperedError), found
    return found.reason


async def test_fees_are_owed_until_they_have_left(world: Fixture) -> None:
    async def owed() -> int:
        return (await world.payouts.owed([world.farmer.id]))[world.farmer.id]

    assert await owed() == 0
    await world.harvested(3)
    assert await owed() == ONE.all
    assert await world.sweep() == ONE
    # A withdrawal meanwhile would take what the payout is to carry.
    assert await owed() == ONE.all
    await world.settled()
    assert await owed() == 0
    await world.harvested(4)
    assert await owed() == ONE.all
    # What nobody can tell keeps no farmer from its money.
    await world.forge("UPDATE wallet.payouts SET pooler = 0")
    other = await world.rows.wallet()
    assert await world.payouts.owed([world.farmer.id, other.id]) == {
        world.farmer.id: 0,
        other.id: 0,
    }


async def test_what_was_agreed_leaves_once(world: Fixture) -> None:
    await world.harvested(3)
    assert await world.sweep() == ONE
    assert reason(await world.sweep()) == "NOTHING_DUE"
    await world.settled()
    assert reason(await world.sweep()) == "NOTHING_DUE"
    # Whoever harvested: one that was found counts as any other.
    await world.harvested(4, is_found=True)
    assert await world.sweep() == ONE
    await world.settled("failed")
    # It never had a transaction, and failed by wallet's word: it is free again.
    assert await world.sweep() == ONE


async def test_a_request_leaves_once(world: Fixture) -> None:
    await world.harvested(3)
    assert await world.sweep("run") == ONE
    assert await world.sweep("run") == ONE
    count = "SELECT count(*) FROM wallet.payouts"
    assert await world.rows.connection.fetchval(count) == 1


@pytest.mark.parametrize(
    "forgery",
    [
        # A reward that never was, or was less.
        "UPDATE wallet.operations SET amount = amount * 9 WHERE kind = 'harvest'",
        # Of another farmer, and of another block.
        "UPDATE wallet.operations SET wallet_id = (SELECT id FROM wallet.wallets WHERE kind = "
        "'payer' LIMIT 1) WHERE kind = 'harvest'",
        "UPDATE wallet.operations SET block_index = 77 WHERE kind = 'harvest'",
        # A copy of it, under another id.
        "INSERT INTO wallet.operations SELECT gen_random_uuid(), kind, wallet_id, 78, state, "
        "amount, stake_returned, nonce, hash, zeros, gap, transaction_id, attempts, fee_charged, "
        "ledger, reason, error_message, due_at, due_ledger, created_at, settled_at, pack_limit, "
        "is_found, found_hash, unproven, mac, end_mac FROM wallet.operations "
        "WHERE kind = 'harvest'",
        # A block that opened when more was agreed.
        "UPDATE wallet.block_openings SET opened_at = opened_at + interval '1 year'",
        # Sums that somebody else wrote.
        "INSERT INTO wallet.fee_marks SELECT wallet_id, -1, decode(repeat('00', 252), 'hex'), "
        "9999, 0, 0, 0, 0, 0, 0, now(), mac FROM wallet.agreements LIMIT 1",
        # More that was agreed, or earlier.
        "UPDATE wallet.agreements SET pooler_bps = 3000",
        "UPDATE wallet.agreements SET effective_at = effective_at - interval '1 year'",
        "DELETE FROM wallet.agreements WHERE number = 2",
        # Nothing that was paid before, or less of it, or of another account.
        "DELETE FROM wallet.payouts",
        "UPDATE wallet.payouts SET pooler = 1, operator = 0, operator_account = ''",
        "UPDATE wallet.payouts SET number = 2",
        "UPDATE wallet.operations SET state = 'failed', reason = 'REFUSED' WHERE kind = 'payout'",
    ],
)
async def test_no_rewritten_row_takes_more(world: Fixture, forgery: str) -> None:
    await terms(world.rows, world.farmer, at=opened(50), pooler_bps=2_000)
    await world.opened(77, opened(10))
    await world.opened(78, opened(11))
    await world.harvested(3)
    first = await world.sweep()
    assert first == ONE
    await world.settled()
    await world.forge(forgery)
    again = await world.sweep()
    more = again if isinstance(again, Fees) else Fees()
    assert (ONE + more).beyond(ONE) == Fees(), (forgery, again)


async def test_a_deleted_newest_payout_stops_fees(world: Fixture) -> None:
    await world.harvested(3)
    assert await world.sweep() == ONE
    await world.settled()
    await world.harvested(4)
    assert await world.sweep() == ONE
    await world.settled()
    await world.forge("DELETE FROM wallet.payouts WHERE number = 2")
    assert reason(await world.sweep()) == "FEES_TAMPERED"
    # And is found by whoever verifies the log.
    findings = Findings()
    async for page in CustodyStore(world.rows.pool, ORDERS).records():
        await AuditCheck(world.rows.pool).records(page, findings)
    assert findings.words()


async def test_an_old_mark_that_is_put_back_changes_nothing(world: Fixture) -> None:
    await world.harvested(3)
    await world.mark(2)
    await world.rows.connection.execute("CREATE TABLE kept AS SELECT * FROM wallet.fee_marks")
    assert await world.sweep() == ONE
    await world.settled()
    await world.harvested(5)
    await world.mark(4)
    assert await world.sweep() == ONE
    await world.settled()
    await world.mark(6)
    gone = "DELETE FROM wallet.fee_marks"
    await world.forge(gone, "INSERT INTO wallet.fee_marks SELECT * FROM kept")
    assert reason(await world.sweep()) == "NOTHING_DUE"
    await world.forge(gone)
    assert reason(await world.sweep()) == "NOTHING_DUE"


async def test_marks_and_late_harvests_add_up(world: Fixture) -> None:
    await world.harvested(3)
    await world.mark(10)
    await world.harvested(4, is_found=True)
    assert await world.sweep() == ONE + ONE
    await world.settled()
    await world.mark(20)
    assert reason(await world.sweep()) == "NOTHING_DUE"


async def test_another_farmers_rewards_are_not_its_own(world: Fixture) -> None:
    other = await world.rows.wallet(pooler=world.farmer.pooler_id)
    await terms(world.rows, other)
    await world.harvested(3, wallet=other)
    assert reason(await world.sweep()) == "NOTHING_DUE"
    found = await world.payouts.received(PoolerId(world.farmer.pooler_id or new_id()))
    assert found == Fees()


async def test_a_change_in_mid_block_counts_from_the_next_block_on(world: Fixture) -> None:
    later = opened(3) + timedelta(microseconds=1)
    await terms(world.rows, world.farmer, at=later, pooler_bps=2_000)
    await world.harvested(3)
    assert await world.sweep() == ONE
    await world.harvested(4)
    parts = split(REWARD, Terms(pooler_bps=2_000, operator_bps=100, miners_bps=5_000))
    assert await world.sweep() == Fees(
        pooler=parts.pooler, operator=parts.operator, miners=parts.miners
    )


async def test_what_failed_a_moment_ago_is_not_free_yet(world: Fixture) -> None:
    await world.harvested(3)
    assert await world.sweep() == ONE
    query = "SELECT operation_id FROM wallet.payouts"
    name = await world.rows.connection.fetchval(query)
    payer = await world.rows.connection.fetchval(
        "SELECT payer_id FROM wallet.payments WHERE operation_id = $1", name
    )
    source = await world.rows.connection.fetchval(
        "SELECT address FROM wallet.wallets WHERE id = $1", payer
    )
    await world.rows.transaction(source, "failed", [name], bump_to=10**9)
    await world.settled("failed")
    assert reason(await world.sweep()) == "NOTHING_DUE"
    state = await world.payouts.paid(WalletId(world.farmer.id))
    assert (state.paid, state.in_flight) == (Fees(), ONE)


async def test_a_row_that_somebody_puts_behind_the_newest_stops_fees(world: Fixture) -> None:
    await world.harvested(3)
    assert await world.sweep() == ONE
    await world.forge(
        "INSERT INTO wallet.payouts SELECT gen_random_uuid(), wallet_id, 2, 'x', amount, "
        "destination, 0, 1, 0, '', 'G', now(), mac FROM wallet.payouts"
    )
    assert reason(await world.sweep()) == "FEES_TAMPERED"
