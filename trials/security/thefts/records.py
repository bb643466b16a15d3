"""Thefts by records in somebody's name, and by a key of rows that was given up."""

import asyncio
import base64
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from uuid import UUID

import asyncpg
from kalepool.wallet.v1 import approval_pb2, order_pb2, withdrawal_pb2
from structlog.testing import capture_logs

from libs.common.clock import SystemClock
from libs.common.db.pool import Database, open_database
from libs.common.db.tls import DatabaseAddress
from libs.common.grpc.client import call
from libs.common.grpc.identity import TRUST_DOMAIN
from libs.common.ids import new_id
from services.wallet.domain.approvals import Approval, ApprovalId
from services.wallet.domain.audit import Act, Action, Head, chained
from services.wallet.engine.order_check import OrderCheck
from services.wallet.engine.row_keys import RowKeys
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.provider import unwrap_one
from services.wallet.keys.row_macs import RowMacs
from services.wallet.store import QUERIES
from services.wallet.store.custody import CustodyStore
from services.wallet.store.keys import KeyStore
from services.wallet.store.order_rows import OrderRowStore
from services.wallet.store.orders import Orders
from trials.security.thefts.kinds import Connection, Outcome
from trials.security.thefts.pool import TIMEOUT, Pool

BOB = f"spiffe://{TRUST_DOMAIN}/operator/bob"
_INVENTED = """
INSERT INTO wallet.audit_log (number, at, actor, action, subject, details, previous, hash, mac)
VALUES ($1, now(), $2, $3, $4, $5, $6, $7, $8)
"""
_OLDER = "UPDATE wallet.row_keys SET created_at = created_at - interval '20 minutes'"
_WRAPPING = "SELECT kek_id, wrapped_key, accepts_from FROM wallet.row_keys WHERE number = 2"
_PUT_BACK = """
UPDATE wallet.row_keys SET kek_id = $1, wrapped_key = $2, accepts_from = $3 WHERE number = 2
"""
_APPROVED = """
INSERT INTO wallet.approvals (
    id, method, digest, request, asked_by, asked_at, expires_at, approved_by, approved_at, mac
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
#: Seconds in which every process has looked for new keys (MEND).
_OPENED = 13.0


async def a_record_in_bobs_name(pool: Pool, thief: Connection) -> Outcome:
    """Have the log say that bob exported a key and approved an order: is that noticed?"""
    genuine = await thief.fetchval("SELECT mac FROM wallet.audit_log ORDER BY number DESC LIMIT 1")
    for action, mac in ((Action.EXPORT_KEY, None), (Action.APPROVE, genuine)):
        await _invent(thief, action, mac)
    found = await pool.verify()
    return Outcome(
        got=["records in bob's name that an operator is told are sound"] if found.is_sound else [],
        stopped="; ".join(found.findings),
    )


async def _invent(thief: Connection, action: Action, mac: bytes | None) -> None:
    """Write a record that follows the last one, as wallet's role may."""
    act = Act(actor=BOB, action=action, subject=f"wallet {new_id()}", details="for my cousin")
    while True:
        async with thief.transaction():
            row = await thief.fetchrow(
                "SELECT number, hash, now() AS moment FROM wallet.audit_head FOR NO KEY UPDATE"
            )
            assert row is not None  # noqa: S101  (there is one)
            head = Head(number=row["number"], hash=row["hash"])
            (made,) = chained([act], head, row["moment"])
            values = (made.actor, made.action, made.subject, made.details, made.previous, made.hash)
            try:
                async with thief.transaction():
                    await thief.execute(_INVENTED, made.number, *values, mac)
            except asyncpg.CheckViolationError:
                continue  # wallet was faster
            return


async def a_key_of_rows_put_back(pool: Pool, thief: Connection) -> Outcome:
    """Put back the wrapping by which the first key counts, which has leaked and was replaced."""
    leaked = await _leaked(pool)
    await pool.agreed("orders.ReplaceRowKey", order_pb2.ReplaceRowKeyRequest())
    wrapping = await thief.fetchrow(_WRAPPING)
    assert wrapping is not None  # noqa: S101  (it was made)
    await _give_up_older(pool)
    await asyncio.sleep(_OPENED)
    await thief.execute(_PUT_BACK, *wrapping)
    await asyncio.sleep(_OPENED)
    farmer, address = await pool.farmer(), await pool.thief()
    wish = withdrawal_pb2.SetPayoutAddressRequest(farmer_id=farmer.id, address=address)
    asked = await pool.waits("withdrawals.SetPayoutAddress", wish)
    await _approve(pool, thief, Orders(RowMacs({1: leaked})), asked)
    waits = await pool.waits("withdrawals.SetPayoutAddress", wish)
    return Outcome(got=[] if waits else ["an order by a key that was given up"])


async def _leaked(pool: Pool) -> bytes:
    """Return the first key of rows, as whoever has read it out has it."""
    async with _wallets(pool) as database:
        (first,) = await KeyStore(database, Orders(RowMacs())).row_keys()
        return await unwrap_one(_provider(pool), first.wrapped)


def _provider(pool: Pool) -> LocalKeyProvider:
    return LocalKeyProvider(base64.b64decode(pool.stack.secrets()["master key"]))


def _wallets(pool: Pool) -> AbstractAsyncContextManager[Database]:
    """Return the database as a wallet process has it."""
    return open_database(
        DatabaseAddress(dsn=pool.stack.service_dsn("wallet")),
        queries=QUERIES,
        pool_size=1,
        timeout_ms=20_000,
        name="thefts",
    )


async def _give_up_older(pool: Pool) -> None:
    """Do at once what wallet does once a minute, as another process of it would."""
    async with _wallets(pool) as database:
        macs = RowMacs()
        orders = Orders(macs)
        keys = RowKeys(_provider(pool), KeyStore(database, orders), macs)
        check = OrderCheck(
            OrderRowStore(database), CustodyStore(database, orders), keys, macs, SystemClock()
        )
        await pool.repair(_OLDER)
        # What earlier thefts have left is told by wallet itself.
        with capture_logs():
            for _ in range(2):
                await keys.open()
                await check.step()


async def _approve(pool: Pool, thief: Connection, orders: Orders, asked: str) -> None:
    """Write that bob has approved what ann asks, under a key of the thief's."""
    request = approval_pb2.ListApprovalsRequest(page_size=1000)
    reply = await call(pool.bob.approvals.ListApprovals, request, timeout=TIMEOUT)
    (shown,) = [one for one in reply.approvals if one.approval_id == asked]
    now = await thief.fetchval("SELECT now()")
    forged = Approval(
        id=ApprovalId(UUID(str(new_id()))),
        method=shown.method,
        digest=shown.digest,
        request=shown.request,
        asked_by=shown.asked_by,
        asked_at=now,
        expires_at=now + timedelta(minutes=5),
        approved_by=BOB,
        approved_at=now,
        used_at=None,
    )
    values = {name: value for name, value in vars(forged).items() if name != "used_at"}
    await thief.execute(_APPROVED, *values.values(), orders.for_approval(forged))
