"""Agreements in wallet's tables: kept as given, judged before anybody goes by them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from libs.common.ids import WalletId, new_id
from services.wallet.domain.agreements import Giver, Proof
from services.wallet.domain.errors import AgreementLimitError, AgreementTamperedError
from services.wallet.store.agreements import AgreementStore
from tests.support.agreements import agree
from tests.support.orders import ORDERS
from tests.support.wallet_rows import WalletRows


def store_of(rows: WalletRows) -> AgreementStore:
    return AgreementStore(rows.pool, ORDERS)


async def test_an_agreement_is_kept_as_it_was_given(rows: WalletRows) -> None:
    account, beside = await rows.wallet(), await rows.wallet()
    signed = Giver(given_by="anybody", proof=Proof.SIGNATURE, signature=b"\x01" * 64)
    first = await agree(rows.pool, account.id, terms_version=3, terms_digest=b"\x02" * 32)
    second = await agree(rows.pool, account.id, giver=signed, operator_bps=100, pooler_bps=400)
    other = await agree(rows.pool, beside.id)
    found = await store_of(rows).of_wallets([account.id, beside.id])
    assert found == {account.id: [first, second], beside.id: [other]}
    assert await store_of(rows).of_wallet(WalletId((await rows.wallet()).id)) == []


async def tampered(rows: WalletRows, wallet_id: WalletId) -> None:
    with pytest.raises(AgreementTamperedError):
        await store_of(rows).of_wallet(wallet_id)


async def test_what_wallet_did_not_write_counts_for_nothing(rows: WalletRows) -> None:
    account, beside = await rows.wallet(), await rows.wallet()
    await agree(rows.pool, account.id)
    await agree(rows.pool, beside.id)
    await rows.connection.execute(
        "UPDATE wallet.agreements SET pooler_bps = 3000 WHERE wallet_id = $1", account.id
    )
    await tampered(rows, account.id)
    assert len(await store_of(rows).of_wallet(beside.id)) == 1


async def test_a_row_of_another_farmer_counts_for_nothing(rows: WalletRows) -> None:
    account, beside = await rows.wallet(), await rows.wallet()
    await agree(rows.pool, beside.id, pooler_bps=3_000)
    await rows.connection.execute(
        "UPDATE wallet.agreements SET wallet_id = $1 WHERE wallet_id = $2", account.id, beside.id
    )
    await tampered(rows, account.id)


@pytest.mark.parametrize("number", [1, 2])
async def test_an_agreement_that_was_deleted_is_missed(rows: WalletRows, number: int) -> None:
    """Else whoever deletes the newest has the one before it count again."""
    account = await rows.wallet()
    await agree(rows.pool, account.id, pooler_bps=3_000)
    await agree(rows.pool, account.id, pooler_bps=100)
    await rows.connection.execute(
        "DELETE FROM wallet.agreements WHERE wallet_id = $1 AND number = $2", account.id, number
    )
    await tampered(rows, account.id)


async def test_the_database_refuses_what_would_count_backwards(rows: WalletRows) -> None:
    account, now = await rows.wallet(), datetime.now(UTC)
    await agree(rows.pool, account.id)
    changes: list[dict[str, Any]] = [
        {"effective_at": now - timedelta(days=1)},
        {"registered_at": now - timedelta(days=1)},
        {"registered_at": now + timedelta(days=1), "effective_at": now + timedelta(days=2)},
    ]
    for odd in changes:
        with pytest.raises(asyncpg.CheckViolationError):
            await agree(rows.pool, account.id, **odd)
    assert len(await store_of(rows).of_wallet(account.id)) == 1


async def test_wallet_itself_neither_changes_nor_deletes_an_agreement(rows: WalletRows) -> None:
    account = await rows.wallet()
    await agree(rows.pool, account.id)
    for statement in (
        "UPDATE wallet.agreements SET pooler_bps = 0",
        "DELETE FROM wallet.agreements",
    ):
        async with rows.pool.session() as session:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await session.connection.execute(statement)


async def test_the_pace_of_changes_is_bounded(rows: WalletRows) -> None:
    account, store = await rows.wallet(), store_of(rows)
    await agree(rows.pool, account.id)
    proof = Proof.CERTIFICATE
    async with rows.pool.transaction() as session:
        await store.check_pace(session, account.id, most=2, proof=proof)
        await store.check_pace(session, WalletId(new_id()), most=1, proof=proof)
        with pytest.raises(AgreementLimitError):
            await store.check_pace(session, account.id, most=1, proof=proof)


@pytest.mark.parametrize("given", Proof)
@pytest.mark.parametrize("asked", Proof)
async def test_a_farmers_own_changes_are_counted_apart(
    rows: WalletRows, given: Proof, asked: Proof
) -> None:
    """What it signs, and what it changes by a login, is used up by nobody, and uses nothing up."""
    own = {Proof.SIGNATURE, Proof.OWNER}
    account, store = await rows.wallet(), store_of(rows)
    signature = b"\x01" * 64 if given is Proof.SIGNATURE else None
    await agree(
        rows.pool, account.id, giver=Giver(given_by="one", proof=given, signature=signature)
    )
    is_together = given is asked or not {given, asked} & own
    async with rows.pool.transaction() as session:
        if is_together:
            with pytest.raises(AgreementLimitError):
                await store.check_pace(session, account.id, most=1, proof=asked)
        else:
            await store.check_pace(session, account.id, most=1, proof=asked)
