"""Authenticators of orders: made for rows that are written, checked on rows that are acted on."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from libs.common.db.pool import Record
from libs.kale.amounts import WHOLE
from services.wallet.domain.approvals import Approval
from services.wallet.domain.model import (
    Ending,
    NewOperation,
    OpenTransaction,
    OperationKind,
    OperationState,
)
from services.wallet.domain.orders import (
    approval_bytes,
    data_entry_bytes,
    end_bytes,
    operation_bytes,
    payment_bytes,
    payout_address_bytes,
    record_bytes,
    resume_bytes,
    shown_target_bytes,
    token_bytes,
    transaction_bytes,
    wallet_bytes,
    withdrawal_bytes,
)
from services.wallet.domain.tokens import Token
from services.wallet.keys.row_macs import RowMacs

#: Addresses of a wallet that are looked at, the newest ones (queries/withdrawals.sql and
#: wallet.payout_address have the same number).
MOST_ADDRESSES = 1000
#: Kinds of operations whose amount is what the chain gave, once they have succeeded.
_MEASURED = frozenset({OperationKind.PLANT.value, OperationKind.HARVEST.value})


class Orders:
    """The maker and the judge of authenticators, for the stores.

    Every method raises RowKeysMissingError while the keys of rows are not open.
    """

    def __init__(self, macs: RowMacs) -> None:
        self._macs = macs

    # Making -----------------------------------------------------------------------------------

    def for_wallet(
        self,
        *,
        row_id: UUID,
        kind: str,
        address: str,
        farmer_id: UUID | None = None,
        pooler_id: UUID | None = None,
        stake_bps: int = WHOLE,
    ) -> bytes:
        """Return the authenticator of a wallet."""
        return self._macs.mac(
            wallet_bytes(
                row_id=row_id,
                kind=kind,
                farmer_id=farmer_id,
                pooler_id=pooler_id,
                address=address,
                stake_bps=stake_bps,
            )
        )

    def for_operation(
        self, kind: OperationKind, operation: NewOperation, *, block_index: int
    ) -> bytes:
        """Return the authenticator of a new operation of a batch."""
        return self._macs.mac(
            operation_bytes(
                row_id=operation.id,
                kind=kind.value,
                wallet_id=operation.wallet_id,
                block_index=block_index,
                amount=operation.amount,
                nonce=operation.nonce,
                digest=operation.hash,
            )
        )

    def for_own_operation(
        self,
        kind: OperationKind,
        *,
        row_id: UUID,
        wallet_id: UUID,
        block_index: int = 0,
        amount: int = 0,
        digest: bytes | None = None,
    ) -> bytes:
        """Return the authenticator of an operation that wallet itself asks for."""
        return self._macs.mac(
            operation_bytes(
                row_id=row_id,
                kind=kind.value,
                wallet_id=wallet_id,
                block_index=block_index,
                amount=amount,
                digest=digest,
            )
        )

    def for_data_entry(
        self, *, operation_id: UUID, day: int, root: bytes, requested_at: datetime
    ) -> bytes:
        """Return the authenticator of a root that is to be written into the data entry."""
        return self._macs.mac(
            data_entry_bytes(
                operation_id=operation_id, day=day, root=root, requested_at=requested_at
            )
        )

    def for_end(self, ending: Ending) -> bytes:
        """Return the authenticator of how an operation has ended."""
        return self._macs.mac(
            end_bytes(
                operation_id=ending.operation_id,
                state=ending.state.value,
                amount=ending.amount,
                stake_returned=ending.stake_returned,
                gap=ending.gap,
                ledger=ending.ledger,
            )
        )

    def for_end_of(self, row: Mapping[str, Any]) -> bytes:
        """Return the authenticator of how an operation is to have ended, by its row."""
        return self._macs.mac(_end_bytes(row))

    def for_withdrawal(
        self,
        *,
        operation_id: UUID,
        wallet_id: UUID,
        request_id: str,
        asset: str,
        amount: int,
        destination: str,
        requested_at: datetime,
    ) -> bytes:
        """Return the authenticator of a new withdrawal."""
        return self._macs.mac(
            withdrawal_bytes(
                operation_id=operation_id,
                wallet_id=wallet_id,
                request_id=request_id,
                asset=asset,
                amount=amount,
                destination=destination,
                requested_at=requested_at,
            )
        )

    def for_payment(self, operation_id: UUID, payer_id: UUID) -> bytes:
        """Return the authenticator of a payment's payer."""
        return self._macs.mac(payment_bytes(operation_id=operation_id, payer_id=payer_id))

    def for_payout_address(
        self,
        *,
        wallet_id: UUID,
        number: int,
        address: str,
        registered_at: datetime,
        effective_at: datetime,
    ) -> bytes:
        """Return the authenticator of a new outside address."""
        return self._macs.mac(
            payout_address_bytes(
                wallet_id=wallet_id,
                number=number,
                address=address,
                registered_at=registered_at,
                effective_at=effective_at,
            )
        )

    def for_transaction(
        self,
        *,
        row_id: UUID,
        source: str,
        sequence: int,
        lookup_hash: str,
        max_time: int,
        operation_ids: Sequence[UUID],
        bump_to: int | None = None,
        is_rent: bool = False,
    ) -> bytes:
        """Return the authenticator of a transaction; only a payer's has `bump_to`."""
        return self._macs.mac(
            transaction_bytes(
                row_id=row_id,
                source=source,
                sequence=sequence,
                bump_to=bump_to,
                lookup_hash=lookup_hash,
                max_time=max_time,
                is_rent=is_rent,
                operation_ids=operation_ids,
            )
        )

    def for_shown_target(self, payer: str, target: int) -> bytes:
        """Return the authenticator of a number that a payer (its address) was shown to stand at."""
        return self._macs.mac(shown_target_bytes(payer=payer, target=target))

    def for_resume(self, row: Record) -> bytes:
        """Return the authenticator of the end of a pause, as its row has it."""
        return self._macs.mac(resume_row(row))

    def for_new_resume(self, row: Record, *, resumed_by: str, resumed_at: datetime) -> bytes:
        """Return the authenticator of the end that this pause is to have."""
        return self._macs.mac(
            _resume_bytes({**dict(row), "resumed_by": resumed_by, "resumed_at": resumed_at})
        )

    def for_approval(self, approval: Approval) -> bytes:
        """Return the authenticator of an approval as it is to stand."""
        return self._macs.mac(_approval_bytes(vars(approval)))

    def for_token(self, token: Token) -> bytes:
        """Return the authenticator of a new token."""
        values = {**vars(token), "role": token.role.value}
        return self._macs.mac(_token_bytes(values))

    def for_revoked_token(self, row: Record, *, revoked_by: str, revoked_at: datetime) -> bytes:
        """Return the authenticator of a token that is to be revoked; its row has the rest."""
        return self._macs.mac(
            _token_bytes({**dict(row), "revoked_by": revoked_by, "revoked_at": revoked_at})
        )

    def for_record(self, number: int, digest: bytes) -> bytes | None:
        """Return the authenticator of a new record of the audit log; None before the keys are open.

        What is recorded by then (a pause, say) must not wait for them.
        """
        if not self._macs.is_ready:
            return None
        return self._macs.mac(record_bytes(number=number, digest=digest))

    def mac(self, data: bytes) -> bytes:
        """Return the authenticator of a row's bytes, for stores that know their rows themselves."""
        return self._macs.mac(data)

    # Judging ----------------------------------------------------------------------------------

    def is_genuine(self, data: bytes, mac: bytes | None) -> bool:
        """Judge a row's bytes, for stores that know their rows themselves."""
        return self._macs.is_genuine(data, mac)

    def are_versions(self, rows: Sequence[Record], data: Callable[[Record], bytes]) -> bool:
        """Judge all rows of one thing, by their numbers: none may be missing.

        Of what has more, these are the newest MOST_ADDRESSES.
        """
        first = rows[0]["number"] if len(rows) >= MOST_ADDRESSES else 1
        return all(
            row["number"] == number and self._macs.is_genuine(data(row), row["mac"])
            for number, row in enumerate(rows, start=first)
        )

    def is_wallet(self, row: Record) -> bool:
        """Judge a wallet's row."""
        return self._macs.is_genuine(wallet_row(row), row["mac"])

    def is_claimed(self, row: Record) -> bool:
        """Judge an operation that was taken up, with the wallet that it is for."""
        wallet = wallet_bytes(
            row_id=row["wallet_id"],
            kind=row["wallet_kind"],
            farmer_id=row["farmer_id"],
            pooler_id=row["pooler_id"],
            address=row["address"],
            stake_bps=row["stake_bps"],
        )
        return self._macs.is_genuine(operation_row(row), row["mac"]) and self._macs.is_genuine(
            wallet, row["wallet_mac"]
        )

    def is_end(self, row: Record) -> bool:
        """Judge how an operation is said to have ended (end_mac)."""
        return self._macs.is_genuine(end_row(row), row["end_mac"])

    def is_withdrawal(self, row: Record) -> bool:
        """Judge a withdrawal, with the payer that it belongs to (payer_id, payment_mac)."""
        return self._macs.is_genuine(withdrawal_row(row), row["mac"]) and self._macs.is_genuine(
            payment_row(row), row["payment_mac"]
        )

    def is_asked(self, row: Record) -> bool:
        """Judge what a withdrawal (withdrawn, withdrawal_mac) sends, and that it was asked for."""
        order = withdrawal_bytes(
            operation_id=row["operation_id"],
            wallet_id=row["wallet_id"],
            request_id=row["request_id"],
            asset=row["asset"],
            amount=row["withdrawn"],
            destination=row["destination"],
            requested_at=row["requested_at"],
        )
        return self._macs.is_genuine(order, row["withdrawal_mac"])

    def has_left(self, row: Record) -> bool:
        """Judge whether a withdrawal (withdrawn, withdrawal_mac) has left, or may have.

        It has by wallet's word (end_mac), or its payer's transaction, which carries it now, may
        still take it along.
        """
        if not self.is_asked(row):
            return False
        if row["state"] == OperationState.SUCCEEDED.value:
            return self.is_end(row)
        return row["operation_id"] in row["operation_ids"] and self.is_payer_transaction(row)

    def is_data_entry(self, row: Record) -> bool:
        """Judge a root that is to be written into the data entry."""
        return self._macs.is_genuine(data_entry_row(row), row["mac"])

    def is_payment(self, operation_id: UUID, payer_id: UUID, mac: bytes | None) -> bool:
        """Judge whether a payment belongs to a payer."""
        return self._macs.is_genuine(
            payment_bytes(operation_id=operation_id, payer_id=payer_id), mac
        )

    def are_addresses(self, rows: Sequence[Record]) -> bool:
        """Judge the outside addresses of one wallet, by their numbers: none may be missing.

        Of a wallet that has more, these are the newest MOST_ADDRESSES.
        """
        return self.are_versions(rows, address_row)

    def is_shown_target(self, row: Record) -> bool:
        """Judge a number that a payer was shown to stand at."""
        return self._macs.is_genuine(shown_target_row(row), row["mac"])

    def is_resume(self, row: Record) -> bool:
        """Judge the end of a pause."""
        return self._macs.is_genuine(resume_row(row), row["resume_mac"])

    def is_approval(self, row: Record) -> bool:
        """Judge an approval: what was asked, who agreed, and its use."""
        return self._macs.is_genuine(approval_row(row), row["mac"])

    @property
    def are_open(self) -> bool:
        """Tell whether the keys of rows are open."""
        return self._macs.is_ready

    def key_of_record(self, number: int, digest: bytes, mac: bytes | None) -> int:
        """Return the number of the key that vouches for a record of the audit log; 0: none does.

        Records never change, so that a key that was given up for rows goes on to vouch for them.
        """
        row = record_bytes(number=number, digest=digest)
        if mac is None or not self._macs.is_of_any_age(row, mac):
            return 0
        return self._macs.number_of(mac)

    def is_token(self, row: Record) -> bool:
        """Judge a token's row."""
        return self._macs.is_genuine(token_row(row), row["mac"])

    def is_payer_transaction(self, row: Record | Mapping[str, Any]) -> bool:
        """Judge a payer's transaction, with the ids (operation_ids) of what it carries."""
        return row["bump_to"] is not None and self.is_transaction(row)

    def is_transaction(self, row: Record | Mapping[str, Any]) -> bool:
        """Judge any transaction, with the ids (operation_ids) of what it carries."""
        return self._macs.is_genuine(transaction_row(row), row["mac"])

    def is_open_transaction(self, transaction: OpenTransaction) -> bool:
        """Judge a transaction in flight, on the values that were read."""
        row = transaction_bytes(
            row_id=transaction.id,
            source=transaction.source,
            sequence=transaction.sequence,
            bump_to=transaction.bump_to,
            lookup_hash=transaction.lookup_hash,
            max_time=transaction.max_time,
            is_rent=transaction.is_rent,
            operation_ids=[item.id for item in transaction.operations],
        )
        return self._macs.is_genuine(row, transaction.mac)


