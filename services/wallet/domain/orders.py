"""The orders that wallet acts on, as the bytes that their authenticators cover.

Whoever may write a row may not therefore give an order: each order carries a message
authentication code (MAC) under a key that the database does not hold (keys/row_macs.py). The code
covers the columns that make the order, with the table's name and the format's version, so that it
fits no other row. It never covers a lease, a due time or a passing state.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.wallet.domain.errors import RowNameError

#: Version of the bytes: other columns, or another way to write them, are another version.
_FORMAT = b"1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Writes a length.
_length = struct.Struct(">I").pack
#: Length and kind of an id, and of nothing: always the same.
_ID, _NOTHING = _length(17) + b"u", _length(1) + b"n"

Value = UUID | str | int | bytes | datetime | None


@dataclass(frozen=True, kw_only=True)
class Name:
    """The name of a row that wallet acts on."""

    #: Its table, without the schema.
    table: str
    #: The row's id; of an outside address or a shown target, its wallet's.
    key: UUID
    #: Number of an address, or the shown target; 0 in other tables.
    number: int = 0

    def __str__(self) -> str:
        """Return table/key, or table/key/number."""
        return f"{self.table}/{self.key}" + (f"/{self.number}" if self.number else "")

    @classmethod
    def read(cls, text: str) -> "Name":
        """Read what `str` gives. Raises RowNameError."""
        table, _, rest = text.partition("/")
        key, _, number = rest.partition("/")
        try:
            return cls(table=table, key=UUID(key), number=int(number or 0))
        except ValueError:
            raise RowNameError.of(
                "names", f"{text!r} is no table/key or table/key/number"
            ) from None


def wallet_bytes(
    *,
    row_id: UUID,
    kind: str,
    farmer_id: UUID | None,
    pooler_id: UUID | None,
    address: str,
    stake_bps: int,
) -> bytes:
    """Return the bytes of a wallet: what it is for, whose it is, and what it may stake at most."""
    return _bytes("wallets", row_id, kind, farmer_id, pooler_id, address, stake_bps)


def operation_bytes(
    *,
    row_id: UUID,
    kind: str,
    wallet_id: UUID,
    block_index: int,
    amount: int,
    nonce: int | None = None,
    digest: bytes | None = None,
) -> bytes:
    """Return the bytes of an operation as it was asked for; `amount` is a stake or a payment."""
    return _bytes("operations", row_id, kind, wallet_id, block_index, amount, nonce, digest)


def withdrawal_bytes(
    *,
    operation_id: UUID,
    wallet_id: UUID,
    request_id: str,
    asset: str,
    amount: int,
    destination: str,
    requested_at: datetime,
) -> bytes:
    """Return the bytes of a withdrawal."""
    texts = (request_id, asset, amount, destination)
    return _bytes("withdrawals", operation_id, wallet_id, *texts, requested_at)


def payment_bytes(*, operation_id: UUID, payer_id: UUID) -> bytes:
    """Return the bytes by which a payment belongs to a payer."""
    return _bytes("payments", operation_id, payer_id)


def payout_address_bytes(
    *,
    wallet_id: UUID,
    number: int,
    address: str,
    registered_at: datetime,
    effective_at: datetime,
) -> bytes:
    """Return the bytes of a farmer's outside address."""
    return _bytes("payout_addresses", wallet_id, number, address, registered_at, effective_at)


def transaction_bytes(
    *,
    row_id: UUID,
    source: str,
    sequence: int,
    bump_to: int | None,
    lookup_hash: str,
    max_time: int,
    is_rent: bool,
    operation_ids: Sequence[UUID],
) -> bytes:
    """Return the bytes of a transaction: its numbers, its inner hash, and what it carries."""
    members = b"".join(sorted(item.bytes for item in operation_ids))
    numbers = (source, sequence, bump_to, lookup_hash, max_time, int(is_rent))
    return _bytes("transactions", row_id, *numbers, members)


def shown_target_bytes(*, payer: str, target: int) -> bytes:
    """Return the bytes of a number that nodes showed a payer (its address) to stand at."""
    return _bytes("shown_targets", payer, target)


def resume_bytes(
    *,
    pause_id: UUID,
    scope: str,
    target: UUID | None,
    reason: str,
    paused_by: str,
    paused_at: datetime,
    resumed_by: str,
    resumed_at: datetime,
) -> bytes:
    """Return the bytes of a pause that has ended: its beginning and its end."""
    begun = (scope, target, reason, paused_by, paused_at)
    return _bytes("pauses", pause_id, *begun, resumed_by, resumed_at)


def approval_bytes(
    *,
    approval_id: UUID,
    method: str,
    digest: bytes,
    request: str,
    asked_by: str,
    asked_at: datetime,
    expires_at: datetime,
    approved_by: str | None,
    approved_at: datetime | None,
    used_at: datetime | None,
) -> bytes:
    """Return the bytes of an approval as it stands: what was asked, who agreed, and its use."""
    asked = (method, digest, request, asked_by, asked_at, expires_at)
    return _bytes("approvals", approval_id, *asked, approved_by, approved_at, used_at)


def record_bytes(*, number: int, digest: bytes) -> bytes:
    """Return the bytes of a record of the audit log, whose hash covers all of it."""
    return _bytes("audit_log", number, digest)


def token_bytes(
    *,
    row_id: UUID,
    role: str,
    subject: str,
    pooler_id: UUID | None,
    name: str,
    methods: Sequence[str],
    is_read_only: bool,
    secret_hash: bytes,
    created_by: str,
    created_at: datetime,
    expires_at: datetime,
    revoked_by: str | None,
    revoked_at: datetime | None,
) -> bytes:
    """Return the bytes of an API token: whom it speaks for, what it may, and its end."""
    # No method has a line feed in its name.
    told = (role, subject, pooler_id, name, "\n".join(methods), int(is_read_only), secret_hash)
    return _bytes(
        "tokens", row_id, *told, created_by, created_at, expires_at, revoked_by, revoked_at
    )


def _bytes(table: str, *values: Value) -> bytes:
    """Write each value with its kind and its length, so that no value runs into another."""
    parts = [_FORMAT, b"|", table.encode()]
    for value in values:
        # The commonest first: this is done for each column of each row.
        if isinstance(value, str):
            raw = b"t" + value.encode()
        elif isinstance(value, UUID):
            parts.append(_ID + value.bytes)
            continue
        elif value is None:
            parts.append(_NOTHING)
            continue
        elif isinstance(value, int):
            raw = b"i%d" % value
        elif isinstance(value, bytes):
            raw = b"b" + value
        else:
            raw = b"m%d" % ((value - _EPOCH) // timedelta(microseconds=1))
        parts.append(_length(len(raw)) + raw)
    return b"".join(parts)
