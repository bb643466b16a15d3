"""Thefts of payments: transactions, what was shown, what was made, and when it was made."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
from kalepool.wallet.v1 import custody_pb2, wallet_pb2, withdrawal_pb2
from stellar_sdk import (
    Address,
    FeeBumpTransaction,
    FeeBumpTransactionEnvelope,
    Keypair,
    SorobanDataBuilder,
    StrKey,
    TransactionBuilder,
    TransactionEnvelope,
    xdr,
)

from libs.common.grpc.client import call
from libs.common.ids import new_id
from localnet.network import Network
from trials.security.thefts.kinds import Act, Connection, Outcome
from trials.security.thefts.pool import DAILY, KALE, TIMEOUT, WHILE, Farmer, Pool

#: What the thief would have the treasury bid, in stroops: by the row, all of it.
_BID = 10**9
_TRANSACTION = """
INSERT INTO wallet.transactions (
    id, source, sequence, hash, lookup_hash, envelope, max_time, fee_bid, signed_ledger
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, (SELECT ledger - 10 FROM chain.head))
"""
#: Has a payer be shown at the target of the envelopes that carried an operation ($1).
SHOWN = """
INSERT INTO wallet.shown_targets (payer_id, target)
SELECT p.payer_id, max(t.bump_to) FROM wallet.transactions AS t
INNER JOIN wallet.transaction_operations AS c ON t.id = c.transaction_id
INNER JOIN wallet.payments AS p ON c.operation_id = p.operation_id
WHERE c.operation_id = $1 GROUP BY 1
"""
_QUEUED = """
UPDATE wallet.operations
SET state = 'queued', settled_at = NULL, ledger = NULL, transaction_id = NULL
WHERE id = $1
"""
_UNLINKED = "DELETE FROM wallet.transaction_operations WHERE operation_id = $1"
_UNSIGNED = """
WITH gone AS (
    DELETE FROM wallet.transaction_operations WHERE operation_id = $1 RETURNING transaction_id
)
DELETE FROM wallet.transactions WHERE id IN (SELECT transaction_id FROM gone)
"""
_ENDED = """
UPDATE wallet.operations SET state = 'succeeded', settled_at = '2021-01-01', ledger = 1
WHERE kind = 'withdraw' AND state IN ('signed', 'sent')
"""
#: Seconds in which all payers are looked at: every 12 ledgers.
_ALL_PAYERS = 7.0
#: What wallet does not follow is noticed.
_FOREIGN = "transaction not written by wallet"


# Transactions ---------------------------------------------------------------------------------


async def rich(pool: Pool) -> Keypair:
    """Return the key of an account of the thief's own, with XLM."""
    key = Keypair.random()
    query = {"addr": key.public_key}
    async with pool.session.get(f"{pool.stack.rpc_url}/friendbot", params=query) as reply:
        reply.raise_for_status()
    return key


async def _bid_for(pool: Pool, thief: Connection, inner: TransactionEnvelope, sent: Any) -> Outcome:
    """Write a transaction as if wallet had signed it; see whether the treasury raises its bid."""
    source, number = inner.transaction.source.account_id, inner.transaction.sequence
    bounds: Any = inner.transaction.preconditions
    since, name = pool.log_size, new_id()
    hashes = sent.hash_hex(), inner.hash_hex()
    last = bounds.time_bounds.max_time
    await thief.execute(_TRANSACTION, name, source, number, *hashes, sent.to_xdr(), last, _BID)
    is_seen = await pool.is_noticed(_FOREIGN, since)
    await asyncio.sleep(WHILE)
    taken = (await pool.rpc.load_account(source)).sequence >= number
    await pool.repair("DELETE FROM wallet.transactions WHERE id = $1", name)
    return Outcome(
        got=["a ledger took the thief's transaction"] if taken else [],
        stopped="" if is_seen else "nobody followed it",
    )