def wallet_row(row: Record) -> bytes:
    """Return the bytes of a wallet, as its row has it."""
    return wallet_bytes(
        row_id=row["id"],
        kind=row["kind"],
        farmer_id=row["farmer_id"],
        pooler_id=row["pooler_id"],
        address=row["address"],
        stake_bps=row["stake_bps"],
    )


def operation_row(row: Record) -> bytes:
    """Return the bytes of an operation, as its row has it."""
    return operation_bytes(
        row_id=row["id"],
        kind=row["kind"],
        wallet_id=row["wallet_id"],
        block_index=row["block_index"],
        amount=row["amount"],
        nonce=None if row["nonce"] is None else int(row["nonce"]),
        digest=row["hash"],
    )


def end_row(row: Record) -> bytes:
    """Return the bytes of how an operation has ended, as its row (operation_id) has it."""
    return _end_bytes(row)


def _end_bytes(row: Record | Mapping[str, Any]) -> bytes:
    """Leave out what an end does not decide.

    What did not succeed gave nothing, and the amount of other kinds is part of the order.
    """
    has_succeeded = row["state"] == OperationState.SUCCEEDED.value
    is_measured = has_succeeded and row["kind"] in _MEASURED
    return end_bytes(
        operation_id=row["operation_id"],
        state=row["state"],
        amount=row["amount"] if is_measured else 0,
        stake_returned=row["stake_returned"] if has_succeeded else 0,
        gap=(row["gap"] or 0) if has_succeeded else 0,
        ledger=row["ledger"] or 0,
    )


