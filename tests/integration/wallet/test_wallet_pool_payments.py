"""Payments from a pooler's custodial account: never more than it received, whatever rows say."""

from dataclasses import dataclass

import pytest

from libs.common.errors import FailedPreconditionError
from libs.common.ids import OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.audit import Findings
from services.wallet.domain.fees_due import FeeMark, Fees
from services.wallet.domain.model import Ending, OperationState
from services.wallet.domain.payouts import PoolerAccount, Refusal, WantedPayment
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.seal import seal_new_key
from services.wallet.store.agreements import AgreementStore
from services.wallet.store.audit_check import AuditCheck
from services.wallet.store.custody import CustodyStore
from services.wallet.store.fee_marks import FeeMarkStore
from services.wallet.store.payout_rows import fee_mark_row
from services.wallet.store.payouts import PayoutStore
from services.wallet.store.pool_payments import PoolPaymentStore
from services.wallet.store.wallets import WalletStore
from services.wallet.store.withdrawals import WithdrawalStore
from tests.support.orders import ORDERS
from tests.support.wallet_rows import WalletRows

OWN = "GPOOLER"


@dataclass(frozen=True, kw_only=True)
class Fixture:
    """A pooler's account that received fees, and the store that pays from it."""

    rows: WalletRows
    store: PoolPaymentStore
    payouts: PayoutStore
    account: PoolerAccount

    async def miners(self, request_id: str, **amounts: int) -> dict[str, str]:
        """Ask for payments to miners; return what became of each, by address."""
        wanted = [
            WantedPayment(id=OperationId(new_id()), destination=place, amount=amount, is_miner=True)
            for place, amount in amounts.items()
        ]
        found = await self.store.record_miners(request_id, self.account, wanted, actor="harvest")
        return {
            place: item.reason if isinstance(item, Refusal) else "" for place, item in found.items()
        }

    async def pooler(self, request_id: str, amount: int) -> str:
        """Ask for a payment to the pooler; return why it is refused, if it is."""
        wanted = WantedPayment(
            id=OperationId(new_id()), destination="", amount=amount, is_miner=False
        )
        found = await self.store.record_pooler(request_id, self.account, wanted, actor="harvest")
        return found.reason if isinstance(found, Refusal) else ""

    async def findings(self) -> list[str]:
        """Hold rows and log against one another."""
        findings = Findings()
        check = AuditCheck(self.rows.pool)
        await check.rows(findings)
        async for page in CustodyStore(self.rows.pool, ORDERS).records():
            await check.records(page, findings)
        return [text for text in findings.words() if "pooler" in text or "tells of" in text]

    async def forge(self, statement: str) -> None:
        """Do something with all rights."""
        await self.rows.connection.execute("SET session_replication_role = replica")
        await self.rows.connection.execute(statement)
        await self.rows.connection.execute("RESET session_replication_role")


@pytest.fixture
async def pool(rows: WalletRows) -> Fixture:
    marks = FeeMarkStore(rows.pool, ORDERS, AgreementStore(rows.pool, ORDERS))
    withdrawals = WithdrawalStore(rows.pool, ORDERS)
    payouts = PayoutStore(rows.pool, ORDERS, withdrawals=withdrawals, marks=marks)
    store = PoolPaymentStore(
        rows.pool, ORDERS, payouts=payouts, withdrawals=withdrawals, marks=marks
    )
    pooler_id = PoolerId(new_id())
    sealed = await seal_new_key(LocalKeyProvider(bytes([7]) * 32), WalletId(new_id()))
    await WalletStore(rows.pool, ORDERS).insert_pooler(
        sealed, pooler_id=pooler_id, onboarding_id=OperationId(new_id()), address=OWN
    )
    await rows.wallet("payer")
    farmer = await rows.wallet(pooler=pooler_id)
    await received(rows, farmer.id, Fees(pooler=100, miners=50))
    account = (await payouts.poolers([pooler_id]))[pooler_id]
    return Fixture(rows=rows, store=store, payouts=payouts, account=account)