async def a_transaction_of_the_thiefs(pool: Pool, thief: Connection) -> Outcome:
    """Write 100 operations that bid far too little to be taken."""
    key = await rich(pool)
    source = await pool.rpc.load_account(key.public_key)
    builder = TransactionBuilder(source, Network().passphrase, base_fee=1)
    for number in range(100):
        builder.append_manage_data_op(f"thief {number}", b"paid by the treasury")
    envelope = builder.set_timeout(300).build()
    envelope.sign(key)
    return await _bid_for(pool, thief, envelope, envelope)


async def the_rent_of_the_thiefs_choice(pool: Pool, thief: Connection) -> Outcome:
    """Write a call whose resources cost more than any cap, in a fee bump that bids too little."""
    key, passphrase = await rich(pool), Network().passphrase
    source = await pool.rpc.load_account(key.public_key)
    builder = TransactionBuilder(source, passphrase, base_fee=100)
    builder.append_extend_footprint_ttl_op(extend_to=100_000)
    data: Any = SorobanDataBuilder
    footprint = data().set_read_only([await _farm_code(pool)]).build()
    inner = await pool.rpc.prepare_transaction(
        builder.set_soroban_data(footprint).set_timeout(300).build()
    )
    resources: Any = inner.transaction.soroban_data
    inner.transaction.fee = resources.resource_fee.int64 + 1
    inner.signatures.clear()
    inner.sign(key)
    bump = FeeBumpTransactionEnvelope(
        FeeBumpTransaction(
            fee_source=key.public_key,
            fee=resources.resource_fee.int64 + 2,
            inner_transaction_envelope=inner,
        ),
        passphrase,
    )
    bump.sign(key)
    return await _bid_for(pool, thief, inner, bump)


async def _farm_code(pool: Pool) -> xdr.LedgerKey:
    """Return the key of the farm's code."""
    farm = Address(StrKey.encode_contract(Network().farm)).to_xdr_sc_address()
    instance = xdr.LedgerKey(
        xdr.LedgerEntryType.CONTRACT_DATA,
        contract_data=xdr.LedgerKeyContractData(
            contract=farm,
            key=xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE),
            durability=xdr.ContractDataDurability.PERSISTENT,
        ),
    )
    found: Any = (await pool.rpc.get_ledger_entries([instance])).entries
    data: Any = xdr.LedgerEntryData.from_xdr(found[0].xdr).contract_data
    code = xdr.LedgerKeyContractCode(hash=data.val.instance.executable.wasm_hash)
    return xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=code)


# What was made, and what was not ------------------------------------------------------------------


async def _failed(pool: Pool) -> tuple[Farmer, UUID]:
    """Return a farmer and a payout of its that a ledger refused, with KALE for it since."""
    farmer = await pool.farmer(KALE)
    # It changes between the look and the ledger: here the node shows more than there is.
    await pool.lie(trustlines={farmer.address: 9 * KALE})
    done = await pool.withdraw(farmer, DAILY)
    await pool.lie()
    if isinstance(done, str) or done.operation.state != wallet_pb2.OPERATION_STATE_FAILED:
        raise RuntimeError(f"the payout did not fail in a ledger: {done}")
    await pool.give(farmer.address, 9 * KALE)
    return farmer, UUID(done.withdrawal_id)


async def a_payment_that_was_shown_to_be_made(pool: Pool, thief: Connection) -> Outcome:
    """Show its target, while its pooler is paused and the farmer has no address any more."""
    farmer, payout = await _failed(pool)
    nowhere = withdrawal_pb2.SetPayoutAddressRequest(request_id="x", farmer_id=farmer.id)
    await call(pool.pooler.withdrawals.SetPayoutAddress, nowhere, timeout=TIMEOUT)
    async with pool.paused(custody_pb2.PauseReach(pooler_id=pool.pooler_id)):
        since = pool.log_size
        await thief.execute(SHOWN, payout)
        is_seen = await pool.is_noticed("shown target not written by wallet", since)
        # A payer that is behind is looked at for three ledgers before anything is made good.
        await asyncio.sleep(2 * WHILE)
        paid = await pool.kale(farmer.outside)
    await pool.repair("DELETE FROM wallet.shown_targets WHERE mac IS NULL")
    return Outcome(
        got=[f"{paid} stroops of KALE in a pause"] if paid else [],
        stopped="" if is_seen else "nobody believed it",
    )