def withdrawal_row(row: Record) -> bytes:
    """Return the bytes of a withdrawal, as its row has it."""
    return withdrawal_bytes(
        operation_id=row["operation_id"],
        wallet_id=row["wallet_id"],
        request_id=row["request_id"],
        asset=row["asset"],
        amount=row["amount"],
        destination=row["destination"],
        requested_at=row["requested_at"],
    )


def payment_row(row: Record) -> bytes:
    """Return the bytes of a payment, as its row has it."""
    return payment_bytes(operation_id=row["operation_id"], payer_id=row["payer_id"])


def data_entry_row(row: Record) -> bytes:
    """Return the bytes of a root that is to be written, as its row has it."""
    return data_entry_bytes(
        operation_id=row["operation_id"],
        day=row["day"],
        root=row["root"],
        requested_at=row["requested_at"],
    )


def address_row(row: Record) -> bytes:
    """Return the bytes of an outside address, as its row has it."""
    return payout_address_bytes(
        wallet_id=row["wallet_id"],
        number=row["number"],
        address=row["address"],
        registered_at=row["registered_at"],
        effective_at=row["effective_at"],
    )


def transaction_row(row: Record | Mapping[str, Any]) -> bytes:
    """Return the bytes of a transaction, as its row has it."""
    return transaction_bytes(
        row_id=row["id"],
        source=row["source"],
        sequence=row["sequence"],
        bump_to=row["bump_to"],
        lookup_hash=row["lookup_hash"],
        max_time=row["max_time"],
        is_rent=row["is_rent"],
        operation_ids=row["operation_ids"],
    )


