"""What a payer has paid, and whose number tells that: nobody else's, whatever a look is told."""

from uuid import UUID

import pytest

from services.wallet.domain.errors import TamperedError
from services.wallet.domain.payer_history import PayerHistory
from services.wallet.store.payers import PayerStore
from tests.support.orders import ORDERS
from tests.support.wallet_rows import WalletRows


async def test_what_was_paid_before_is_told_by_what_wallet_wrote_since_it_was_asked_for(
    rows: WalletRows,
) -> None:
    one = await rows.wallet()
    payer, beside = [await rows.wallet("payer") for _ in range(2)]
    old = await rows.transaction(payer.address, "succeeded", sequence=1, bump_to=1001)
    made, passed, failed = [await rows.payment(one, payer) for _ in range(3)]
    await rows.transaction(payer.address, "succeeded", [made], sequence=1002, bump_to=2002)
    await rows.transaction(payer.address, "excluded", [passed], sequence=2003, bump_to=3003)
    await rows.transaction(payer.address, "failed", [failed], sequence=3004, bump_to=4004)
    theirs = await rows.payment(one, beside)
    await rows.transaction(beside.address, "succeeded", [theirs], bump_to=9000)
    store, none = PayerStore(rows.pool, ORDERS), PayerHistory()
    paid = await store.paid_before(payer.address, [made, passed, failed, theirs], none)
    assert paid.keys() == {made, passed}
    assert await store.paid_before(payer.address, [], none) == {}
    await rows.connection.execute("SET session_replication_role = 'replica'")
    # What was signed long before a payment was asked for says nothing of it.
    spoil = "UPDATE wallet.transactions SET mac = NULL, id = $2 WHERE id = $1"
    await rows.connection.execute(spoil, old, UUID(int=1))
    assert (await store.paid_before(payer.address, [made], none)).keys() == {made}
    unlink = "DELETE FROM wallet.transaction_operations WHERE operation_id = $1"
    await rows.connection.execute(unlink, made)
    with pytest.raises(TamperedError, match="not written by wallet"):
        await store.paid_before(payer.address, [made], none)


async def test_what_a_process_knows_of_a_payers_past_is_never_told_away(rows: WalletRows) -> None:
    """Somebody with all rights leaves a transaction out of one look, and not of the others."""
    one = await rows.wallet()
    payer = await rows.wallet("payer")
    made, other = [await rows.payment(one, payer) for _ in range(2)]
    await rows.transaction(payer.address, "excluded", [made], sequence=1, bump_to=1001)
    last = await rows.transaction(payer.address, "excluded", [other], sequence=1002, bump_to=2002)
    store, history = PayerStore(rows.pool, ORDERS), PayerHistory()
    assert history.flaw(await store.past(payer.address)) == ""
    await rows.connection.execute("SET session_replication_role = 'replica'")
    await rows.connection.execute("DELETE FROM wallet.transactions WHERE id = $1", last)
    await rows.connection.execute(
        "DELETE FROM wallet.transaction_operations WHERE transaction_id = $1", last
    )
    # By the rows alone nobody went on from the first target.
    assert await store.paid_before(payer.address, [made], PayerHistory()) == {}
    with pytest.raises(TamperedError, match=f"transaction {last} of its past is not told"):
        await store.paid_before(payer.address, [made], history)
    # Where it is told, and its number is another one, what was seen decides.
    await rows.transaction(payer.address, "excluded", [other], id=last, sequence=1003, bump_to=2002)
    assert (await store.paid_before(payer.address, [made], history)).keys() == {made}


#: With all rights: each lease tells another account, whose number somebody sets, and the row stays.
ANOTHERS = """
CREATE FUNCTION public.tell_another() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF TG_WHEN = 'BEFORE' THEN
        NEW.address := rpad('G' || upper(md5(OLD.id::text)), 56, 'B');
        RETURN NEW;
    END IF;
    UPDATE wallet.wallets SET address = OLD.address WHERE id = OLD.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER aaa BEFORE UPDATE OF leased_until ON wallet.wallets
FOR EACH ROW EXECUTE FUNCTION public.tell_another();
CREATE TRIGGER zzz AFTER UPDATE OF leased_until ON wallet.wallets
FOR EACH ROW EXECUTE FUNCTION public.tell_another();
"""


async def test_a_payers_number_is_never_read_of_another_account(rows: WalletRows) -> None:
    """Else a payment that was made, and put back, was made again: that account paid nothing."""
    one, forged = await rows.wallet("payer"), await rows.wallet("payer")
    await rows.connection.execute("UPDATE wallet.wallets SET mac = NULL WHERE id = $1", forged.id)
    store = PayerStore(rows.pool, ORDERS)
    assert [item.wallet_id for item in await store.lease(None, seconds=0)] == [one.id]
    await rows.connection.execute(ANOTHERS)
    assert await store.lease(None, seconds=0) == []
    # It is all as before, but for what was told.
    addresses = await rows.values("wallet.wallets", "address")
    assert addresses[one.id] == one.address
