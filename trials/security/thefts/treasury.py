"""Thefts of the treasury's XLM: top-ups of channel accounts, and reserves of new farmers."""

import asyncio

import asyncpg
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import wallet_pb2
from stellar_sdk import Keypair

from libs.common.errors import PoolError
from libs.common.grpc.client import call
from libs.common.ids import new_id
from trials.security.thefts.kinds import Connection, Outcome
from trials.security.thefts.others import OTHERS
from trials.security.thefts.pool import MORE, MORE_IN_ALL, POOLERS, TIMEOUT, Pool

#: What wallet's own role may write: an account that is empty, and ahead of the chain.
EMPTIED = """
UPDATE wallet.accounts AS a
SET xlm_stroops = 0, ledger = (SELECT h.ledger FROM chain.head AS h) + 60
FROM wallet.wallets AS w
WHERE w.id = a.wallet_id AND w.kind = 'channel'
"""
_TOP_UPS = "SELECT count(*) FROM wallet.operations WHERE kind = 'top_up' AND state <> 'failed'"
_CHANNEL = "SELECT address FROM wallet.wallets WHERE kind = 'channel'"
_SPONSORED = "SELECT count(*) FROM wallet.wallets WHERE kind IN ('farmer', 'pooler')"
_POOLER = """
INSERT INTO registry.poolers (id, name, public_key, max_farmers) VALUES ($1, 'x', $2, 1000)
"""
_FARMER = """
INSERT INTO registry.farmers (id, pooler_id, request_id, digest) VALUES ($1, $2, $3, '\\x00')
"""
#: What would take away from what was sponsored.
_FEWER = (
    "DELETE FROM wallet.wallets WHERE kind = 'farmer'",
    "UPDATE wallet.wallets SET created_at = '2021-01-01Z' WHERE kind = 'farmer'",
    "UPDATE wallet.wallets SET pooler_id = gen_random_uuid() WHERE kind = 'farmer'",
    "UPDATE wallet.wallets SET kind = 'channel', farmer_id = NULL, pooler_id = NULL",
)
#: Poolers that are invented, each with so many farmers.
_INVENTED, _OF_EACH = 10, 2
#: Stroops of XLM that a farmer's account costs: reserves, and the fee.
_ACCOUNT = 16_000_000


async def a_channel_that_is_said_to_be_empty(pool: Pool, thief: Connection) -> Outcome:
    """Write ledger after ledger that the channel account has nothing."""
    channel = await pool.admin.fetchval(_CHANNEL)
    before = await pool.xlm(channel)
    for _ in range(10):
        await thief.execute(EMPTIED)
        await asyncio.sleep(0.6)
    more = await pool.xlm(channel) - before
    asked = await pool.admin.fetchval(_TOP_UPS)
    got = [f"{more} stroops for a channel account that has enough"] if more > 0 else []
    got += [f"{asked} top-ups that nobody needs"] if asked else []
    return Outcome(got=got, stopped="the chain was asked")


async def poolers_that_are_invented(pool: Pool, thief: Connection) -> Outcome:
    """Invent poolers in registry's rows, each with a budget and an account of its own."""
    before = await pool.admin.fetchval(_SPONSORED)
    most = pool.made + OTHERS + POOLERS + MORE_IN_ALL
    pool.cost += (most - before) * _ACCOUNT
    for _ in range(_INVENTED):
        pooler = new_id()
        await thief.execute(_POOLER, pooler, Keypair.random().public_key)
        for number in range(_OF_EACH):
            await thief.execute(_FARMER, new_id(), pooler, str(number))
    last, still = before, 0
    while still < 10:  # as long as there come more
        await asyncio.sleep(0.5)
        count = await pool.admin.fetchval(_SPONSORED)
        last, still = count, still + 1 if count == last else 0
    if last == before:
        raise RuntimeError("nobody has asked for an account of an invented pooler")
    # registry goes on asking for them.
    await pool.repair("DELETE FROM registry.farmers WHERE digest = '\\x00'")
    more = last - most
    return Outcome(
        got=[f"reserves of {more} accounts beyond the pool's limit"] if more > 0 else [],
        stopped=f"of {_INVENTED * (1 + _OF_EACH)} accounts {last - before} had room",
    )


async def fewer_farmers_than_there_are(pool: Pool, thief: Connection) -> Outcome:
    """Take back in the rows what was sponsored, and ask for more farmers than the limit."""
    refused = 0
    for statement in _FEWER:
        try:
            await thief.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            refused += 1
    before = await pool.admin.fetchval(
        "SELECT count(*) FROM wallet.wallets WHERE pooler_id = $1", pool.pooler_id
    )
    most = pool.made + MORE
    room = most - before
    pool.cost += max(room, 0) * _ACCOUNT
    told = list[str]()
    for _ in range(max(room, 0) + 2):
        request = registry_pb2.RegisterFarmerRequest(
            request_id=str(new_id()), pooler_id=pool.pooler_id
        )
        try:
            await call(pool.pooler.registry.RegisterFarmer, request, timeout=TIMEOUT)
        except PoolError as error:
            told.append(error.reason)
    reply = await call(
        pool.ann.wallets.ListWallets,
        wallet_pb2.ListWalletsRequest(pooler_id=pool.pooler_id, page_size=1000),
        timeout=TIMEOUT,
    )
    more = len(reply.wallets) - most
    await pool.repair(
        "DELETE FROM registry.farmers AS f WHERE NOT EXISTS "
        "(SELECT 1 FROM wallet.wallets AS w WHERE w.farmer_id = f.id)"
    )
    return Outcome(
        got=[f"reserves of {more} farmers beyond the pooler's limit"] if more > 0 else [],
        stopped=f"the database, {refused} of {len(_FEWER)} times; {', '.join(set(told))}",
    )
