"""Accounts and trustlines read byte by byte: the few numbers that the wallet needs of them.

A thousand accounts are read again after every block's plants, works and harvests, and the SDK takes
a tenth of a millisecond for each. Nearly all accounts and trustlines have their fields at the same
places, and are read at once; the others are read field by field. A test compares the values read
here with those that the SDK reads. Order and types of the fields are those of
Stellar-ledger-entries.x.
"""

import struct
from typing import NamedTuple

_u32 = struct.Struct(">I").unpack_from
_4u8 = struct.Struct(">4B").unpack_from
_i64 = struct.Struct(">q").unpack_from
#: Accounts and trustlines as nearly all are; keys, and an asset with a short code, are passed over.
#: An account that was never a transaction's source ends there; others go on with the number's use.
_PLAIN_ACCOUNT = struct.Struct(">I36xqqIIII4BIIqq5I")
_PLAIN_LINE = struct.Struct(">I36xI40xqqII")

_ACCOUNT, _TRUSTLINE = 0, 1
#: By `_at_once`: the type, no inflationDest, no homeDomain, no signers, and the extensions 1 and 2
#: (without ids of sponsors).
_FORM = (_ACCOUNT, 0, 0, 0, 1, 2, 0)
#: The extension that tells the number's use, 3, or none.
_NO_USE, _USE = 0, 3
#: The extensions of accounts and lines that tell liabilities, and sponsorships.
_LIABILITIES, _SPONSORSHIP = 1, 2
#: Bytes of an AccountID: its type and its key.
_ACCOUNT_ID = 36
#: Bytes of a TrustLineAsset by its type: code and issuer, or a pool's id.
_ASSET = {0: 4, 1: 4 + 4 + _ACCOUNT_ID, 2: 4 + 12 + _ACCOUNT_ID, 3: 4 + 32}
#: SIGNER_KEY_TYPE_ED25519_SIGNED_PAYLOAD: the only signer with a payload behind its key.
_SIGNED_PAYLOAD = 3


class AccountFields(NamedTuple):
    """The fields of an AccountEntry that the wallet needs.

    Thousands are made in each block, and a frozen dataclass takes four times as long for that.
    """

    #: Stroops of XLM.
    balance: int
    #: Last used sequence number.
    sequence: int
    #: Ledger that used this sequence number; 0 when the entry does not say.
    used_ledger: int
    #: Subentries, and reserves that the account sponsors less those that are sponsored for it.
    reserves: int
    #: Whether the account's own key alone may be a transaction's source, make payments and allow
    #: calls (the key's weight reaches the low and the medium threshold).
    obeys: bool
    #: Whether the account's own key alone may do everything (its weight reaches all thresholds).
    obeys_fully: bool
    #: Stroops of XLM that the account must be able to receive, and that may not leave: its offers
    #: to buy and to sell.
    buying: int
    selling: int


class TrustlineFields(NamedTuple):
    """The fields of a TrustLineEntry that the wallet needs."""

    #: Stroops of the asset.
    balance: int
    #: Stroops of the asset that the line may hold.
    limit: int
    #: TrustLineFlags.
    flags: int
    #: Stroops of the asset that the line must be able to receive, and that may not leave: the
    #: account's offers to buy and to sell.
    buying: int
    selling: int


