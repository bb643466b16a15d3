"""The orders that wallet acts on, as the bytes that their authenticators cover.

Whoever may write a row may not therefore give an order: each order carries a message
authentication code (MAC) under a key that the database does not hold (keys/row_macs.py). The code
covers the columns that make the order, with the table's name and the format's version, so that it
fits no other row. It never covers a lease, a due time or a passing state.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.common.clock import micros_of
from services.wallet.domain.errors import RowNameError

#: Version of the bytes: other columns, or another way to write them, are another version.
_FORMAT = "1"

#: What is written: ids as their bytes, moments as microseconds.
Value = str | int | bytes | None


@dataclass(frozen=True, kw_only=True)
class Name:
    """The name of a row that wallet acts on."""

    #: Its table, without the schema; ends: what an operation's row says of its end.
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


#: Digits of what a row was seen to say: nobody finds two rows with the same.
_SEEN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class SeenRow:
    """A row as somebody has looked at it: what it says may be another thing by now."""

    #: Which row.
    name: Name
    #: Digest of what it said (hex).
    digest: str

    def __str__(self) -> str:
        """Return table/key@digest, or table/key/number@digest."""
        return f"{self.name}@{self.digest}"

    @classmethod
    def read(cls, text: str) -> "SeenRow":
        """Read what `str` gives. Raises RowNameError."""
        name, _, digest = text.partition("@")
        if not _SEEN.fullmatch(digest):
            raise RowNameError.of(
                "names", f"{text!r} is no table/key@digest, as `kalepool orders check` shows a row"
            )
        return cls(name=Name.read(name), digest=digest)


def digest_of(data: bytes) -> str:
    """Return the digest (hex) of what a row says: of the bytes that its authenticator covers."""
    return hashlib.sha256(data).hexdigest()[:32]


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
    return _bytes("wallets", row_id.bytes, kind, _id(farmer_id), _id(pooler_id), address, stake_bps)


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
    return _bytes(
        "operations", row_id.bytes, kind, wallet_id.bytes, block_index, amount, nonce, digest
    )


def end_bytes(
    *, operation_id: UUID, state: str, amount: int, stake_returned: int, gap: int, ledger: int
) -> bytes:
    """Return the bytes of how an operation ended: its state, and what the chain gave.

    `amount` is the stake of a plant, or the reward of a harvest, that succeeded; else 0.
    """
    return _bytes("ends", operation_id.bytes, state, amount, stake_returned, gap, ledger)


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
    return _bytes("withdrawals", operation_id.bytes, wallet_id.bytes, *texts, _moment(requested_at))


def payment_bytes(*, operation_id: UUID, payer_id: UUID | None) -> bytes:
    """Return the bytes by which a payment belongs to a payer (None: to nobody yet)."""
    return _bytes("payments", operation_id.bytes, _id(payer_id))


def data_entry_bytes(*, operation_id: UUID, day: int, root: bytes, requested_at: datetime) -> bytes:
    """Return the bytes of a root that is to be written into the treasury's data entry."""
    return _bytes("data_entries", operation_id.bytes, day, root, _moment(requested_at))


def payout_address_bytes(
    *,
    wallet_id: UUID,
    number: int,
    address: str,
    registered_at: datetime,
    effective_at: datetime,
) -> bytes:
    """Return the bytes of a farmer's outside address."""
    return _bytes(
        "payout_addresses",
        wallet_id.bytes,
        number,
        address,
        _moment(registered_at),
        _moment(effective_at),
    )


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
    return _bytes("transactions", row_id.bytes, *numbers, members)


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
    begun = (scope, _id(target), reason, paused_by, _moment(paused_at))
    return _bytes("pauses", pause_id.bytes, *begun, resumed_by, _moment(resumed_at))


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
    asked = (method, digest, request, asked_by, _moment(asked_at), _moment(expires_at))
    given = (approved_by, _moment(approved_at), _moment(used_at))
    return _bytes("approvals", approval_id.bytes, *asked, *given)


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
    what = (_id(pooler_id), name, "\n".join(methods), int(is_read_only), secret_hash)
    made = (created_by, _moment(created_at), _moment(expires_at))
    ended = (revoked_by, _moment(revoked_at))
    return _bytes("tokens", row_id.bytes, role, subject, *what, *made, *ended)


def _bytes(table: str, *values: Value) -> bytes:
    """Write each value with its kind and its end, so that no value runs into another.

    This is done for each column of each row: `ascii` writes them all at once, alike in every
    version of Python. A column has one type, or none.
    """
    return f"{_FORMAT}|{table}{values!a}".encode("ascii")


def _id(value: UUID | None) -> bytes | None:
    return None if value is None else value.bytes


def _moment(value: datetime | None) -> int | None:
    return None if value is None else micros_of(value)