async def received(rows: WalletRows, wallet_id: object, fees: Fees) -> None:
    """Write a payout that was made, by a mark that wallet sealed."""
    mark = FeeMark(accrued=fees, paid=fees)
    row = {
        "wallet_id": wallet_id,
        "until_block": -1,
        "blocks": mark.packed_blocks,
        "pooler": fees.pooler,
        "operator": 0,
        "miners": fees.miners,
        "until_number": 0,
        "paid_pooler": fees.pooler,
        "paid_operator": 0,
        "paid_miners": fees.miners,
    }
    await rows.insert("wallet.fee_marks", **row, mac=ORDERS.mac(fee_mark_row(row)))


async def test_miners_and_pooler_get_what_is_theirs(pool: Fixture) -> None:
    assert await pool.miners("one", GA=30, GB=21, GC=20) == {
        "GA": "",
        "GB": "MORE_THAN_DUE",
        "GC": "",
    }
    # The same request is the same payments, and what was refused may be asked for again.
    assert await pool.miners("one", GA=30, GB=1) == {"GA": "", "GB": "MORE_THAN_DUE"}
    with pytest.raises(FailedPreconditionError):
        await pool.miners("one", GA=31)
    assert await pool.pooler("one", 101) == "MORE_THAN_DUE"
    assert await pool.pooler("one", 60) == ""
    assert await pool.pooler("one", 60) == ""
    assert await pool.pooler("two", 41) == "MORE_THAN_DUE"
    assert await pool.pooler("two", 40) == ""
    paid = await pool.store.paid(pool.account.wallet_id)
    assert paid.in_flight == Fees(pooler=100, miners=50)
    assert await pool.findings() == []


async def test_what_failed_may_be_paid_again(pool: Fixture) -> None:
    assert await pool.miners("one", GA=50) == {"GA": ""}
    name = await pool.rows.connection.fetchval("SELECT operation_id FROM wallet.pool_payments")
    mac = ORDERS.for_end(Ending(operation_id=name, state=OperationState.FAILED))
    await pool.rows.connection.execute(
        "UPDATE wallet.operations SET state = 'failed', reason = 'REFUSED', settled_at = now(), "
        "end_mac = $2 WHERE id = $1",
        name,
        mac,
    )
    assert await pool.miners("two", GA=50) == {"GA": ""}
    assert await pool.miners("three", GA=1) == {"GA": "MORE_THAN_DUE"}


@pytest.mark.parametrize(
    "forgery",
    [
        "DELETE FROM wallet.pool_payments",
        "DELETE FROM wallet.pool_payments WHERE number = 2",
        "UPDATE wallet.pool_payments SET amount = 1",
        "UPDATE wallet.pool_payments SET is_miner = false",
        "UPDATE wallet.operations SET state = 'failed', reason = 'X', settled_at = now() "
        "WHERE kind = 'pool_payment'",
        "UPDATE wallet.fee_marks SET paid_miners = 10000, paid_pooler = 10000",
        "UPDATE wallet.wallets SET kind = 'farmer', farmer_id = gen_random_uuid() "
        "WHERE kind = 'pooler'",
    ],
)
async def test_no_rewritten_row_pays_more(pool: Fixture, forgery: str) -> None:
    assert await pool.miners("one", GA=30, GB=20) == {"GA": "", "GB": ""}
    await pool.forge(forgery)
    try:
        told = await pool.miners("two", GA=1)
    except FailedPreconditionError as error:
        told = {"GA": error.reason}
    assert told["GA"] in {"MORE_THAN_DUE", "FEES_TAMPERED"}


async def test_another_row_than_the_log_tells_of_is_found(pool: Fixture) -> None:
    assert await pool.miners("one", GA=30, GB=20) == {"GA": "", "GB": ""}
    assert await pool.findings() == []
    await pool.forge("UPDATE wallet.pool_payments SET destination = 'GTHIEF' WHERE number = 1")
    assert len(await pool.findings()) == 1
    await pool.forge("DELETE FROM wallet.audit_log WHERE action = 'pay_from_pooler'")
    assert len(await pool.findings()) == 2
