"""Thefts in a pause: what an operator has stopped is to be signed all the same."""

import asyncio

from kalepool.wallet.v1 import custody_pb2

from libs.common.grpc.client import call
from trials.security.thefts.kinds import Act, Connection, Outcome
from trials.security.thefts.pool import TIMEOUT, WHILE, Pool

#: Seconds until a pause is recorded, if nothing but a row of somebody else's is in the way.
_RECORDED = 15.0
_NEWEST = """
SELECT id, resumed_by, resumed_at, resume_mac FROM wallet.pauses ORDER BY paused_at DESC LIMIT 1
"""
_UNENDED = "UPDATE wallet.pauses SET resumed_by = NULL, resumed_at = NULL WHERE id = $1"
_REENDED = """
UPDATE wallet.pauses SET resumed_by = $2, resumed_at = $3, resume_mac = $4 WHERE id = $1
"""
_ENDED = """
UPDATE wallet.pauses SET resumed_by = 'spiffe://kalepool/operator/ann', resumed_at = now()
WHERE resumed_at IS NULL
"""
_COPIED = """
UPDATE wallet.pauses AS p
SET resumed_by = o.resumed_by, resumed_at = o.resumed_at, resume_mac = o.resume_mac
FROM wallet.pauses AS o
WHERE p.resumed_at IS NULL AND o.resumed_at IS NOT NULL
"""
_OF_ANOTHER = """
UPDATE wallet.pauses SET scope = 'wallet', target = gen_random_uuid() WHERE resumed_at IS NULL
"""
_FUNCTION = "SELECT pg_get_functiondef('wallet.is_paused(uuid, uuid)'::regprocedure)"
_NEVER = """
CREATE OR REPLACE FUNCTION wallet.is_paused(wallet_id uuid, pooler_id uuid) RETURNS boolean
LANGUAGE sql STABLE RETURN false
"""
_TRIGGER = """
CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER nothing BEFORE INSERT ON wallet.pauses
FOR EACH ROW EXECUTE FUNCTION public.nothing()
"""
_NO_TRIGGER = "DROP FUNCTION IF EXISTS public.nothing() CASCADE"
#: A signature of wallet's over something else, of the right length.
_SPOILT = "UPDATE wallet.wallets SET mac = decode(repeat('00', 34), 'hex') WHERE farmer_id = $1"


def _outcome(is_paid: bool, stopped: str) -> Outcome:
    return Outcome(got=["a payout in a pause of everything"] if is_paid else [], stopped=stopped)


async def an_older_end_around_a_newer_pause(pool: Pool, thief: Connection) -> Outcome:
    """Take back an end that an operator once wrote for a moment, and put it there again."""
    farmer = await pool.friend()
    async with pool.paused():
        pass
    await _beyond_triggers(thief)
    old = await thief.fetchrow(_NEWEST)
    assert old is not None  # noqa: S101  (it was recorded)
    await thief.execute("BEGIN")
    await thief.execute(_UNENDED, old["id"])
    order = asyncio.ensure_future(pool.pause())
    await asyncio.sleep(1.0)
    await thief.execute("COMMIT")
    told = await order
    try:
        await thief.execute(_REENDED, *old)
        is_paid = await pool.paid_meanwhile(farmer)
    finally:
        await pool.resume()
    return _outcome(is_paid, f"the pause is a row of its own, recorded: {told.is_recorded}")


async def _beyond_triggers(thief: Connection) -> None:
    """Switch triggers off, where the thief may."""
    if await thief.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        await thief.execute("SET session_replication_role = replica")


def _by(statement: str) -> Act:
    """Return what changes the rows of a pause in force by a statement."""

    async def act(pool: Pool, thief: Connection) -> Outcome:
        farmer = await pool.friend()
        await _beyond_triggers(thief)
        async with pool.paused():
            await thief.execute(statement)
            is_paid = await pool.paid_meanwhile(farmer)
        return _outcome(is_paid, "wallet knows the pause by itself")

    return act


an_end_in_an_operators_name = _by(_ENDED)
the_end_of_another_pause = _by(_COPIED)
a_pause_of_somebody_else = _by(_OF_ANOTHER)
a_pause_that_is_deleted = _by("DELETE FROM wallet.pauses WHERE resumed_at IS NULL")


async def a_function_that_says_no(pool: Pool, thief: Connection) -> Outcome:
    """Replace the function that says what is paused by one that says no."""
    farmer = await pool.friend()
    body = await pool.admin.fetchval(_FUNCTION)
    async with pool.paused():
        try:
            await thief.execute(_NEVER)
            is_paid = await pool.paid_meanwhile(farmer)
        finally:
            await pool.admin.execute(body)
    return _outcome(is_paid, "wallet does not ask the database")


async def a_trigger_that_drops_pauses(pool: Pool, thief: Connection) -> Outcome:
    """Have the row of a pause go nowhere: is it told as recorded?"""
    farmer = await pool.friend()
    try:
        await thief.execute(_TRIGGER)
        told = await pool.pause()
        is_paid = await pool.paid_meanwhile(farmer)
    finally:
        await pool.admin.execute(_NO_TRIGGER)
    await pool.resume()
    got = ["a pause that is told as recorded, and is nowhere"] if told.is_recorded else []
    rest = _outcome(is_paid, "told as not recorded, and in force in this process")
    return Outcome(got=[*got, *rest.got], stopped=rest.stopped)


async def a_spoilt_row_before_a_pause(pool: Pool, thief: Connection) -> Outcome:
    """Spoil a farmer's row before its pause: does a later pause of everything wait?"""
    farmer = await pool.farmer()
    mac = await pool.admin.fetchval(
        "SELECT mac FROM wallet.wallets WHERE farmer_id = $1", farmer.id
    )
    await thief.execute(_SPOILT, farmer.id)
    reach = custody_pb2.PauseReach(farmer_id=farmer.id)
    try:
        await pool.pause(reach)
        async with pool.paused():
            is_recorded = await _is_recorded(pool)
    finally:
        await pool.repair("UPDATE wallet.wallets SET mac = $2 WHERE farmer_id = $1", farmer.id, mac)
    await pool.resume(reach)
    return Outcome(
        got=[] if is_recorded else ["a pause of everything that other processes are not told of"],
        stopped="each pause is recorded by itself",
    )


async def _is_recorded(pool: Pool) -> bool:
    request = custody_pb2.ListPausesRequest()
    for _ in range(int(_RECORDED * 5)):
        reply = await call(pool.ann.custody.ListPauses, request, timeout=TIMEOUT)
        if any(one.scope == "everything" and not one.is_not_recorded for one in reply.pauses):
            return True
        await asyncio.sleep(0.2)
    return False


async def a_lock_on_the_pauses(pool: Pool, thief: Connection) -> Outcome:
    """Hold the turn of whoever adds to the log by wallet's own password: is a pause in force?"""
    farmer = await pool.friend()
    async with thief.transaction():
        await thief.execute("SELECT 1 FROM wallet.audit_head FOR NO KEY UPDATE")
        told = await pool.pause()
        is_paid = await pool.paid_meanwhile(farmer)
    await asyncio.sleep(WHILE)
    await pool.resume()
    outcome = _outcome(is_paid, "in force from memory, recorded when it is its turn")
    got = ["a pause that is told as recorded, and is not"] if told.is_recorded else []
    return Outcome(got=[*got, *outcome.got], stopped=outcome.stopped)