def shown_target_row(row: Record) -> bytes:
    """Return the bytes of a shown target, as its row has it."""
    return shown_target_bytes(payer=row["address"], target=row["target"])


def resume_row(row: Record) -> bytes:
    """Return the bytes of a pause that has ended, as its row has it."""
    return _resume_bytes(dict(row))


def _resume_bytes(values: Mapping[str, Any]) -> bytes:
    return resume_bytes(
        pause_id=values["id"],
        scope=values["scope"],
        target=values["target"],
        reason=values["reason"],
        paused_by=values["paused_by"],
        paused_at=values["paused_at"],
        resumed_by=values["resumed_by"],
        resumed_at=values["resumed_at"],
    )


def approval_row(row: Record) -> bytes:
    """Return the bytes of an approval, as its row has it."""
    return _approval_bytes(dict(row))


def _approval_bytes(values: Mapping[str, Any]) -> bytes:
    return approval_bytes(
        approval_id=values["id"],
        method=values["method"],
        digest=values["digest"],
        request=values["request"],
        asked_by=values["asked_by"],
        asked_at=values["asked_at"],
        expires_at=values["expires_at"],
        approved_by=values["approved_by"],
        approved_at=values["approved_at"],
        used_at=values["used_at"],
    )


def token_row(row: Record) -> bytes:
    """Return the bytes of a token, as its row has it."""
    return _token_bytes(dict(row))


def _token_bytes(values: Mapping[str, Any]) -> bytes:
    return token_bytes(
        row_id=values["id"],
        role=values["role"],
        subject=values["subject"],
        pooler_id=values["pooler_id"],
        name=values["name"],
        methods=values["methods"],
        is_read_only=values["is_read_only"],
        secret_hash=values["secret_hash"],
        created_by=values["created_by"],
        created_at=values["created_at"],
        expires_at=values["expires_at"],
        revoked_by=values["revoked_by"],
        revoked_at=values["revoked_at"],
    )
