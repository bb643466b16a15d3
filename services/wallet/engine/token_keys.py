"""The keys that sign access tokens: made, opened at every start, replaced."""

from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from libs.common.log import get_logger, get_security_logger
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.errors import TokenKeysMissingError
from services.wallet.keys.provider import KeyProvider, KeyProviderError
from services.wallet.keys.token_keys import (
    SealedTokenKey,
    TokenKey,
    counting,
    least_of,
    open_token_keys,
    seal_token_key,
    signing,
)
from services.wallet.store.keys import KeyStore

log = get_logger(__name__)
security = get_security_logger()


class TokenKeys:
    """The opener of these keys, which also replaces them; wallet's server checks tokens by it."""

    def __init__(self, provider: KeyProvider, store: KeyStore) -> None:
        self._provider = provider
        self._store = store
        #: Keys that are open, by what is sealed; None for one that does not open.
        self._opened: dict[SealedTokenKey, TokenKey | None] = {}
        #: Those whose signatures count, by their names.
        self._counting: Mapping[str, TokenKey] = {}
        self._signing: TokenKey | None = None

    @property
    def current(self) -> TokenKey:
        """Return the key that signs. Raises TokenKeysMissingError."""
        if self._signing is None:
            raise TokenKeysMissingError("the keys of tokens are not open yet", retry_after=1.0)
        return self._signing

    @property
    def public(self) -> Sequence[TokenKey]:
        """Return the keys whose signatures count, oldest first. Raises TokenKeysMissingError."""
        if self._signing is None:
            raise TokenKeysMissingError("the keys of tokens are not open yet", retry_after=1.0)
        return tuple(self._counting.values())

    def known(self, key_id: str) -> Ed25519PublicKey | None:
        """Return a public key whose signatures count. Raises TokenKeysMissingError."""
        if self._signing is None:
            raise TokenKeysMissingError("the keys of tokens are not open yet", retry_after=1.0)
        found = self._counting.get(key_id)
        return None if found is None else found.public

    async def find(self, key_id: str) -> Ed25519PublicKey | None:
        """Return the same: nobody knows more keys."""
        return self.known(key_id)

    async def open(self) -> None:
        """Open the keys that are there; make the first one.

        It is safe to call this again, and from several processes. A key that does not open signs
        nothing, and keeps no other key from it but those that it has replaced. Raises
        KeyProviderError when none opens that counts: what is open already goes on then.
        """
        sealed = await self._store.token_keys()
        if not sealed:
            await self._store.insert_token_key(await seal_token_key(self._provider, 1))
            sealed = await self._store.token_keys()
        await self._open(sealed)
        least = least_of(await self._store.replaced_token_keys())
        keys = [
            (key, item.age)
            for item in sealed
            if item.number >= least and (key := self._opened[item]) is not None
        ]
        if not keys:
            raise KeyProviderError(f"no key of tokens opens, from number {least} on")
        before, self._signing = self._signing, signing(keys)
        self._counting = {key.key_id: key for key in counting(keys)}
        if before is not self._signing:
            log.info("keys of tokens", signing=self._signing.key_id, known=len(keys))

    async def _open(self, sealed: Sequence[SealedTokenKey]) -> None:
        new = [item for item in sealed if self._opened.get(item) is None]
        found = await open_token_keys(self._provider, new) if new else []
        for item, key in zip(new, found, strict=True):
            if isinstance(key, KeyProviderError):
                if item not in self._opened:
                    log.critical("key of tokens does not open", number=item.number, error=str(key))
                self._opened[item] = None
                continue
            same = (known for known in self._opened.values() if known and _is_same(known, key))
            # Under another KEK it is still the same object, and what it signed stays checked.
            self._opened[item] = next(same, key)
        self._opened = {item: self._opened[item] for item in sealed}

    async def replace(self, *, actor: str) -> str:
        """Make another key, which signs once every service knows it; return its name."""
        sealed = await self._store.token_keys()
        number = sealed[-1].number + 1 if sealed else 1
        key = await seal_token_key(self._provider, number)
        act = Act(actor=actor, action=Action.REPLACE_TOKEN_KEY, subject=f"token key {number}")
        await self._store.insert_token_key(key, act)
        security.warning("key of tokens replaced", number=number, actor=actor)
        await self.open()
        return next(
            found.key_id for found in self._opened.values() if found and found.number == number
        )


def _is_same(one: TokenKey, other: TokenKey) -> bool:
    return (one.number, one.key_id) == (other.number, other.key_id)