class _Reader:
    """A position in XDR that moves on with each read. Reading past the end raises struct.error."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def u32(self) -> int:
        (value,) = _u32(self._data, self._at)
        self._at += 4
        return int(value)

    def i64(self) -> int:
        (value,) = _i64(self._data, self._at)
        self._at += 8
        return int(value)

    def amount(self) -> int:
        value = self.i64()
        if value < 0:
            raise ValueError("an entry with a negative amount")
        return value

    def four_bytes(self) -> tuple[int, ...]:
        values = _4u8(self._data, self._at)
        self._at += 4
        return values

    def skip(self, count: int) -> None:
        self._at += count

    def skip_opaque(self) -> None:
        length = self.u32()
        self._at += (length + 3) // 4 * 4


def read_account(data: bytes) -> AccountFields:
    """Read a LedgerEntryData that is an account.

    Raises ValueError when it is no account, or cut short.
    """
    try:
        return _at_once(data) or _account(_Reader(data))
    except struct.error as error:
        raise ValueError("an account entry that ends too early") from error


def read_trustline(data: bytes) -> TrustlineFields:
    """Read a LedgerEntryData that is a trustline.

    Raises ValueError when it is no trustline, or cut short.
    """
    try:
        return _line_at_once(data) or _line(_Reader(data))
    except (struct.error, KeyError) as error:
        raise ValueError("a trustline entry that cannot be read") from error


def _at_once(data: bytes) -> AccountFields | None:
    """Read an account without inflationDest, homeDomain and signers, and with liabilities.

    Return None for every other account.
    """
    if len(data) < _PLAIN_ACCOUNT.size:
        return None
    found = _PLAIN_ACCOUNT.unpack_from(data)
    kind, balance, sequence, subentries, inflation, _, domain = found[:7]
    master, low, medium, high, signers, first, buying, selling = found[7:15]
    second, sponsored, sponsoring, ids, third = found[15:]
    form = (kind, inflation, domain, signers, first, second, ids)
    if form != _FORM or min(balance, sequence, buying, selling) < 0 or third not in {_NO_USE, _USE}:
        return None
    # An ExtensionPoint stands before the ledger.
    used_ledger = _u32(data, _PLAIN_ACCOUNT.size + 4)[0] if third == _USE else 0
    return _fields(
        amounts=(balance, buying, selling),
        numbers=(sequence, used_ledger),
        entries=(subentries, sponsored, sponsoring),
        thresholds=(master, low, medium, high),
    )


def _fields(
    *,
    amounts: tuple[int, int, int],
    numbers: tuple[int, int],
    entries: tuple[int, int, int],
    thresholds: tuple[int, int, int, int],
) -> AccountFields:
    """Return what wallet needs of an account, by the numbers of its entry."""
    (balance, buying, selling), (sequence, used_ledger) = amounts, numbers
    subentries, sponsored, sponsoring = entries
    master, low, medium, high = thresholds
    return AccountFields(
        balance=balance,
        sequence=sequence,
        used_ledger=used_ledger,
        reserves=subentries + sponsoring - sponsored,
        obeys=master >= max(1, low, medium),
        obeys_fully=master >= max(1, low, medium, high),
        buying=buying,
        selling=selling,
    )


def _line_at_once(data: bytes) -> TrustlineFields | None:
    """Read a trustline to an asset with a short code, and without an extension; None for others."""
    if len(data) < _PLAIN_LINE.size:
        return None
    kind, asset, balance, limit, flags, extension = _PLAIN_LINE.unpack_from(data)
    if (kind, asset, extension) != (_TRUSTLINE, 1, 0) or min(balance, limit) < 0:
        return None
    return TrustlineFields(balance=balance, limit=limit, flags=flags, buying=0, selling=0)


def _line(reader: _Reader) -> TrustlineFields:
    if reader.u32() != _TRUSTLINE:
        raise ValueError("no trustline entry")
    reader.skip(_ACCOUNT_ID)
    reader.skip(_ASSET[reader.u32()] - 4)
    balance, limit, flags = reader.amount(), reader.amount(), reader.u32()
    has_liabilities = reader.u32() == _LIABILITIES
    buying, selling = (reader.amount(), reader.amount()) if has_liabilities else (0, 0)
    return TrustlineFields(
        balance=balance, limit=limit, flags=flags, buying=buying, selling=selling
    )


def _account(reader: _Reader) -> AccountFields:
    if reader.u32() != _ACCOUNT:
        raise ValueError("no account entry")
    reader.skip(_ACCOUNT_ID)
    balance, sequence, subentries = reader.amount(), reader.amount(), reader.u32()
    if reader.u32():  # inflationDest
        reader.skip(_ACCOUNT_ID)
    reader.skip(4)  # flags
    reader.skip_opaque()  # homeDomain
    master, low, medium, high = reader.four_bytes()  # thresholds
    _skip_signers(reader)
    buying, selling, (sponsored, sponsoring, used_ledger) = _extensions(reader)
    return _fields(
        amounts=(balance, buying, selling),
        numbers=(sequence, used_ledger),
        entries=(subentries, sponsored, sponsoring),
        thresholds=(master, low, medium, high),
    )


def _skip_signers(reader: _Reader) -> None:
    for _ in range(reader.u32()):
        has_payload = reader.u32() == _SIGNED_PAYLOAD
        reader.skip(32)
        if has_payload:
            reader.skip_opaque()
        reader.skip(4)  # weight


def _extensions(reader: _Reader) -> tuple[int, int, tuple[int, int, int]]:
    """Read the extensions, as far as there are any.

    Return buying and selling liabilities, and numSponsored, numSponsoring and seqLedger.
    """
    # An extension that is not known is passed over, with all behind it.
    if reader.u32() != _LIABILITIES:
        return 0, 0, (0, 0, 0)
    buying, selling = reader.amount(), reader.amount()
    has_more = reader.u32() == _SPONSORSHIP
    return buying, selling, _sponsorship(reader) if has_more else (0, 0, 0)


def _sponsorship(reader: _Reader) -> tuple[int, int, int]:
    """Read numSponsored, numSponsoring and seqLedger, as far as there are any."""
    sponsored, sponsoring = reader.u32(), reader.u32()
    for _ in range(reader.u32()):  # signerSponsoringIDs
        if reader.u32():
            reader.skip(_ACCOUNT_ID)
    if reader.u32() != _USE:
        return sponsored, sponsoring, 0
    reader.skip(4)  # ExtensionPoint
    return sponsored, sponsoring, reader.u32()
