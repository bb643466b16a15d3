"""Message authentication codes of rows: BLAKE2b under keys that the database does not hold.

BLAKE2b takes a key itself (RFC 7693, section 2.5), so that a code is one call.

The keys are sealed by the key provider like the wallets' data keys. A code names its key by number,
so that keys can be replaced while rows that an older key vouches for are still there.
"""

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from types import MappingProxyType

from services.wallet.domain.errors import RowKeysMissingError
from services.wallet.domain.orders import record_bytes
from services.wallet.keys.provider import (
    KEY_BYTES,
    KeyProvider,
    KeyProviderError,
    WrappedKey,
    unwrap_one,
)

_NUMBER_BYTES, _CODE_BYTES = 2, 32
#: Bytes of a code: the key's number, then the BLAKE2b hash.
MAC_BYTES = _NUMBER_BYTES + _CODE_BYTES


@dataclass(frozen=True, kw_only=True)
class SealedRowKey:
    """A key of rows as the database holds it; useless without the KEK."""

    #: From 1 on.
    number: int
    #: The lowest number whose codes count beside this key's. It is bound to the key, so that nobody
    #: can bring back a key that was given up.
    accepts_from: int
    #: KEK that wraps the key.
    kek_id: str
    #: The key, wrapped.
    wrapped_key: bytes = field(repr=False)
    #: Whether new codes are made with it: every process has had the time to open it.
    is_active: bool = True
    #: Whether no process makes codes with an older key any more.
    is_old: bool = False

    @property
    def wrapped(self) -> WrappedKey:
        """Return the key in the form that the key provider takes."""
        return WrappedKey(
            kek_id=self.kek_id,
            ciphertext=self.wrapped_key,
            context=row_key_context(self.number, self.accepts_from),
        )


@dataclass(frozen=True, kw_only=True)
class MadeKey:
    """A record of the audit log which says that a key of rows was made."""

    #: The key's number, as far as the record has one.
    subject: str
    #: The record, and its authenticator.
    number: int
    hash: bytes = field(repr=False)
    mac: bytes | None = field(repr=False)


def row_key_context(number: int, accepts_from: int) -> bytes:
    """Return the bytes that a wrapped key of rows is bound to."""
    return b"kalepool row key 1|%d|%d" % (number, accepts_from)


async def seal_row_key(
    provider: KeyProvider, number: int, *, accepts_from: int = 1
) -> SealedRowKey:
    """Make a fresh key of rows and seal it."""
    return await _sealed(provider, secrets.token_bytes(KEY_BYTES), number, accepts_from)


async def reseal_row_key(
    provider: KeyProvider, sealed: SealedRowKey, *, accepts_from: int
) -> SealedRowKey:
    """Wrap a key of rows under the current KEK, to accept older keys from a number on.

    Raises KeyProviderError when it does not open, or the new wrapping does not.
    """
    key = await unwrap_one(provider, sealed.wrapped)
    resealed = await _sealed(provider, key, sealed.number, accepts_from)
    if await unwrap_one(provider, resealed.wrapped) != key:
        raise KeyProviderError(f"KEK {resealed.kek_id} gives back another key of rows")
    return resealed


async def _sealed(
    provider: KeyProvider, key: bytes, number: int, accepts_from: int
) -> SealedRowKey:
    wrapped = await provider.wrap(key, row_key_context(number, accepts_from))
    return SealedRowKey(
        number=number,
        accepts_from=accepts_from,
        kek_id=wrapped.kek_id,
        wrapped_key=wrapped.ciphertext,
    )


