"""Thefts by what the database says: functions and views that tell something else than the rows."""

from uuid import UUID

from trials.security.thefts.kinds import Act, Connection, Outcome
from trials.security.thefts.pool import WHILE, Farmer, Pool

#: Where a farmer's money goes, who carries payouts, whether a moment has come.
_ADDRESS = """
CREATE OR REPLACE FUNCTION wallet.payout_address(wallet_id uuid, since timestamptz) RETURNS text
LANGUAGE sql STABLE RETURN '{address}'
"""
_PAYERS = """
CREATE OR REPLACE FUNCTION wallet.free_payers() RETURNS TABLE (id uuid, place bigint, count bigint)
LANGUAGE sql STABLE BEGIN ATOMIC
SELECT w.id, 1::bigint, 1::bigint FROM wallet.wallets AS w WHERE w.kind = 'treasury';
END
"""
_ACCOUNTS = """
CREATE OR REPLACE VIEW wallet.wallets_with_accounts AS
SELECT
    v.id, v.kind, v.farmer_id, v.pooler_id,
    CASE WHEN v.farmer_id = '{farmer}' THEN '{address}'::varchar(56) ELSE v.address END AS address,
    v.is_ready, v.is_funded, v.has_trustline, v.xlm_stroops, v.kale_stroops, v.reserves, v.ledger,
    v.created_at, v.stake_bps, v.mac
FROM ({view}) AS v
"""
_GIVEN_UP = """
UPDATE wallet.operations AS o SET state = 'failed', reason = 'REFUSED', settled_at = now()
FROM wallet.wallets AS w
WHERE w.id = o.wallet_id AND w.farmer_id = $1 AND o.kind = 'withdraw' AND o.state = 'queued'
"""
_FUNCTION = "SELECT pg_get_functiondef('{name}'::regprocedure)"
_VIEW = "SELECT pg_get_viewdef('wallet.wallets_with_accounts'::regclass)"


def _function(name: str, statement: str) -> Act:
    """Return what replaces a function, and asks for a payout then."""

    async def act(pool: Pool, thief: Connection) -> Outcome:
        farmer, address = await pool.farmer(), await pool.thief()
        body = await pool.admin.fetchval(_FUNCTION.format(name=name))
        await thief.execute(statement.format(address=address))
        try:
            told = await _payout(pool, farmer)
        finally:
            await pool.admin.execute(body)
        return Outcome(stopped=told)

    return act


an_address_by_a_function = _function("wallet.payout_address(uuid, timestamptz)", _ADDRESS)
a_payer_by_a_function = _function("wallet.free_payers()", _PAYERS)


async def an_account_by_a_view(pool: Pool, thief: Connection) -> Outcome:
    """Replace the view of accounts by one where the thief's is a farmer's."""
    farmer, address = await pool.farmer(), await pool.thief()
    view = await pool.admin.fetchval(_VIEW)
    inner = view.rstrip().rstrip(";")
    await thief.execute(_ACCOUNTS.format(farmer=farmer.id, address=address, view=inner))
    try:
        told = await _payout(pool, farmer)
    finally:
        await pool.admin.execute(f"CREATE OR REPLACE VIEW wallet.wallets_with_accounts AS {inner}")
    return Outcome(stopped=told)


async def _payout(pool: Pool, farmer: Farmer) -> str:
    """Ask for a payout; return what became of it: the measure tells where it went."""
    done = await pool.withdraw(farmer, 1000, timeout=WHILE)
    # What has a payer that is none waits for ever.
    await pool.repair(_GIVEN_UP, UUID(farmer.id))
    if isinstance(done, str):
        return done
    return done.operation.error_message or "paid as it was asked for"
