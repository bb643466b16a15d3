"""Sealed keys by the KEK that wraps them, and rotations from one KEK to the next."""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.common.db.pool import Database, Record
from libs.common.ids import WalletId, new_id
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.key_rotation import KeyRotation, RotationId
from services.wallet.keys.provider import WrappedKey
from services.wallet.keys.row_macs import MadeKey, SealedRowKey
from services.wallet.keys.seal import bound_context
from services.wallet.keys.token_keys import ReplacedKey, SealedTokenKey
from services.wallet.store.custody import append
from services.wallet.store.orders import Orders


@dataclass(frozen=True, kw_only=True)
class Rewrap:
    """One data key under two KEKs."""

    #: The wallet whose data key it is.
    wallet_id: WalletId
    #: The wrapping that the row has.
    old: WrappedKey
    #: The wrapping that the row is to have.
    new: WrappedKey


class KeyStore:
    """The tables key_rotations, row_keys and token_keys, and what may change of sealed_keys."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders

    async def kek_uses(self) -> list[tuple[str, int]]:
        """Return the KEKs with the number of data keys under each."""
        return [(row["kek_id"], row["keys"]) for row in await self._database.many("kek_uses")]

    async def start_rotation(self, kek_id: str, *, actor: str) -> KeyRotation:
        """Open a rotation to this KEK, or return the open one; end one to another KEK.

        The open rotation may end meanwhile: then the newest rotation is returned.
        """
        async with self._database.transaction() as session:
            await session.execute("end_other_rotations", kek_id)
            made = await session.execute("insert_rotation", new_id(), kek_id)
            act = Act(actor=actor, action=Action.ROTATE_KEYS, subject=kek_id)
            await append(session, [act] if made else [], self._orders)
            row = await session.one("last_rotation")
        if row is None:
            raise LookupError(f"no rotation to {kek_id}, although it was just recorded")
        return _rotation(row)

    async def last_rotation(self) -> KeyRotation | None:
        """Return the newest rotation, open or not."""
        row = await self._database.one("last_rotation")
        return None if row is None else _rotation(row)

    async def open_rotation(self) -> KeyRotation | None:
        """Return the rotation that is not finished; None when there is none."""
        row = await self._database.one("open_rotation")
        return None if row is None else _rotation(row)

    async def under_other_keks(
        self, kek_id: str, *, after: WalletId | None, limit: int
    ) -> list[tuple[WalletId, WrappedKey]]:
        """Return the next data keys, by their wallets' ids, that this KEK does not wrap."""
        rows = await self._database.many("keys_to_rewrap", kek_id, after, limit)
        return [(WalletId(row["wallet_id"]), _wrapped(row)) for row in rows]

    async def rewrap(self, rotation_id: RotationId, rewraps: Sequence[Rewrap]) -> int:
        """Replace old wrappings by new ones, where the old ones are still there."""
        row = await self._database.one(
            "rewrap_keys",
            rotation_id,
            [item.wallet_id for item in rewraps],
            [item.old.kek_id for item in rewraps],
            [item.new.kek_id for item in rewraps],
            [item.new.ciphertext for item in rewraps],
        )
        return 0 if row is None else int(row["changed"])

    async def row_keys(self) -> list[SealedRowKey]:
        """Return the keys of rows, by their numbers."""
        return [SealedRowKey(**dict(row)) for row in await self._database.many("row_keys")]

    async def insert_row_key(self, key: SealedRowKey, act: Act | None = None) -> None:
        """Record a key of rows with its record, unless one of this number is there."""
        async with self._database.transaction() as session:
            made = await session.execute(
                "insert_row_key", key.number, key.accepts_from, key.kek_id, key.wrapped_key
            )
            await append(session, [act] if made and act is not None else [], self._orders)

    async def made_row_keys(self) -> list[MadeKey]:
        """Return the records which say that a key of rows was made, whoever wrote them."""
        return [MadeKey(**dict(row)) for row in await self._database.many("made_row_keys")]

    async def replace_row_key(self, old: SealedRowKey, new: SealedRowKey) -> bool:
        """Replace the wrapping of a key of rows, if the old one is still there.

        What it accepts no more is recorded.
        """
        async with self._database.transaction() as session:
            changed = await session.execute(
                "replace_row_key",
                old.number,
                old.kek_id,
                old.wrapped_key,
                old.accepts_from,
                new.kek_id,
                new.wrapped_key,
                new.accepts_from,
            )
            is_less = changed == 1 and new.accepts_from > old.accepts_from
            act = Act(actor="wallet", action=Action.GIVE_UP_ROW_KEYS, subject=str(new.accepts_from))
            await append(session, [act] if is_less else [], self._orders)
        return changed == 1

    async def accepted_from(self) -> int:
        """Return the lowest number of a key of rows that counts by the audit log.

        Records that wallet did not write say nothing.
        """
        rows = await self._database.many("given_up_row_keys")
        return max(
            (
                int(row["subject"])
                for row in rows
                if self._orders.key_of_record(row["number"], row["hash"], row["mac"])
            ),
            default=1,
        )

    async def token_keys(self) -> list[SealedTokenKey]:
        """Return the keys of tokens, by their numbers."""
        return [SealedTokenKey(**dict(row)) for row in await self._database.many("token_keys")]

    async def replaced_token_keys(self) -> list[ReplacedKey]:
        """Return which keys of tokens were made in place of older ones, by wallet's own records."""
        rows = await self._database.many("replaced_token_keys")
        return [
            ReplacedKey(number=int(row["subject"].rpartition(" ")[2]), age=row["age"])
            for row in rows
            if self._orders.key_of_record(row["number"], row["hash"], row["mac"])
        ]

    async def insert_token_key(self, key: SealedTokenKey, act: Act | None = None) -> None:
        """Record a key of tokens with its record, unless one of this number is there."""
        async with self._database.transaction() as session:
            made = await session.execute(
                "insert_token_key", key.number, key.kek_id, key.wrapped_key
            )
            await append(session, [act] if made and act is not None else [], self._orders)

    async def replace_token_key(self, old: SealedTokenKey, new: SealedTokenKey) -> bool:
        """Replace the wrapping of a key of tokens, if the old one is still there."""
        changed = await self._database.execute(
            "replace_token_key",
            old.number,
            old.kek_id,
            old.wrapped_key,
            new.kek_id,
            new.wrapped_key,
        )
        return changed == 1

    async def is_empty(self) -> bool:
        """Tell whether no wallet was ever made here."""
        row = await self._database.one("is_empty")
        return row is not None and bool(row["is_empty"])

    async def end_rotation(self, rotation_id: RotationId, *, failed: int) -> bool:
        """Close a rotation; return False when somebody else has closed it."""
        return await self._database.execute("end_rotation", rotation_id, failed) == 1


def _rotation(row: Record) -> KeyRotation:
    return KeyRotation(**dict(row))


def _wrapped(row: Record) -> WrappedKey:
    return WrappedKey(
        kek_id=row["kek_id"],
        ciphertext=row["wrapped_data_key"],
        context=bound_context(WalletId(row["wallet_id"]), row["address"]),
    )