class RowMacs:
    """The codes of rows; one such object per process, empty until the keys are open."""

    def __init__(self, keys: Mapping[int, bytes] = MappingProxyType({})) -> None:
        """Take keys that are open already, by their numbers."""
        #: Each key as a hash that has taken it in, by the bytes of its number.
        self._keys = {_prefix(number): _keyed(key) for number, key in keys.items()}
        #: Those, and the keys that were given up, as far as they open.
        self._all = dict(self._keys)
        #: The lowest number that counts: it never falls.
        self._least = 1
        self._current = max(keys, default=0)
        self._prefix = _prefix(self._current)

    def __repr__(self) -> str:
        """Return the numbers of the keys only."""
        return f"RowMacs({sorted(map(self.number_of, self._keys))})"

    @property
    def is_ready(self) -> bool:
        """Tell whether the keys are open."""
        return self._current > 0

    @property
    def current(self) -> int:
        """Return the number of the key that new codes are made with; 0 before the keys are open."""
        return self._current

    @property
    def has_older(self) -> bool:
        """Tell whether codes of an older key than the current one still count."""
        return any(prefix < self._prefix for prefix in self._keys)

    async def use(
        self, provider: KeyProvider, sealed: Sequence[SealedRowKey], made: Sequence[MadeKey] = ()
    ) -> list[int]:
        """Open these keys; the active one with the greatest number makes new codes.

        A key that was given up once counts no more, whatever the wrapping of the newest one says
        by now. One that does not open, and that wallet did not make by its own record (`made`; the
        first key has none), is somebody else's: return the numbers of those. Raises
        KeyProviderError for any other key that does not open, or is gone: the codes of one key less
        would look like forgeries.
        """
        results = await provider.unwrap([item.wrapped for item in sealed])
        opened: dict[bytes, blake2b] = {}
        errors: dict[int, KeyProviderError] = {}
        for item, result in zip(sealed, results, strict=True):
            if isinstance(result, KeyProviderError):
                errors[item.number] = result
            else:
                opened[_prefix(item.number)] = _keyed(result)
        own = {1, *map(self.number_of, opened)} | self._made(opened, made)
        active = [item for item in sealed if item.is_active and item.number in own]
        if not active:
            raise KeyProviderError(
                f"no row key opens: {next(iter(errors.values()), 'none is there')}"
            )
        newest = max(active, key=lambda item: item.number)
        least = max(self._least, newest.accepts_from)
        if newest.number < least:
            raise KeyProviderError(f"row key {least} is gone, and older ones were given up")
        for number, error in errors.items():
            if number in own and number >= least:
                raise KeyProviderError(f"row key {number}: {error}") from error
        self._keys = {prefix: key for prefix, key in opened.items() if prefix >= _prefix(least)}
        self._current, self._prefix, self._least = newest.number, _prefix(newest.number), least
        self._all = opened
        return sorted(errors.keys() - own)

    def _made(self, opened: Mapping[bytes, blake2b], made: Sequence[MadeKey]) -> set[int]:
        """Return the numbers of the keys of which wallet itself recorded that it made them."""
        return {
            int(one.subject)
            for one in made
            if one.mac is not None
            and len(one.mac) == MAC_BYTES
            and _is_by(opened, record_bytes(number=one.number, digest=one.hash), one.mac)
        }

    def give_up_below(self, number: int) -> bool:
        """Let no key below this number count from now on; tell whether one did.

        Raises KeyProviderError when none is left: nothing is made or judged then.
        """
        if self._current and self._current < number:
            self._keys, self._current, self._prefix = {}, 0, _prefix(0)
            raise KeyProviderError(f"row key {number} is gone, and older ones were given up")
        self._least = max(self._least, number)
        older = [one for one in self._keys if one < _prefix(self._least)]
        for one in older:
            del self._keys[one]
        return bool(older)

    def number_of(self, mac: bytes) -> int:
        """Return the number of the key that made a code."""
        return int.from_bytes(mac[:_NUMBER_BYTES], "big")

    def mac(self, row: bytes) -> bytes:
        """Return the code of a row's bytes (domain/orders.py). Raises RowKeysMissingError."""
        key = self._keys.get(self._prefix)
        if key is None:
            raise RowKeysMissingError("the keys of rows are not open yet", retry_after=1.0)
        code = key.copy()
        code.update(row)
        return self._prefix + code.digest()

    def is_genuine(self, row: bytes, mac: bytes | None) -> bool:
        """Tell whether wallet made this code for these bytes. Raises RowKeysMissingError."""
        if not self._keys:
            raise RowKeysMissingError("the keys of rows are not open yet", retry_after=1.0)
        if mac is None or len(mac) != MAC_BYTES:
            return False
        return _is_by(self._keys, row, mac)

    def is_of_any_age(self, row: bytes, mac: bytes) -> bool:
        """Tell whether wallet made this code at any time, also under a key that was given up."""
        return len(mac) == MAC_BYTES and _is_by(self._all, row, mac)


def _prefix(number: int) -> bytes:
    """Return a key's number as a code begins with it: in the order of the numbers."""
    return number.to_bytes(_NUMBER_BYTES, "big")


def _keyed(key: bytes) -> blake2b:
    """Return a hash that has taken a key in: a copy of it costs less than to take it in again."""
    return blake2b(key=key, digest_size=_CODE_BYTES)


def _is_by(keys: Mapping[bytes, blake2b], row: bytes, mac: bytes) -> bool:
    key = keys.get(mac[:_NUMBER_BYTES])
    if key is None:
        return False
    code = key.copy()
    code.update(row)
    return hmac.compare_digest(code.digest(), mac[_NUMBER_BYTES:])
