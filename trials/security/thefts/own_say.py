"""Thefts of what farmers have a say in: where their money goes, who speaks for them, and fees."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import agreement_pb2, withdrawal_pb2
from stellar_sdk import Keypair

from libs.common.errors import PoolError
from libs.common.grpc.client import call
from libs.common.ids import new_id
from trials.security.thefts.kinds import Connection, Outcome
from trials.security.thefts.others import TERMS, Owned
from trials.security.thefts.pool import KALE, TIMEOUT, Pool

#: All that somebody wants, and the fees that nobody takes.
_ALL: dict[str, Any]
_MOST: dict[str, Any]
_ALL, _MOST = {**TERMS, "pooler_fee": "1"}, {**TERMS, "pooler_fee": "0.3"}
#: What registry's, and harvest's, own roles may write of farmers: what there is of it.
_REWRITTEN = (
    "UPDATE registry.farmers SET payout_wallet_address = $1",
    "UPDATE registry.farmers SET owner_account = $1",
    "UPDATE registry.farmers SET terms_version = 9, proof = $1",
    "UPDATE registry.poolers SET public_key = $1",
    "UPDATE harvest.balances SET current_balance = 9223372036854775807 WHERE $1 <> ''",
    "INSERT INTO wallet.pooler_marks (pooler_id, number, farms_for_itself, effective_at) "
    "SELECT id, 1, true, now() FROM registry.poolers WHERE $1 <> ''",
    "UPDATE wallet.payout_addresses SET address = $1",
    "UPDATE wallet.owner_accounts SET address = $1",
)
_TERMS_OF_ALL = """
INSERT INTO registry.terms (
    pooler_id, version, stake_bps, pooler_bps, miners_bps, payout_threshold,
    payout_interval_seconds, harvest_blocks, text, digest, published_by
)
SELECT $1, max(version) + 1, 10000, 10000, 0, 0, 0, 1, '', sha256(''), 'x'
FROM registry.terms WHERE pooler_id = $1
"""
#: Rows of another farmer's, or of one's own making, with an authenticator that is somebody's.
_OF_ANOTHER = """
INSERT INTO wallet.owner_accounts (wallet_id, number, address, effective_at, mac)
SELECT w.id, 2, $2, now(), o.mac
FROM wallet.owner_accounts AS o INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
WHERE w.farmer_id = $1
"""
_MARKED = """
INSERT INTO wallet.pooler_marks (pooler_id, number, farms_for_itself, effective_at, mac)
SELECT $1, 1, true, now(), m.mac FROM wallet.pooler_marks AS m LIMIT 1
"""
_DEARER = """
INSERT INTO wallet.agreements (
    wallet_id, number, stake_bps, pooler_bps, operator_bps, miners_bps, payout_threshold,
    payout_interval_seconds, harvest_blocks, given_by, proof, terms_version, terms_digest,
    effective_at, mac
)
SELECT
    a.wallet_id, a.number + 1, 10000, 5000, 0, 0, 0, 0, 1, a.given_by, a.proof, 0, a.terms_digest,
    now(), a.mac
