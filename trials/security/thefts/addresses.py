"""Thefts by payout addresses: one that counts at once, and more than anybody needs."""

import asyncio
import time

from kalepool.wallet.v1 import withdrawal_pb2

from libs.common.errors import PoolError
from libs.common.grpc.client import call
from trials.security.thefts.kinds import Act, Connection, Outcome
from trials.security.thefts.pool import ADDRESSES, TIMEOUT, Farmer, Pool

#: Addresses that are asked for.
_FLOOD = 60
_SWAPPED = """
UPDATE wallet.payout_addresses AS a SET address = $2 FROM wallet.wallets AS w
WHERE w.id = a.wallet_id AND w.farmer_id = $1 AND a.number = 1
"""
_EFFECTIVE = """
UPDATE wallet.payout_addresses AS a SET effective_at = a.registered_at FROM wallet.wallets AS w
WHERE w.id = a.wallet_id AND w.farmer_id = $1
"""
_NUMBERED = """
INSERT INTO wallet.payout_addresses (wallet_id, number, address, effective_at, mac)
SELECT a.wallet_id, a.number + 1, $2, now(), a.mac
FROM wallet.payout_addresses AS a INNER JOIN wallet.wallets AS w ON a.wallet_id = w.id
WHERE w.farmer_id = $1
"""
_COUNTED = """
SELECT count(*) AS rows, count(*) FILTER (WHERE a.address <> '') AS named
FROM wallet.payout_addresses AS a INNER JOIN wallet.wallets AS w ON a.wallet_id = w.id
WHERE w.farmer_id = $1
"""
_RETURNED = """
DELETE FROM wallet.payout_addresses AS a USING wallet.wallets AS w
WHERE w.id = a.wallet_id AND w.farmer_id = $1 AND a.number > 1
"""


async def _set(pool: Pool, farmer: Farmer, address: str) -> str:
    """Have the pooler set an address; return the reason of a refusal."""
    request = withdrawal_pb2.SetPayoutAddressRequest(farmer_id=farmer.id, address=address)
    try:
        await call(pool.pooler.withdrawals.SetPayoutAddress, request, timeout=TIMEOUT)
    except PoolError as error:
        return error.reason
    return ""


async def _counts(pool: Pool, farmer: Farmer, address: str, told: str) -> Outcome:
    """Ask for a payout: does the thief's address count already?"""
    done = await pool.withdraw(farmer)
    # It is the thief's, so the measure tells what it got.
    await asyncio.sleep(1.0)
    words = done if isinstance(done, str) else ""
    got = ["an address that counts at once"] if await pool.kale(address) else []
    return Outcome(got=got, stopped=", ".join(dict.fromkeys(filter(None, (told, words)))))


async def an_address_that_was_there_already(pool: Pool, thief: Connection) -> Outcome:
    """Make the first address the thief's for a moment, so that the same one is no change."""
    farmer, address = await pool.farmer(), await pool.thief()
    await thief.execute(_SWAPPED, farmer.id, address)
    told = await _set(pool, farmer, address)
    await thief.execute(_SWAPPED, farmer.id, farmer.outside)
    return await _counts(pool, farmer, address, told)


def _by(statement: str, *, names: bool) -> Act:
    """Return what has an address count by a statement, after the pooler has asked for it."""

    async def act(pool: Pool, thief: Connection) -> Outcome:
        farmer, address = await pool.farmer(), await pool.thief()
        told = "" if names else await _set(pool, farmer, address)
        await thief.execute(statement, farmer.id, *([address] if names else []))
        outcome = await _counts(pool, farmer, address, told)
        await pool.repair(_RETURNED, farmer.id)
        return outcome

    return act


an_address_without_cooling = _by(_EFFECTIVE, names=False)
an_address_of_a_row = _by(_NUMBERED, names=True)


async def addresses_again_and_again(pool: Pool, thief: Connection) -> Outcome:
    """Change one farmer's address as often as a pooler can."""
    del thief  # a pooler's certificate is all
    farmer, other = await pool.farmer(), await pool.farmer()
    told, began = list[str](), time.monotonic()
    for number in range(_FLOOD):
        told.append(await _set(pool, farmer, (farmer.outside, other.outside, "")[number % 3]))
    took = time.monotonic() - began
    row = await pool.admin.fetchrow(_COUNTED, farmer.id)
    assert row is not None  # noqa: S101  (it counts)
    # To have none is possible at any time: once after each of them.
    got = [f"{row['named']} addresses of {ADDRESSES}"] if row["named"] > ADDRESSES else []
    got += [f"{row['rows']} rows"] if row["rows"] > 2 * ADDRESSES else []
    return Outcome(
        got=got,
        stopped=f"{told.count('PAYOUT_ADDRESS_LIMIT')} of {_FLOOD}: PAYOUT_ADDRESS_LIMIT, "
        f"{took / _FLOOD * 1000:.0f} ms each",
    )