def a_payment_put_back(*forgotten: str) -> Act:
    """Return what puts a payment that was made back into the queue, and forgets some of it."""

    async def act(pool: Pool, thief: Connection) -> Outcome:
        farmer, other = await pool.farmer(), await pool.farmer()
        payout = await pool.paid(farmer)
        # The payer has gone on since: its number alone does not tell of the first payment.
        await pool.paid(other)
        await asyncio.sleep(_ALL_PAYERS)
        await thief.execute("SET session_replication_role = replica")
        async with thief.transaction():
            for statement in (_QUEUED, *forgotten):
                await thief.execute(statement, payout)
        await asyncio.sleep(2 * WHILE)
        more = await pool.kale(farmer.outside) - KALE
        told = [
            row["stopped"]
            for row in await pool.admin.fetch(
                "SELECT w.stopped FROM wallet.payments AS p INNER JOIN wallet.wallets AS w "
                "ON p.payer_id = w.id WHERE p.operation_id = $1",
                payout,
            )
        ]
        return Outcome(
            got=[f"{more} stroops of KALE a second time"] if more else [],
            stopped=f"its payer stopped: {told[0]}" if any(told) else "it was found to be made",
        )

    return act


its_link_is_gone = a_payment_put_back(_UNLINKED)
its_transaction_is_gone = a_payment_put_back(_UNSIGNED)
nothing_is_gone = a_payment_put_back()


async def an_end_of_long_ago(pool: Pool, thief: Connection) -> Outcome:
    """Write that what is in flight was made years ago: does it count for today?"""
    farmer, told = await pool.farmer(4 * DAILY), list[str]()

    async def age() -> None:
        while True:
            await thief.execute(_ENDED)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(age())
    try:
        for _ in range(3):
            done = await pool.withdraw(farmer, DAILY)
            told += [done] if isinstance(done, str) else []
            await asyncio.sleep(2.0)
    finally:
        task.cancel()
        ends = await asyncio.gather(task, return_exceptions=True)
    for end in ends:
        if isinstance(end, asyncpg.PostgresError):
            raise end
    more = await pool.kale(farmer.outside) - DAILY
    return Outcome(
        got=[f"{more} stroops of KALE more than a day's"] if more > 0 else [],
        stopped=", ".join(dict.fromkeys(told)),
    )


async def a_stake_that_was_not_agreed(pool: Pool, thief: Connection) -> Outcome:
    """Stake 10 KALE, of which half is agreed, after a payout that fails: does it count as gone?"""
    del thief  # plant's certificate is all
    farmer = await pool.farmer()
    await pool.withdraw(farmer, 20 * KALE)
    head = (
        await call(pool.ann.wallets.GetBlock, wallet_pb2.GetBlockRequest(), timeout=TIMEOUT)
    ).head
    request = wallet_pb2.BatchPlantRequest(
        request_id=str(new_id()),
        block_index=max(head.plantable_block, head.current_block + 1),
        operations=[wallet_pb2.PlantOperation(farmer_id=farmer.id, stake=10 * KALE)],
    )
    states, words = set[int](), set[str]()
    async for reply in pool.plant.wallets.BatchPlant(request, timeout=60.0):
        states.add(reply.operation.state)
        words.add(reply.operation.error_message)
    planted = wallet_pb2.OPERATION_STATE_SUCCEEDED in states
    return Outcome(got=["a stake of all"] if planted else [], stopped=", ".join(sorted(words)))
