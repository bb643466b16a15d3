"""What `kalepool statement verify` needs of Stellar's XDR: data entries, and events of a token.

The command stands on no SDK: whoever has it can read this page and see what is compared.
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from libs.kale.address import raw_key

#: LedgerEntryType DATA, PublicKeyType ED25519, AssetType CREDIT_ALPHANUM4.
_DATA, _ED25519, _ALPHANUM4 = 3, 0, 1
#: EnvelopeType CONTRACT_ID, ContractIDPreimageType FROM_ASSET.
_CONTRACT_ID, _FROM_ASSET = 8, 1
_CODE_LENGTH = 4


def data_key(address: str, name: str) -> str:
    """Return the LedgerKey (base64) of a data entry."""
    key = _u32(_DATA) + _u32(_ED25519) + raw_key(address) + _opaque(name.encode())
    return base64.b64encode(key).decode()


def data_value(entry: str, *, address: str, name: str) -> bytes:
    """Return the value of a data entry (LedgerEntryData, base64). Raise ValueError."""
    data = base64.b64decode(entry, validate=True)
    head = base64.b64decode(data_key(address, name))
    if not data.startswith(head):
        raise ValueError("not the data entry that was asked for")
    return _Reader(data[len(head) :]).opaque()


def token_id(asset: str, passphrase: str) -> bytes:
    """Return the id of the contract of an asset, CODE:ISSUER, on a network."""
    code, _, issuer = asset.partition(":")
    if len(code) > _CODE_LENGTH:
        raise ValueError("the asset has a long code")
    packed = _u32(_ALPHANUM4) + code.encode().ljust(_CODE_LENGTH, b"\0")
    packed += _u32(_ED25519) + raw_key(issuer)
    network = hashlib.sha256(passphrase.encode()).digest()
    preimage = _u32(_CONTRACT_ID) + network + _u32(_FROM_ASSET) + packed
    return hashlib.sha256(preimage).digest()


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event of a contract."""

    #: The contract's id, 32 bytes; empty for none.
    contract: bytes
    #: What it is about: mint, transfer, and keys of accounts (32 bytes).
    topics: Sequence[object]
    #: The amount; None when it has none.
    amount: int | None


def moves_of(events: Sequence[str], *, token: bytes, account: bytes) -> tuple[int, ...]:
    """Return what each event (base64) of a token gave an account; below zero: took.

    Raise ValueError for an event that cannot be read.
    """
    found = [_event(text) for text in events]
    return tuple(
        given
        for event in found
        if event.contract == token and event.amount is not None
        for given in _given(event, account)
    )


def _given(event: Event, account: bytes) -> Sequence[int]:
    """Return what an event gave an account, as CAP-67 names senders and receivers."""
    kind, *who = event.topics
    amount = event.amount or 0
    parties = [one for one in who if isinstance(one, bytes)]
    if kind == "transfer" and len(parties) == 2:  # sender and receiver
        return [
            *([-amount] if parties[0] == account else []),
            *([amount] if parties[1] == account else []),
        ]
    # Before protocol 23 a mint named the issuer first.
    if kind == "mint" and parties and parties[-1] == account:
        return [amount]
    if kind in {"burn", "clawback"} and parties and parties[-1] == account:
        return [-amount]
    return []


def _event(text: str) -> Event:
    reader = _Reader(base64.b64decode(text, validate=True))
    if reader.u32():
        raise ValueError("an event with an extension that is not known")
    contract = reader.take(32) if reader.u32() else b""
    reader.u32()  # its type
    if reader.u32():
        raise ValueError("an event of another version")
    topics = reader.values()
    data = reader.value()
    if isinstance(data, dict):
        data = data.get("amount")
    return Event(contract=contract, topics=topics, amount=data if type(data) is int else None)


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _opaque(data: bytes) -> bytes:
    return _u32(len(data)) + data + bytes(-len(data) % 4)


class _Reader:
    """A position in XDR. Raise ValueError where it ends too early, or says what is not known."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        end = self._at + count
        if count < 0 or end > len(self._data):
            raise ValueError("XDR that ends too early")
        found, self._at = self._data[self._at : end], end
        return found

    def u32(self) -> int:
        """Return a number of four bytes."""
        return int.from_bytes(self.take(4), "big")

    def signed(self, count: int) -> int:
        """Return a number of so many bytes, which may be below zero."""
        return int.from_bytes(self.take(count), "big", signed=True)

    def opaque(self) -> bytes:
        """Return bytes that have their length before them."""
        length = self.u32()
        found = self.take(length)
        self.take(-length % 4)
        return found

    def values(self) -> list[object]:
        """Return a list of SCVals."""
        return [self.value() for _ in range(self.u32())]

    def value(self) -> object:
        """Return an SCVal: a number, a text, the key of an account, a map, or None."""
        read = _VALUES.get(self.u32())
        if read is None:
            raise ValueError("a value of a type that is not known")
        return read(self)

    def address(self) -> bytes:
        """Return what names an account or a contract: its key."""
        kind = self.u32()
        if kind == 0:  # an account
            self.u32()
            return self.take(32)
        if kind in {1, 4}:  # a contract, a liquidity pool
            return self.take(32)
        if kind == 2:  # an account with a number for one of several
            self.take(8)
            return self.take(32)
        raise ValueError("an address of a type that is not known")

    def map(self) -> dict[object, object] | None:
        """Return a map; None for none."""
        if not self.u32():
            return None
        pairs = [(self.value(), self.value()) for _ in range(self.u32())]
        return {key: value for key, value in pairs if isinstance(key, str)}

    def list(self) -> list[object] | None:
        """Return a vector; None for none."""
        return self.values() if self.u32() else None


def _sized(count: int) -> Callable[[_Reader], object]:
    return lambda reader: reader.signed(count)


def _text(reader: _Reader) -> str:
    return reader.opaque().decode(errors="replace")


#: What reads an SCVal, by its type.
_VALUES: dict[int, Callable[[_Reader], object]] = {
    0: _sized(4),
    1: lambda _: None,
    **dict.fromkeys((3, 4), _sized(4)),
    **dict.fromkeys((5, 6, 7, 8), _sized(8)),
    **dict.fromkeys((9, 10), _sized(16)),
    **dict.fromkeys((11, 12), _sized(32)),
    13: lambda reader: ("bytes", reader.opaque()),
    14: _text,
    15: _text,
    16: _Reader.list,
    17: _Reader.map,
    18: _Reader.address,
}
