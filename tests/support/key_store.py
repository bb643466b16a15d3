"""A stand-in for the table of keys: sealed keys of rows, of tokens and of wallets, in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from libs.common.ids import WalletId, new_id
from services.wallet.domain.audit import Act
from services.wallet.domain.key_rotation import KeyRotation, RotationId
from services.wallet.keys.provider import WrappedKey
from services.wallet.keys.row_macs import MadeKey, SealedRowKey
from services.wallet.keys.token_keys import ReplacedKey, SealedTokenKey
from services.wallet.store.keys import Rewrap


class FakeKeyStore:
    """Keeps keys as they were written; nobody else writes meanwhile, unless told otherwise."""

    def __init__(self) -> None:
        self.rows: list[SealedRowKey] = []
        self.tokens: list[SealedTokenKey] = []
        #: Records that a key of tokens was made in place of another one.
        self.replaced: list[ReplacedKey] = []
        self.wallets: dict[WalletId, WrappedKey] = {}
        #: Whether nothing was ever ordered.
        self.has_no_orders = True
        #: The lowest number of a row key that counts, by the audit log.
        self.accepted = 1
        self.acts: list[Act] = []
        self.rotation: KeyRotation | None = None
        self.rewraps: list[tuple[RotationId, list[Rewrap]]] = []
        self.ended: list[tuple[RotationId, int]] = []
        #: The wallets after which keys were asked for, and how many.
        self.asked: list[tuple[WalletId | None, int]] = []
        #: Inserted by another process meanwhile.
        self.faster: SealedTokenKey | None = None

    async def row_keys(self) -> list[SealedRowKey]:
        """As the store's."""
        return list(self.rows)

    async def insert_row_key(self, key: SealedRowKey, act: Act | None = None) -> None:
        """As the store's: the first one of a number stays."""
        if key.number not in {item.number for item in self.rows}:
            self.rows.append(key)
            self.acts += [] if act is None else [act]

    async def made_row_keys(self) -> list[MadeKey]:
        """As the store's, of a log in which no such record has wallet's authenticator."""
        return []

    async def replace_row_key(self, old: SealedRowKey, new: SealedRowKey) -> bool:
        """As the store's."""
        if old not in self.rows:
            return False
        self.rows[self.rows.index(old)] = replace(new, is_active=old.is_active, is_old=old.is_old)
        return True

    async def accepted_from(self) -> int:
        """As the store's."""
        return self.accepted

    async def is_empty(self) -> bool:
        """As the store's."""
        return self.has_no_orders

    async def token_keys(self) -> list[SealedTokenKey]:
        """As the store's."""
        return list(self.tokens)

    async def insert_token_key(self, key: SealedTokenKey, act: Act | None = None) -> None:
        """As the store's: the first one of a number stays."""
        made = self.faster or key
        self.faster = None
        if made.number not in {item.number for item in self.tokens}:
            self.tokens.append(made)
        self.acts += [] if act is None else [act]

    async def replaced_token_keys(self) -> list[ReplacedKey]:
        """As the store's."""
        return list(self.replaced)

    async def replace_token_key(self, old: SealedTokenKey, new: SealedTokenKey) -> bool:
        """As the store's."""
        if old not in self.tokens:
            return False
        self.tokens[self.tokens.index(old)] = replace(new, age=old.age)
        return True

    async def kek_uses(self) -> list[tuple[str, int]]:
        """As the store's."""
        names = [key.kek_id for key in self.wallets.values()]
        return [(name, names.count(name)) for name in sorted(set(names))]

    async def start_rotation(self, kek_id: str, *, actor: str) -> KeyRotation:
        """As the store's."""
        self.rotation = KeyRotation(
            id=RotationId(new_id()),
            kek_id=kek_id,
            rewrapped=0,
            failed=0,
            started_at=datetime(2026, 1, 1, tzinfo=UTC),
            ended_at=None,
        )
        return self.rotation

    async def last_rotation(self) -> KeyRotation | None:
        """As the store's."""
        return self.rotation

    async def open_rotation(self) -> KeyRotation | None:
        """As the store's."""
        is_open = self.rotation is not None and self.rotation.ended_at is None
        return self.rotation if is_open else None

    async def under_other_keks(
        self, kek_id: str, *, after: WalletId | None, limit: int
    ) -> Sequence[tuple[WalletId, WrappedKey]]:
        """As the store's."""
        self.asked.append((after, limit))
        found = [
            (item, key)
            for item, key in sorted(self.wallets.items())
            if key.kek_id != kek_id and (after is None or item > after)
        ]
        return found[:limit]

    async def rewrap(self, rotation_id: RotationId, rewraps: Sequence[Rewrap]) -> int:
        """As the store's."""
        self.rewraps.append((rotation_id, list(rewraps)))
        self.wallets |= {item.wallet_id: item.new for item in rewraps}
        return len(rewraps)

    async def end_rotation(self, rotation_id: RotationId, *, failed: int) -> bool:
        """As the store's."""
        self.ended.append((rotation_id, failed))
        if self.rotation is not None:
            self.rotation = replace(self.rotation, ended_at=datetime(2026, 1, 2, tzinfo=UTC))
        return True
