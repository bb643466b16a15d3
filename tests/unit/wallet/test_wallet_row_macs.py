"""Authenticators of rows: what they cover, under which keys they count."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import nacl.hash
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.encoding import RawEncoder

from services.wallet.domain import orders
from services.wallet.domain.errors import RowKeysMissingError, RowNameError
from services.wallet.domain.orders import Name, SeenRow, digest_of
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.provider import KeyProviderError
from services.wallet.keys.row_macs import (
    MAC_BYTES,
    MadeKey,
    RowMacs,
    SealedRowKey,
    reseal_row_key,
    seal_row_key,
)

ONE, TWO = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 11, 29, tzinfo=UTC)
PROVIDER = LocalKeyProvider(bytes(range(32)))

#: Each kind of order with one of its columns changed after the other.
ORDERS: list[tuple[Callable[..., bytes], dict[str, Any], dict[str, Any]]] = [
    (
        orders.wallet_bytes,
        {
            "row_id": ONE,
            "kind": "farmer",
            "farmer_id": ONE,
            "pooler_id": TWO,
            "address": "G1",
            "stake_bps": 5000,
        },
        {
            "row_id": TWO,
            "kind": "payer",
            "farmer_id": None,
            "pooler_id": None,
            "address": "G",
            "stake_bps": 10_000,
        },
    ),
    (
        orders.operation_bytes,
        {
            "row_id": ONE,
            "kind": "work",
            "wallet_id": TWO,
            "block_index": 5,
            "amount": 0,
            "nonce": 7,
            "digest": bytes(32),
        },
        {
            "row_id": TWO,
            "kind": "plant",
            "wallet_id": ONE,
            "block_index": 6,
            "amount": 1,
            "nonce": None,
            "digest": None,
        },
    ),
    (
        orders.withdrawal_bytes,
        {
            "operation_id": ONE,
            "wallet_id": TWO,
            "request_id": "r",
            "asset": "kale",
            "amount": 5,
            "destination": "G1",
            "requested_at": NOW,
        },
        {
            "operation_id": TWO,
            "wallet_id": ONE,
            "request_id": "",
            "asset": "xlm",
            "amount": 6,
            "destination": "G2",
            "requested_at": NOW + timedelta(microseconds=1),
        },
    ),
    (
        orders.payment_bytes,
        {"operation_id": ONE, "payer_id": TWO},
        {"operation_id": TWO, "payer_id": ONE},
    ),
    (
        orders.data_entry_bytes,
        {"operation_id": ONE, "day": 1, "root": bytes(32), "requested_at": NOW},
        {
            "operation_id": TWO,
            "day": 2,
            "root": bytes(31) + b"1",
            "requested_at": NOW + timedelta(microseconds=1),
        },
    ),
    (
        orders.payout_address_bytes,
        {
            "wallet_id": ONE,
            "number": 1,
            "address": "G1",
            "registered_at": NOW,
            "effective_at": NOW,
        },
        {
            "wallet_id": TWO,
            "number": 2,
            "address": "",
            "registered_at": NOW + timedelta(seconds=1),
            "effective_at": NOW + timedelta(seconds=2),
        },
    ),
    (
        orders.shown_target_bytes,
        {"payer": "G1", "target": 1000},
        {"payer": "G2", "target": 1001},
    ),
    (
        orders.resume_bytes,
        {
            "pause_id": ONE,
            "scope": "pooler",
            "target": ONE,
            "reason": "fire",
            "paused_by": "ann",
            "paused_at": NOW,
            "resumed_by": "ann",
            "resumed_at": NOW,
        },
        {
            "pause_id": TWO,
            "scope": "wallet",
            "target": TWO,
            "reason": "drill",
            "paused_by": "bob",
            "paused_at": NOW + timedelta(seconds=1),
            "resumed_by": "",
            "resumed_at": NOW + timedelta(seconds=1),
        },
    ),
    (
        orders.approval_bytes,
        {
            "approval_id": ONE,
            "method": "/a",
            "digest": bytes(32),
            "request": "{}",
            "asked_by": "ann",
            "asked_at": NOW,
            "expires_at": NOW,
            "approved_by": "bob",
            "approved_at": NOW,
            "used_at": None,
        },
        {
            "approval_id": TWO,
            "method": "/b",
            "digest": bytes(31) + b"1",
            "request": "{ }",
            "asked_by": "anna",
            "asked_at": NOW + timedelta(seconds=1),
            "expires_at": NOW + timedelta(seconds=1),
            "approved_by": None,
            "approved_at": None,
            "used_at": NOW,
        },
    ),
    (
        orders.record_bytes,
        {"number": 1, "digest": bytes(32)},
        {"number": 2, "digest": bytes(31) + b"1"},
    ),
    (
        orders.end_bytes,
        {
            "operation_id": ONE,
            "state": "succeeded",
            "amount": 5,
            "stake_returned": 7,
            "gap": 0,
            "ledger": 100,
        },
        {
            "operation_id": TWO,
            "state": "failed",
            "amount": 6,
            "stake_returned": 8,
            "gap": 1,
            "ledger": 101,
        },
    ),
    (
        orders.token_bytes,
        {
            "row_id": ONE,
            "role": "pooler",
            "subject": "spiffe://pool/pooler/7",
            "pooler_id": ONE,
            "name": "token",
            "methods": ["/a", "/b"],
            "is_read_only": True,
            "secret_hash": bytes(32),
            "created_by": "ann",
            "created_at": NOW,
            "expires_at": NOW,
            "revoked_by": None,
            "revoked_at": None,
        },
        {
            "row_id": TWO,
            "role": "operator",
            "subject": "spiffe://pool/operator/7",
            "pooler_id": None,
            "name": "other",
            "methods": ["/a"],
            "is_read_only": False,
            "secret_hash": bytes(31) + b"1",
            "created_by": "bob",
            "created_at": NOW + timedelta(seconds=1),
            "expires_at": NOW + timedelta(seconds=1),
            "revoked_by": "ann",
            "revoked_at": NOW,
        },
    ),
    (
        orders.agreement_bytes,
        {
            "wallet_id": ONE,
            "number": 1,
            "stake_bps": 5000,
            "pooler_bps": 500,
            "operator_bps": 100,
            "miners_bps": 2000,
            "payout_threshold": 10,
            "payout_interval_seconds": 60,
            "harvest_blocks": 3,
            "given_by": "ann",
            "proof": "operator",
            "terms_version": 2,
            "terms_digest": bytes(32),
            "signature": None,
            "registered_at": NOW,
            "effective_at": NOW,
        },
        {
            "wallet_id": TWO,
            "number": 2,
            "stake_bps": 5001,
            "pooler_bps": 501,
            "operator_bps": 101,
            "miners_bps": 2001,
            "payout_threshold": 11,
            "payout_interval_seconds": 61,
            "harvest_blocks": 4,
            "given_by": "bob",
            "proof": "signature",
            "terms_version": 3,
            "terms_digest": bytes(31) + b"1",
            "signature": bytes(64),
            "registered_at": NOW + timedelta(seconds=1),
            "effective_at": NOW + timedelta(seconds=1),
        },
    ),
    (
        orders.owner_account_bytes,
        {
            "wallet_id": ONE,
            "number": 1,
            "address": "G1",
            "registered_at": NOW,
            "effective_at": NOW,
        },
        {
            "wallet_id": TWO,
            "number": 2,
            "address": "G2",
            "registered_at": NOW + timedelta(seconds=1),
            "effective_at": NOW + timedelta(seconds=1),
        },
    ),
    (
        orders.pooler_mark_bytes,
        {
            "pooler_id": ONE,
            "number": 1,
            "farms_for_itself": False,
            "registered_at": NOW,
            "effective_at": NOW,
        },
        {
            "pooler_id": TWO,
            "number": 2,
            "farms_for_itself": True,
            "registered_at": NOW + timedelta(seconds=1),
            "effective_at": NOW + timedelta(seconds=1),
        },
    ),
    (
        orders.transaction_bytes,
        {
            "row_id": ONE,
            "source": "G1",
            "sequence": 5,
            "bump_to": 1005,
            "lookup_hash": "ab",
            "max_time": 1000,
            "is_rent": False,
            "operation_ids": [ONE, TWO],
        },
        {
            "row_id": TWO,
            "source": "G2",
            "sequence": 6,
            "bump_to": None,
            "lookup_hash": "ac",
            "max_time": 1001,
            "is_rent": True,
            "operation_ids": [ONE],
        },
    ),
]


@pytest.mark.parametrize(("write", "columns", "others"), ORDERS, ids=lambda item: None)
def test_every_column_of_an_order_is_covered(
    write: Callable[..., bytes], columns: dict[str, Any], others: dict[str, Any]
) -> None:
    assert columns.keys() == others.keys()
    macs = RowMacs({1: bytes(32)})
    mac = macs.mac(write(**columns))
    assert len(mac) == MAC_BYTES
    assert macs.is_genuine(write(**columns), mac)
    for name, value in others.items():
        assert not macs.is_genuine(write(**{**columns, name: value}), mac), name


def test_no_authenticator_fits_a_row_of_another_table() -> None:
    written = [write(**columns) for write, columns, _ in ORDERS]
    assert len(set(written)) == len(written)


#: Tables as the bytes name them: an authenticator that was made by an older version still counts.
TABLES = {
    orders.wallet_bytes: "wallets",
    orders.operation_bytes: "operations",
    orders.end_bytes: "ends",
    orders.withdrawal_bytes: "withdrawals",
    orders.payment_bytes: "payments",
    orders.data_entry_bytes: "data_entries",
    orders.payout_address_bytes: "payout_addresses",
    orders.agreement_bytes: "agreements",
    orders.owner_account_bytes: "owner_accounts",
    orders.pooler_mark_bytes: "pooler_marks",
    orders.transaction_bytes: "transactions",
    orders.shown_target_bytes: "shown_targets",
    orders.resume_bytes: "pauses",
    orders.approval_bytes: "approvals",
    orders.record_bytes: "audit_log",
    orders.token_bytes: "tokens",
}


def test_the_bytes_of_an_order_begin_with_their_format_and_table() -> None:
    assert len(ORDERS) == len(TABLES)
    for write, columns, _ in ORDERS:
        assert write(**columns).startswith(f"1|{TABLES[write]}(".encode())


def test_moments_are_written_as_microseconds_since_1970() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    written = orders.payout_address_bytes(
        wallet_id=ONE, number=2, address="G1", registered_at=moment, effective_at=NOW
    )
    assert written.endswith(b", 2, 'G1', 1767323045678901, 1795910400000000)")


@given(st.lists(st.one_of(st.none(), st.text(), st.integers(), st.uuids()), min_size=2, max_size=2))
def test_values_do_not_run_into_one_another(values: list[object]) -> None:
    first, second = values
    one = orders._bytes("t", first, second)  # type: ignore[arg-type]
    for other in ((second, first), (first, None), (f"{first}{second}", "")):
        if other != (first, second):
            assert orders._bytes("t", *other) != one  # type: ignore[arg-type]


def test_the_order_of_payments_in_a_transaction_does_not_count() -> None:
    write, columns, _ = ORDERS[-1]
    turned = {**columns, "operation_ids": [TWO, ONE]}
    assert write(**columns) == write(**turned)


@pytest.mark.parametrize(
    "mac", [None, b"", bytes(MAC_BYTES), bytes(MAC_BYTES - 1), b"\0\1" + bytes(32), b"\0\2" * 17]
)
def test_what_no_key_made_is_not_genuine(mac: bytes | None) -> None:
    assert not RowMacs({1: bytes(32)}).is_genuine(b"row", mac)


def test_a_changed_bit_is_seen() -> None:
    macs = RowMacs({1: secrets.token_bytes(32)})
    mac = macs.mac(b"row")
    for place in range(MAC_BYTES):
        changed = bytes(byte ^ (number == place) for number, byte in enumerate(mac))
        assert not macs.is_genuine(b"row", changed)


def test_nothing_is_made_or_judged_before_the_keys_are_open() -> None:
    macs = RowMacs()
    assert not macs.is_ready
    with pytest.raises(RowKeysMissingError):
        macs.mac(b"row")
    with pytest.raises(RowKeysMissingError):
        macs.is_genuine(b"row", bytes(MAC_BYTES))


async def test_an_older_key_counts_until_it_is_given_up() -> None:
    first, second = [await seal_row_key(PROVIDER, number) for number in (1, 2)]
    macs = RowMacs()
    await macs.use(PROVIDER, [first])
    old = macs.mac(b"row")
    # A key that not every process knows yet is understood, and not used.
    await macs.use(PROVIDER, [first, replace(second, is_active=False)])
    assert macs.current == 1
    newer = RowMacs()
    await newer.use(PROVIDER, [first, second])
    new = newer.mac(b"row")
    assert macs.is_genuine(b"row", new)
    assert newer.is_genuine(b"row", old)
    assert (newer.number_of(old), newer.number_of(new)) == (1, 2)
    await newer.use(PROVIDER, [first, await reseal_row_key(PROVIDER, second, accepts_from=2)])
    assert newer.is_genuine(b"row", new)
    assert not newer.is_genuine(b"row", old)


@pytest.mark.parametrize(
    "changes", [{"accepts_from": 1}, {"number": 1}, {"wrapped_key": b"x" * 60}]
)
async def test_a_key_is_bound_to_its_number_and_to_what_it_accepts(
    changes: dict[str, Any],
) -> None:
    sealed = await seal_row_key(PROVIDER, 3, accepts_from=2)
    changed = SealedRowKey(**{**vars(sealed), **changes})
    with pytest.raises(KeyProviderError):
        await RowMacs().use(PROVIDER, [changed])


async def test_a_key_that_does_not_open_changes_nothing() -> None:
    macs = RowMacs({1: bytes(32)})
    other = LocalKeyProvider(bytes(32))
    with pytest.raises(KeyProviderError, match="row key 1"):
        await macs.use(PROVIDER, [await seal_row_key(other, 1)])
    assert macs.is_genuine(b"row", macs.mac(b"row"))


def macs(*numbers: int) -> RowMacs:
    """Return codes under open keys with these numbers."""
    return RowMacs({number: bytes([number]) * 32 for number in numbers})


def test_keys_below_a_number_are_given_up_for_ever() -> None:
    opened = macs(1, 2, 3)
    old = {number: macs(number).mac(b"row") for number in (1, 2, 3)}
    assert (opened.current, opened.has_older) == (3, True)
    assert not opened.give_up_below(1)
    assert opened.give_up_below(3)
    assert [opened.is_genuine(b"row", old[number]) for number in (1, 2, 3)] == [False, False, True]
    assert not opened.has_older
    assert not opened.give_up_below(3)
    # What was written once may still be told to be wallet's.
    assert [opened.is_of_any_age(b"row", old[number]) for number in (1, 2, 3)] == [True] * 3
    assert not opened.is_of_any_age(b"row", old[1][:-1])
    assert not opened.is_of_any_age(b"row", macs(4).mac(b"row"))
    assert not opened.is_of_any_age(b"other", old[1])


def test_nothing_is_made_or_judged_when_all_keys_were_given_up() -> None:
    opened = macs(1, 2)
    with pytest.raises(KeyProviderError, match="row key 3 is gone"):
        opened.give_up_below(3)
    assert (opened.is_ready, opened.current) == (False, 0)
    with pytest.raises(RowKeysMissingError):
        opened.is_genuine(b"row", macs(1).mac(b"row"))
    # Where none is open nothing can be missing.
    assert not RowMacs().give_up_below(3)


async def test_a_key_that_was_given_up_here_does_not_come_back() -> None:
    first, second = [await seal_row_key(PROVIDER, number) for number in (1, 2)]
    opened = RowMacs()
    await opened.use(PROVIDER, [first])
    old = opened.mac(b"row")
    await opened.use(PROVIDER, [first, second])
    opened.give_up_below(2)
    # The wrapping of the newest one still says that the first one counts.
    await opened.use(PROVIDER, [first, second])
    assert not opened.is_genuine(b"row", old)
    assert opened.is_of_any_age(b"row", old)
    with pytest.raises(KeyProviderError, match="row key 2 is gone"):
        await opened.use(PROVIDER, [first])


@given(key=st.binary(min_size=16, max_size=64), row=st.binary(max_size=300))
def test_an_authenticator_is_the_keyed_blake2b_of_the_row(key: bytes, row: bytes) -> None:
    mac = RowMacs({7: key}).mac(row)
    other = nacl.hash.generichash(row, digest_size=32, key=key, encoder=RawEncoder)
    assert mac == b"\0\7" + other


async def test_a_key_that_somebody_else_put_in_is_passed_over() -> None:
    """What wallet made itself, by its own record, has to open; else nothing is judged."""
    first, second = await seal_row_key(PROVIDER, 1), await seal_row_key(PROVIDER, 2)
    foreign = await seal_row_key(LocalKeyProvider(bytes(32)), 3)
    macs = RowMacs()
    assert await macs.use(PROVIDER, [first, second, foreign]) == [3]
    assert macs.current == 2
    mac = macs.mac(orders.record_bytes(number=9, digest=bytes(32)))
    made = MadeKey(subject="3", number=9, hash=bytes(32), mac=mac)
    for record in (replace(made, mac=None), replace(made, mac=bytes(34)), replace(made, number=8)):
        assert await macs.use(PROVIDER, [first, second, foreign], [record]) == [3]
    with pytest.raises(KeyProviderError, match="row key 3"):
        await macs.use(PROVIDER, [first, second, foreign], [made])
    assert macs.current == 2
    # A record in wallet's name about nothing is not read.
    assert await macs.use(PROVIDER, [first, second], [replace(made, subject="x", mac=None)]) == []


async def test_no_key_is_printed() -> None:
    sealed = await seal_row_key(PROVIDER, 1)
    assert str(sealed.wrapped_key) not in repr(sealed)
    assert repr(RowMacs({2: b"secret" * 6})) == "RowMacs([2])"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"wallets/{ONE}", Name(table="wallets", key=ONE)),
        (f"payout_addresses/{TWO}/3", Name(table="payout_addresses", key=TWO, number=3)),
    ],
)
def test_a_row_has_a_name_that_can_be_read_again(text: str, name: Name) -> None:
    assert Name.read(text) == name
    assert str(name) == text


@pytest.mark.parametrize("text", ["", "wallets", "wallets/1", f"wallets/{ONE}/x", f"{ONE}"])
def test_what_names_no_row_is_refused(text: str) -> None:
    with pytest.raises(RowNameError) as caught:
        Name.read(text)
    assert [violation.field for violation in caught.value.violations] == ["names"]


def test_a_row_that_was_seen_has_a_name_with_what_it_said() -> None:
    digest = digest_of(b"row")
    assert digest != digest_of(b"another row")
    seen = SeenRow(name=Name(table="payout_addresses", key=TWO, number=3), digest=digest)
    assert str(seen) == f"payout_addresses/{TWO}/3@{digest}"
    assert SeenRow.read(str(seen)) == seen


@pytest.mark.parametrize("digest", ["", "@", f"@{'0' * 31}", f"@{'0' * 33}", f"@{'x' * 32}"])
def test_a_name_without_what_the_row_said_is_refused(digest: str) -> None:
    with pytest.raises(RowNameError, match="orders check") as caught:
        SeenRow.read(f"wallets/{ONE}{digest}")
    assert [violation.field for violation in caught.value.violations] == ["names"]