FROM wallet.agreements AS a INNER JOIN wallet.wallets AS w ON a.wallet_id = w.id
WHERE w.farmer_id = $1
"""
_RETURNED = (
    "DELETE FROM wallet.pooler_marks WHERE pooler_id = $1",
    "DELETE FROM wallet.owner_accounts AS o USING wallet.wallets AS w "
    "WHERE o.wallet_id = w.id AND o.number > 1 AND w.pooler_id = $1",
    "DELETE FROM wallet.agreements AS a USING wallet.wallets AS w "
    "WHERE a.wallet_id = w.id AND a.proof = 'certificate' AND a.number > 1 AND w.pooler_id = $1",
)
_BLOCK = """
INSERT INTO chain.blocks (
    index, opened_ledger, opened_at, closes_at, entropy, min_gap, max_gap, min_zeros, max_zeros,
    min_stake, max_stake, staked_total, normalized_total, expires_ledger, updated_ledger
)
VALUES ($1, 1, $2, $2, $3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
"""


async def _victim(pool: Pool) -> tuple[Owned, str]:
    """Return a farmer of a pooler that farms for others, with KALE, and the thief's address."""
    farmer = pool.others.stock.pop()
    await pool.give(farmer.address, 10 * KALE)
    return farmer, await pool.thief()


async def _reason(asked: Awaitable[Any]) -> str:
    """Return why a call was refused; empty when it was not."""
    try:
        await asked
    except PoolError as error:
        return error.reason
    return ""


def _address(pool: Pool, farmer: Owned, address: str) -> Awaitable[Any]:
    request = withdrawal_pb2.SetPayoutAddressRequest(farmer_id=farmer.id, address=address)
    return call(pool.others.pooler.withdrawals.SetPayoutAddress, request, timeout=TIMEOUT)


async def _ended(pool: Pool, farmer: Owned, told: Sequence[str]) -> Outcome:
    """Have the pooler withdraw; the money has to go where the farmer has signed, or stay."""
    request = withdrawal_pb2.GetPayoutAddressRequest(farmer_id=farmer.id)
    try:
        found = await call(
            pool.others.pooler.withdrawals.GetPayoutAddress, request, timeout=TIMEOUT
        )
        named = {found.address, found.pending_address} - {"", farmer.outside}
    except PoolError as error:
        named, told = set[str](), [*told, error.reason]
    words = await pool.others.withdraw(farmer)
    got = ["an address that waits, or counts"] if named else []
    return Outcome(got=got, stopped=", ".join(dict.fromkeys(filter(None, (*told, words)))))


async def an_address_of_ones_own(pool: Pool, thief: Connection) -> Outcome:
    """Set the thief's address for a farmer, by all that a pooler may call."""
    del thief  # a pooler's certificate is all
    farmer, address = await _victim(pool)
    told = [await _reason(_address(pool, farmer, address))]
    note = registry_pb2.UpdateFarmerRequest(farmer_id=farmer.id, payout_wallet_address=address)
    stubs = pool.others.pooler
    told.append(await _reason(call(stubs.registry.UpdateFarmer, note, timeout=TIMEOUT)))
    mark = agreement_pb2.MarkPoolerRequest(pooler_id=pool.others.pooler_id, farms_for_itself=True)
    told.append(await _reason(call(stubs.agreements.MarkPooler, mark, timeout=TIMEOUT)))
    key = Keypair.random()
    owner = agreement_pb2.SetOwnerAccountRequest(farmer_id=farmer.id, owner_account=key.public_key)
    told.append(await _reason(call(stubs.agreements.SetOwnerAccount, owner, timeout=TIMEOUT)))
    wishes = (
        agreement_pb2.Wish(payout_address=address),
        agreement_pb2.Wish(owner_account=key.public_key),
    )
    told += [await _reason(pool.others.sign(farmer, wish, key=key)) for wish in wishes]
    return await _ended(pool, farmer, told)


async def an_address_changed_twice(pool: Pool, thief: Connection) -> Outcome:
    """Stop the payouts, name the thief, the farmer, the thief; and bring old signatures."""
    del thief  # a pooler's certificate is all
    farmer, address = await _victim(pool)
    # The farmer was paid to an address of the thief's once, by its own word, and left it.
    signed = await pool.others.sign(farmer, agreement_pb2.Wish(payout_address=address))
    await pool.others.sign(farmer, agreement_pb2.Wish(payout_address=farmer.outside))
    names = (address, farmer.outside, address, "", address)
    told = [await _reason(_address(pool, farmer, name)) for name in names]
    again = agreement_pb2.Wish(payout_address=address)
    told.append(await _reason(pool.others.bring(farmer, again, signed)))
    return await _ended(pool, farmer, told)


async def an_address_taken_away(pool: Pool, thief: Connection) -> Outcome:
    """Take a farmer's address away, so that it waits for its own again each time."""
    del thief  # a pooler's certificate is all
    farmer, _ = await _victim(pool)
    told = await _reason(_address(pool, farmer, ""))
    request = withdrawal_pb2.GetPayoutAddressRequest(farmer_id=farmer.id)
    found = await call(pool.others.pooler.withdrawals.GetPayoutAddress, request, timeout=TIMEOUT)
    got = [] if found.address == farmer.outside else ["a farmer that is not paid"]
    return Outcome(got=got, stopped=told)


async def tables_of_a_service(pool: Pool, thief: Connection) -> Outcome:
    """Rewrite all that a service's role may write, and have the pooler set the address."""
    farmer, address = await _victim(pool)
    refused = 0
    for statement in _REWRITTEN:
        try:
            await thief.execute(statement, address)
        except asyncpg.PostgresError:
            refused += 1
    told = [f"the database, {refused} of {len(_REWRITTEN)} times"]
    names = (address, farmer.outside, address)
    told += [await _reason(_address(pool, farmer, name)) for name in names]
    outcome = await _ended(pool, farmer, told)
    await pool.repair("UPDATE registry.farmers SET payout_wallet_address = ''")
    return outcome


async def a_fee_of_everything(pool: Pool, thief: Connection) -> Outcome:
    """Ask for a fee of 100 %: by the pooler, an operator, the farmer, and registry's rows."""
    farmer, _ = await _victim(pool)
    stubs, pooler_id = pool.others.pooler, pool.others.pooler_id
    asked = agreement_pb2.SetAgreementRequest(
        farmer_id=farmer.id, terms=agreement_pb2.AgreedTerms(**_ALL)
    )
    offer = registry_pb2.PublishTermsRequest(pooler_id=pooler_id, **_ALL)
    wish = agreement_pb2.Wish(terms=agreement_pb2.TermsWish(terms=asked.terms))
    told = [
        await _reason(call(stubs.agreements.SetAgreement, asked, timeout=TIMEOUT)),
        await _reason(pool.agreed("agreements.SetAgreement", asked)),
        await _reason(call(stubs.registry.PublishTerms, offer, timeout=TIMEOUT)),
        await _reason(pool.others.sign(farmer, wish)),
    ]
    await thief.execute(_TERMS_OF_ALL, UUID(pooler_id))
    join = registry_pb2.RegisterFarmerRequest(request_id=str(new_id()), pooler_id=pooler_id)
    told.append(await _reason(call(stubs.registry.RegisterFarmer, join, timeout=TIMEOUT)))
    await pool.repair("DELETE FROM registry.terms WHERE pooler_bps = 10000")
    highest = await pool.admin.fetchval("SELECT max(pooler_bps) FROM wallet.agreements")
    got = [f"a fee of {highest} ten-thousandths"] if highest > 500 else []
    return Outcome(got=got, stopped=", ".join(dict.fromkeys(filter(None, told))))


async def a_fee_of_nothing(pool: Pool, thief: Connection) -> Outcome:
    """Sign a fee of nothing as the farmer itself, and all of it for the miners."""
    del thief  # an owner account is all
    farmer, _ = await _victim(pool)
    told = list[str]()
    for terms in ({**TERMS, "pooler_fee": "0"}, {**TERMS, "miners_part": "1"}):
        asked = agreement_pb2.TermsWish(terms=agreement_pb2.AgreedTerms(**terms))
        told.append(await _reason(pool.others.sign(farmer, agreement_pb2.Wish(terms=asked))))
    got = ["a fee that nobody gave"] if "" in told else []
    return Outcome(got=got, stopped=", ".join(dict.fromkeys(told)))


async def an_agreement_in_mid_block(pool: Pool, thief: Connection) -> Outcome:
    """Raise the fee while a block is open: for that block, and for those of the next days."""
    farmer, _ = await _victim(pool)
    now, first = datetime.now(UTC), 2_000_000_000
    await pool.admin.execute(_BLOCK, first, now - timedelta(seconds=2), bytes(32))
    asked = agreement_pb2.SetAgreementRequest(
        farmer_id=farmer.id, terms=agreement_pb2.AgreedTerms(**_MOST)
    )
    stubs = pool.others.pooler
    told = [await _reason(call(stubs.agreements.SetAgreement, asked, timeout=TIMEOUT))]
    for number, later in enumerate((timedelta(minutes=5), timedelta(days=6)), start=1):
        await pool.admin.execute(_BLOCK, first + number, now + later, bytes(32))
    # By the words of who books: harvest's own function.
    fees = [
        await thief.fetchval(
            "SELECT pooler_bps FROM harvest.terms($1, $2)", UUID(farmer.id), first + number
        )
        for number in range(3)
    ]
    await pool.repair("DELETE FROM chain.blocks WHERE index >= $1", first)
    got = [] if fees == [500] * 3 else [f"fees of {fees} ten-thousandths"]
    return Outcome(got=got, stopped=", ".join([*filter(None, told), "the notice period"]))


def _by(statement: str, subject: Callable[[Pool, Owned], object]) -> Any:
    """Return what writes a row by a statement, and then acts as if wallet had."""

    async def act(pool: Pool, thief: Connection) -> Outcome:
        farmer, address = await _victim(pool)
        key, values = Keypair.random(), [subject(pool, farmer)]
        values += [key.public_key] if "$2" in statement else []
        await thief.execute(statement, *values)
        told = [await _reason(_address(pool, farmer, address))]
        wish = agreement_pb2.Wish(payout_address=address)
        told.append(await _reason(pool.others.sign(farmer, wish, key=key)))
        outcome = await _ended(pool, farmer, told)
        for repair in _RETURNED:
            await pool.repair(repair, UUID(pool.others.pooler_id))
        return outcome

    return act


def _farmer(_: Pool, farmer: Owned) -> object:
    return UUID(farmer.id)


def _pooler(pool: Pool, _: Owned) -> object:
    return UUID(pool.others.pooler_id)


an_owner_account_of_a_row = _by(_OF_ANOTHER, _farmer)
a_mark_of_a_row = _by(_MARKED, _pooler)


async def an_agreement_of_a_row(pool: Pool, thief: Connection) -> Outcome:
    """Write a dearer agreement beside the honest one: nobody goes by it."""
    farmer, _ = await _victim(pool)
    await thief.execute(_DEARER, UUID(farmer.id))
    request = agreement_pb2.ListAgreementsRequest(farmer_id=farmer.id)
    told = await _reason(call(pool.ann.agreements.ListAgreements, request, timeout=TIMEOUT))
    for repair in _RETURNED:
        await pool.repair(repair, UUID(pool.others.pooler_id))
    return Outcome(got=[] if told else ["an agreement that wallet goes by"], stopped=told)
