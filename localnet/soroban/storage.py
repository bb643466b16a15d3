"""Ledger entries as one invocation sees them: footprint enforced, changes undone on failure."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from stellar_sdk import Keypair, StrKey, scval, xdr

from localnet.soroban.errors import HostError, host_error
from localnet.soroban.model import Entry, EntryChange, Footprint, LedgerInfo, LedgerView
from localnet.soroban.values import INSTANCE_KEY, VOID, order, sc_address

_OUTSIDE = "trying to access contract data key outside of the footprint"
Durability = Literal["temporary", "persistent"]
_DURABILITY = {
    "temporary": xdr.ContractDataDurability.TEMPORARY,
    "persistent": xdr.ContractDataDurability.PERSISTENT,
}


@dataclass(frozen=True)
class Key:
    """A ledger key: its bytes, its place in a footprint, and its description in errors."""

    #: LedgerKey XDR.
    raw: bytes
    #: Sort key that gives the host's order of footprints.
    order: tuple[object, ...]
    #: Contract address and key for contract data, else None.
    subject: tuple[xdr.SCVal, xdr.SCVal] | None = None

    def __hash__(self) -> int:
        return hash(self.raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.raw == other.raw


def data_key(contract: str, key: xdr.SCVal, durability: Durability) -> Key:
    """Return the key of an entry of a contract (or, for nonces, of an account)."""
    address = sc_address(contract)
    data = xdr.LedgerKeyContractData(contract=address, key=key, durability=_DURABILITY[durability])
    raw = xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data).to_xdr_bytes()
    place = (6, address.to_xdr_bytes(), order(key), durability == "persistent")
    owner = xdr.SCVal(xdr.SCValType.SCV_ADDRESS, address=address)
    return Key(raw, place, (owner, key))


@lru_cache(maxsize=256)
def instance_key(contract: str) -> Key:
    """Return the key of a contract's instance."""
    return data_key(contract, INSTANCE_KEY, "persistent")


@lru_cache(maxsize=256)
def code_key(code_hash: bytes) -> Key:
    """Return the key of a contract's code."""
    code = xdr.LedgerKeyContractCode(hash=xdr.Hash(code_hash))
    raw = xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=code).to_xdr_bytes()
    return Key(raw, (7, code_hash))


@lru_cache(maxsize=65_536)
def account_key(address: str) -> Key:
    """Return the key of an account."""
    account = Keypair.from_public_key(address).xdr_account_id()
    raw = xdr.LedgerKey(
        xdr.LedgerEntryType.ACCOUNT, account=xdr.LedgerKeyAccount(account_id=account)
    ).to_xdr_bytes()
    return Key(raw, (0, StrKey.decode_ed25519_public_key(address)))


@lru_cache(maxsize=65_536)
def trustline_key(address: str, asset: bytes) -> Key:
    """Return the key of an account's trustline; `asset` is the packed TrustLineAsset."""
    line = xdr.LedgerKeyTrustLine(
        account_id=Keypair.from_public_key(address).xdr_account_id(),
        asset=xdr.TrustLineAsset.from_xdr_bytes(asset),
    )
    raw = xdr.LedgerKey(xdr.LedgerEntryType.TRUSTLINE, trust_line=line).to_xdr_bytes()
    place = (1, StrKey.decode_ed25519_public_key(address), asset)
    return Key(raw, place)


class FootprintError(HostError):
    """An error: an entry outside of the footprint was touched."""

    def __init__(self, key: Key) -> None:
        super().__init__(
            host_error("STORAGE", "EXCEEDED_LIMIT").error,
            words=(scval.to_string(_OUTSIDE), *(key.subject or (VOID,))),
            function="has_contract_data",
        )


class Storage:
    """The view with the invocation's changes on top; `None` in the changes means removed."""

    def __init__(self, view: LedgerView, ledger: LedgerInfo, footprint: Footprint | None) -> None:
        self._view = view
        self._ledger = ledger
        self._given = footprint
        self._writable = frozenset(footprint.read_write) if footprint else frozenset()
        self._readable = frozenset(footprint.read_only) if footprint else frozenset()
        self._touched: dict[Key, bool] = {}
        self._before: dict[Key, Entry | None] = {}
        self._now: dict[Key, Entry | None] = {}

    def get(self, key: Key) -> Entry | None:
        """Return the entry, or None when it does not exist or has expired."""
        self._access(key, write=False)
        return self._read(key)

    def put(self, key: Key, data: xdr.LedgerEntryData, live_until: int | None) -> None:
        """Write an entry; an existing entry keeps its lifetime and its sponsor."""
        self._access(key, write=True)
        before = self._read(key)
        entry = xdr.LedgerEntry(
            last_modified_ledger_seq=xdr.Uint32(self._ledger.sequence),
            data=data,
            ext=before.entry.ext if before is not None else xdr.LedgerEntryExt(0),
        )
        life = before.live_until if before is not None else live_until
        self._now[key] = Entry(entry=entry, live_until=life)

    def remove(self, key: Key) -> None:
        """Remove an entry."""
        self._access(key, write=True)
        self._read(key)
        self._now[key] = None

    def extend(self, key: Key, *, threshold: int, extend_to: int) -> None:
        """Raise the remaining lifetime to `extend_to` when it is at most `threshold` ledgers."""
        entry = self.get(key)
        if entry is None or entry.live_until is None:
            return
        if entry.live_until - self._ledger.sequence <= threshold:
            until = self._ledger.sequence + extend_to
            self._now[key] = Entry(entry=entry.entry, live_until=max(entry.live_until, until))

    def first_life(self, durability: Durability) -> int:
        """Return the last ledger in which an entry that is made now lives."""
        settings = self._ledger.settings
        temporary = durability == "temporary"
        ttl = settings.min_temporary_ttl if temporary else settings.min_persistent_ttl
        return self._ledger.sequence + ttl - 1

    def longest_life(self) -> int:
        """Return the last ledger to which an entry may live."""
        return self._ledger.sequence + self._ledger.settings.max_entry_ttl - 1

    def snapshot(self) -> Callable[[], None]:
        """Return a function that undoes every change made from now on; accesses stay noted."""
        kept = dict(self._now)

        def undo() -> None:
            self._now.clear()
            self._now.update(kept)

        return undo

    def footprint(self) -> Footprint:
        """Return the given footprint, or else the touched keys."""
        if self._given is not None:
            return self._given
        ordered = sorted(self._touched, key=lambda key: key.order)
        return Footprint(
            read_only=tuple(key.raw for key in ordered if not self._touched[key]),
            read_write=tuple(key.raw for key in ordered if self._touched[key]),
        )

    def changes(self) -> tuple[EntryChange, ...]:
        """Return every entry that was written, removed or extended, in the footprint's order."""
        ordered = sorted(self._now, key=lambda key: key.order)
        return tuple(
            EntryChange(key=key.raw, before=self._before.get(key), after=self._now[key])
            for key in ordered
        )

    def _read(self, key: Key) -> Entry | None:
        if key in self._now:
            return self._now[key]
        if key not in self._before:
            entry = self._view.get(key.raw)
            self._before[key] = entry if entry is not None and self._lives(entry) else None
        return self._before[key]

    def _lives(self, entry: Entry) -> bool:
        return entry.live_until is None or entry.live_until >= self._ledger.sequence

    def _access(self, key: Key, *, write: bool) -> None:
        if self._given is None:
            self._touched[key] = self._touched.get(key, False) or write
        elif key.raw not in self._writable and (write or key.raw not in self._readable):
            raise FootprintError(key)
