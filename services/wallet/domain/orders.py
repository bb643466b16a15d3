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
    #: The row's id; of what has numbers, whose it is: a wallet's, of a mark a pooler's.
    key: UUID
    #: Number of an address, an agreement, an owner account or a mark, or the shown target; 0 in
    #: other tables.
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


def payout_bytes(
    *,
    operation_id: UUID,
    wallet_id: UUID,
    number: int,
    request_id: str,
    amount: int,
    destination: str,
    pooler: int,
    operator: int,
    miners: int,
    pooler_account: str,
    operator_account: str,
    requested_at: datetime,
) -> bytes:
    """Return the bytes of a payout: its parts, and where they go."""
    name = (operation_id.bytes, wallet_id.bytes, number, request_id)
    parts = (amount, pooler, operator, miners)
    places = (destination, pooler_account, operator_account)
    return _bytes("payouts", *name, *parts, *places, _moment(requested_at))


def pool_payment_bytes(
    *,
    operation_id: UUID,
    wallet_id: UUID,
    number: int,
    request_id: str,
    is_miner: bool,
    amount: int,
    destination: str,
    requested_at: datetime,
) -> bytes:
    """Return the bytes of a payment from a pooler's custodial account."""
    name = (operation_id.bytes, wallet_id.bytes, number, request_id)
    what = (int(is_miner), amount, destination)
    return _bytes("pool_payments", *name, *what, _moment(requested_at))


def block_opening_bytes(*, block_index: int, opened_at: datetime) -> bytes:
    """Return the bytes of the moment when a block opened."""
    return _bytes("block_openings", block_index, _moment(opened_at))


def fee_mark_bytes(
    *,
    wallet_id: UUID,
    until_block: int,
    blocks: bytes,
    pooler: int,
    operator: int,
    miners: int,
    until_number: int,
    paid_pooler: int,
    paid_operator: int,
    paid_miners: int,
) -> bytes:
    """Return the bytes of the sums of an account's fees, and of what was paid of them."""
    agreed = (until_block, blocks, pooler, operator, miners)
    paid = (until_number, paid_pooler, paid_operator, paid_miners)
    return _bytes("fee_marks", wallet_id.bytes, *agreed, *paid)


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


def agreement_bytes(
    *,
    wallet_id: UUID,
    number: int,
    stake_bps: int,
    pooler_bps: int,
    operator_bps: int,
    miners_bps: int,
    payout_threshold: int,
    payout_interval_seconds: int,
    harvest_blocks: int,
    given_by: str,
    proof: str,
    terms_version: int,
    terms_digest: bytes,
    signature: bytes | None,
    registered_at: datetime,
    effective_at: datetime,
) -> bytes:
    """Return the bytes of what a farmer has agreed to."""
    parts = (stake_bps, pooler_bps, operator_bps, miners_bps)
    payouts = (payout_threshold, payout_interval_seconds, harvest_blocks)
    whose = (given_by, proof, terms_version, terms_digest, signature)
    moments = (_moment(registered_at), _moment(effective_at))
    return _bytes("agreements", wallet_id.bytes, number, *parts, *payouts, *whose, *moments)


def owner_account_bytes(
    *,
    wallet_id: UUID,
    number: int,
    address: str,
    registered_at: datetime,
    effective_at: datetime,
) -> bytes:
    """Return the bytes of the account that speaks for a farmer."""
    moments = (_moment(registered_at), _moment(effective_at))
    return _bytes("owner_accounts", wallet_id.bytes, number, address, *moments)


def pooler_mark_bytes(
    *,
    pooler_id: UUID,
    number: int,
    farms_for_itself: bool,
    registered_at: datetime,
    effective_at: datetime,
) -> bytes:
    """Return the bytes of an operator's word on whether a pooler farms for itself."""
    moments = (_moment(registered_at), _moment(effective_at))
    return _bytes("pooler_marks", pooler_id.bytes, number, int(farms_for_itself), *moments)


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
