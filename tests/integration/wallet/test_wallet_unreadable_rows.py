"""Rows that no reader can take: they are told as forged, and hide no other one."""

import asyncpg
import pytest

from services.wallet.store.blocks import BlockStore
from services.wallet.store.tokens import TokenStore
from tests.integration.wallet.test_wallet_order_check import Checked, checked, open_check
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.pool_world import PoolWorld
from tests.support.tokens import new_token
from tests.support.wallet_rows import WalletRows

__all__ = ["checked"]

TOKEN = """
INSERT INTO wallet.tokens (
    id, role, subject, name, methods, is_read_only, secret_hash, request_id, created_by, created_at,
    expires_at, mac
)
SELECT gen_random_uuid(), 'operator', subject, name, {methods}, false, sha256('x'), '', created_by,
    now(), expires_at, mac
FROM wallet.tokens
"""


@pytest.mark.parametrize(
    "methods",
    [
        "ARRAY[NULL]::text[]",
        "ARRAY['/a', NULL]",
        "ARRAY[ARRAY['/a']]",
        "ARRAY[repeat('a', 16385)]",
        "array_fill('a'::text, ARRAY[16385])",
    ],
)
async def test_wallets_role_writes_no_list_of_methods_that_stops_its_readers(
    rows: WalletRows, database: DatabaseAccess, methods: str
) -> None:
    tokens = TokenStore(rows.pool, ORDERS)
    many = tuple(f"/kalepool.wallet.v1.WalletService/{number}" for number in range(32))
    await tokens.create(
        new_token(methods=many), subject="spiffe://x/operator/a", secret_hash=bytes(32), actor="me"
    )
    async with connect(database.dsn("wallet")) as thief:
        with pytest.raises(asyncpg.CheckViolationError):
            await thief.execute(TOKEN.format(methods=methods))
        await thief.execute(TOKEN.format(methods="ARRAY['/a']"))
    assert len(await tokens.tokens(None, before=None, limit=9)) == 2


@pytest.mark.parametrize(
    "change",
    [
        "chain.blocks SET opened_at = 'infinity'",
        "chain.blocks SET closes_at = '10000-01-01Z'",
        "chain.blocks SET opened_at = '0001-01-01Z'",
        "chain.blocks SET staked_total = 'NaN'",
        "chain.blocks SET normalized_total = 'NaN'",
        "chain.head SET close_time = '-infinity'",
        "chain.head SET updated_at = 'infinity'",
    ],
)
async def test_wallets_role_writes_no_block_that_nobody_can_read(
    rows: WalletRows, database: DatabaseAccess, change: str
) -> None:
    """Every service reads them, and every pooler by them."""
    await PoolWorld(rows.connection).head(current=5)
    store = BlockStore(rows.pool, ORDERS)
    async with connect(database.dsn("wallet")) as thief:
        with pytest.raises(asyncpg.CheckViolationError):
            await thief.execute(f"UPDATE {change}")
        # What nodes tell at the most is taken, and read.
        await thief.execute("UPDATE chain.blocks SET closes_at = '9999-12-31 23:59:59Z'")
    block, head = await store.block(5), await store.head()
    assert block is not None
    assert block.closes_at.year == 9999
    assert head is not None
    assert head.current_block == 5


#: What somebody with all rights writes beyond all bounds, by table.
STRANGE = {
    "tokens": (
        "ALTER TABLE wallet.tokens DROP CONSTRAINT tokens_methods_check",
        "UPDATE wallet.tokens SET methods = ARRAY[NULL]::text[]",
    ),
    "approvals": ("UPDATE wallet.approvals SET expires_at = 'infinity'",),
    "pauses": ("UPDATE wallet.pauses SET resumed_at = '20000-01-01Z'",),
    "payout_addresses": (
        "UPDATE wallet.payout_addresses SET registered_at = '294000-01-01Z' WHERE number = 2",
    ),
    "withdrawals": ("UPDATE wallet.withdrawals SET requested_at = '-infinity'",),
}


@pytest.mark.parametrize("table", STRANGE)
async def test_a_row_that_cannot_be_read_is_told_and_hides_no_other_one(
    checked: Checked, table: str
) -> None:
    admin = checked.rows.connection
    for statement in (
        "ALTER DOMAIN wallet.moment DROP CONSTRAINT moment_check",
        "SET session_replication_role = replica",
        *STRANGE[table],
        "UPDATE wallet.wallets SET stake_bps = 1 WHERE kind = 'payer'",
        "RESET session_replication_role",
    ):
        await admin.execute(statement)
    both = {checked.names[table], checked.names["wallets"]}
    for _ in range(2):
        found = await checked.check.step()
        assert {row.name for row in found.forged} == both
    _, keys, fresh = open_check(checked.rows.pool)
    await keys.open()
    assert {row.name for row in (await fresh.look()).forged} == both
    # An operator signs all, but for what wallet cannot have written.
    await checked.check.sign(None, actor="ann")
    (left,) = (await checked.check.step()).forged
    assert (left.name, left.is_readable) == (checked.names[table], False)
