"""The queries of data keys and rotations over real tables: which they take, which they leave."""

from uuid import UUID

from libs.common.ids import WalletId, new_id
from services.wallet.domain.key_rotation import RotationId
from services.wallet.keys.provider import WrappedKey
from services.wallet.keys.seal import bound_context
from services.wallet.store.keys import KeyStore, Rewrap
from tests.support.orders import ORDERS
from tests.support.table_rows import new_ids
from tests.support.wallet_rows import WalletRow, WalletRows, ago


async def sealed(
    rows: WalletRows, kek_id: str, wallet_id: UUID | None = None
) -> tuple[WalletId, WrappedKey]:
    """A wallet whose data key is under a KEK."""
    account = await rows.wallet(id=wallet_id)
    key = wrapped(account, kek_id)
    await rows.insert(
        "wallet.sealed_keys",
        wallet_id=account.id,
        kek_id=kek_id,
        wrapped_data_key=key.ciphertext,
        nonce=bytes(12),
        sealed_seed=b"seed",
    )
    return account.id, key


def wrapped(account: WalletRow, kek_id: str) -> WrappedKey:
    """The data key of a wallet under a KEK."""
    return WrappedKey(
        kek_id=kek_id,
        ciphertext=account.id.bytes + kek_id.encode(),
        context=bound_context(account.id, account.address),
    )


async def rotation(rows: WalletRows, *, ended: bool, **values: object) -> RotationId:
    """A rotation that was asked for by somebody."""
    name = RotationId(UUID(str(values.pop("id", new_id()))))
    ended_at = ago(hours=1) if ended else None
    await rows.insert("wallet.key_rotations", id=name, kek_id="kek", ended_at=ended_at, **values)
    return name


async def rotations(rows: WalletRows) -> dict[UUID, tuple[object, ...]]:
    """All rotations: how many keys were wrapped, how many did not open, when they ended."""
    found = await rows.connection.fetch(
        "SELECT id, rewrapped, failed, ended_at FROM wallet.key_rotations"
    )
    return {row["id"]: tuple(row)[1:] for row in found}


# KEKs -----------------------------------------------------------------------------------------


async def test_data_keys_are_counted_by_kek_in_the_order_of_their_names(rows: WalletRows) -> None:
    names = [f"kek {letter}" for letter in "hcagbfed"]
    for name in (*names, "kek a"):
        await sealed(rows, name)
    expected = [(name, 2 if name == "kek a" else 1) for name in sorted(names)]
    assert await KeyStore(rows.pool, ORDERS).kek_uses() == expected


# Rotations ------------------------------------------------------------------------------------


async def test_a_rotation_goes_on_until_one_to_another_kek_is_asked_for(rows: WalletRows) -> None:
    store = KeyStore(rows.pool, ORDERS)
    assert await store.open_rotation() is None
    first = await store.start_rotation("a", actor="me")
    assert await store.start_rotation("a", actor="me") == first
    second = await store.start_rotation("b", actor="me")
    before = await rotations(rows)
    assert await store.start_rotation("b", actor="me") == second == await store.open_rotation()
    # The end of what had ended before stays as it is.
    assert await rotations(rows) == before
    assert first.id != second.id
    assert [ended is None for _, _, ended in before.values()] == [False, True]


async def test_the_last_rotation_is_the_newest_whatever_is_open(rows: WalletRows) -> None:
    older, middle, newest = new_ids(3)
    for name in (older, newest, middle):
        await rotation(rows, ended=name != middle, id=name)
    store = KeyStore(rows.pool, ORDERS)
    last, under_way = await store.last_rotation(), await store.open_rotation()
    assert last is not None
    assert under_way is not None
    assert (last.id, under_way.id) == (newest, middle)


async def test_only_a_rotation_that_is_under_way_is_ended(rows: WalletRows) -> None:
    ended = await rotation(rows, ended=True, failed=1)
    under_way = await rotation(rows, ended=False)
    store = KeyStore(rows.pool, ORDERS)
    before = await rotations(rows)
    assert not await store.end_rotation(ended, failed=5)
    assert await rotations(rows) == before
    assert await store.end_rotation(under_way, failed=6)
    assert not await store.end_rotation(under_way, failed=7)
    after = await rotations(rows)
    assert after[ended] == before[ended]
    rewrapped, failed, ended_at = after[under_way]
    assert (rewrapped, failed) == (0, 6)
    assert ended_at is not None


# Wrapping -------------------------------------------------------------------------------------


async def test_data_keys_under_other_keks_come_page_by_page_in_the_order_of_wallets(
    rows: WalletRows,
) -> None:
    keks = ("kek c", "kek b", "kek a", "kek c", "kek b", "kek a")
    made = [
        await sealed(rows, kek, name)
        for kek, name in zip(keks, reversed(new_ids(len(keks))), strict=True)
    ]
    expected = [item for item in reversed(made) if item[1].kek_id != "kek b"]
    store = KeyStore(rows.pool, ORDERS)
    assert await store.under_other_keks("kek b", after=None, limit=9) == expected
    assert await store.under_other_keks("kek b", after=None, limit=2) == expected[:2]
    after = expected[1][0]
    assert await store.under_other_keks("kek b", after=after, limit=9) == expected[2:]


async def test_a_data_key_is_wrapped_anew_where_the_old_wrapping_still_is(rows: WalletRows) -> None:
    beside = await rotation(rows, ended=True, rewrapped=9)
    under_way = await rotation(rows, ended=False, rewrapped=1)
    mine, faster, untouched = [await sealed(rows, kek) for kek in ("old", "newer", "old")]

    def rewrap(item: tuple[WalletId, WrappedKey]) -> Rewrap:
        wallet_id, key = item
        old = WrappedKey(kek_id="old", ciphertext=key.ciphertext, context=key.context)
        new = WrappedKey(kek_id="new", ciphertext=b"new", context=key.context)
        return Rewrap(wallet_id=wallet_id, old=old, new=new)

    store = KeyStore(rows.pool, ORDERS)
    assert await store.rewrap(under_way, [rewrap(mine), rewrap(faster)]) == 1
    found = await rows.connection.fetch(
        "SELECT wallet_id, kek_id, wrapped_data_key FROM wallet.sealed_keys"
    )
    assert {row["wallet_id"]: tuple(row)[1:] for row in found} == {
        mine[0]: ("new", b"new"),
        faster[0]: ("newer", faster[1].ciphertext),
        untouched[0]: ("old", untouched[1].ciphertext),
    }
    counted = await rotations(rows)
    assert (counted[under_way][0], counted[beside][0]) == (2, 9)
