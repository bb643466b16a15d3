"""Miners' accounts: who joined, by which credential, who is banned."""

import secrets
from collections import OrderedDict
from dataclasses import replace
from hashlib import blake2b

from libs.common.ids import new_id
from libs.kale.address import payout_address
from pooler.shares.domain.conduct import Conduct, ConductRules
from pooler.shares.domain.errors import (
    BadCredentialError,
    BannedError,
    LimitedError,
    MalformedError,
    TermsChangedError,
)
from pooler.shares.domain.model import Miner, MinerId, NewMiner
from pooler.shares.domain.terms import Terms
from pooler.shares.store.store import Store

#: How a credential begins, so that people and scanners of secrets know what it is.
PREFIX = "km_"
_SECRET_BYTES = 32
_PERSON = b"kale pool miner"
#: Credentials whose miners are kept in memory.
_KEPT = 20_000
#: Characters of a credential at most: what is longer is none.
_LONGEST = 100


def hash_of(credential: str) -> bytes:
    """Return what is kept of a credential. It is random, so its hash needs no salt."""
    return blake2b(credential.encode(), digest_size=32, person=_PERSON).digest()


class Accounts:
    """The miners of this pooler."""

    def __init__(self, store: Store, terms: Terms, rules: ConductRules, *, most: int) -> None:
        """Take the store, the terms that hold, and how many miners there may be."""
        self._store = store
        self._rules = rules
        self._most = most
        #: The terms that hold.
        self.terms = terms
        self._by_hash: OrderedDict[bytes, Miner] = OrderedDict()
        self._conduct: OrderedDict[int, Conduct] = OrderedDict()
        #: Banned miners by number, as the database has them.
        self._banned: dict[int, Miner] = {}

    async def join(self, *, address: str, name: str, terms: str, at: float) -> tuple[Miner, str]:
        """Add a miner; return it with its credential, which is told this one time.

        Raise MalformedError for an address that cannot be paid, TermsChangedError for other terms
        than those that hold, and LimitedError when there are too many miners.
        """
        try:
            payout_address(address)
        except ValueError as error:
            raise MalformedError.of("address", str(error)) from None
        self._check_terms(terms)
        credential = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        new = NewMiner(
            miner_id=MinerId(new_id()),
            credential_hash=hash_of(credential),
            address=address,
            name=name,
            terms=terms,
            joined_at=int(at * 1000),
        )
        miner = await self._store.add_miner(new, most=self._most)
        if miner is None:
            raise LimitedError(f"the pool has {self._most} miners, and takes no more")
        # It is not looked up, which others at its address may have used up.
        self._keep(new.credential_hash, miner)
        return miner, credential

    async def of_credential(self, credential: str | None) -> Miner:
        """Return the miner who shows a credential; raise BadCredentialError."""
        if not credential:
            raise BadCredentialError("this needs a credential: Authorization: Bearer km_...")
        if len(credential) > _LONGEST or not credential.startswith(PREFIX):
            raise BadCredentialError("there is no such credential")
        key = hash_of(credential)
        miner = self._by_hash.get(key) or await self._store.miner_of_credential(key)
        if miner is None:
            raise BadCredentialError("there is no such credential")
        self._keep(key, miner)
        return miner

    def is_known(self, credential: str | None) -> bool:
        """Tell whether a credential's miner is in memory, so that nothing has to be looked up."""
        return bool(credential) and hash_of(credential or "") in self._by_hash

    async def agree(self, credential: str, miner: Miner, terms: str) -> Miner:
        """Note that a miner agrees to the terms that hold; raise TermsChangedError for others."""
        self._check_terms(terms)
        await self._store.agree(miner.number, terms)
        agreed = replace(miner, terms=terms)
        self._by_hash[hash_of(credential)] = agreed
        return agreed

    def check_agreed(self, miner: Miner) -> None:
        """Raise TermsChangedError when a miner has not agreed to the terms that hold."""
        self._check_terms(miner.terms)

    def ban_of(self, number: int, at: float) -> Miner | None:
        """Return a miner with its ban, if there is one."""
        banned = self._banned.get(number)
        return banned if banned is not None and banned.banned_until > at * 1000 else None

    def check_not_banned(self, miner: Miner, at: float) -> None:
        """Raise BannedError with the end and the reason."""
        banned = self.ban_of(miner.number, at)
        if banned is not None:
            raise BannedError.until(banned.banned_until / 1000, banned.ban_reason)

    async def ban(self, miner: Miner, *, until: float, why: str) -> Miner:
        """Ban a miner until a moment (unix seconds)."""
        ends = int(until * 1000)
        banned = replace(miner, banned_until=ends, ban_reason=why)
        self._banned[miner.number] = banned
        await self._store.ban(miner.miner_id, until=ends, why=why)
        return banned

    async def refresh_bans(self, at: float) -> list[Miner]:
        """Read the bans, which commands set, too; return the new ones."""
        found = {one.number: one for one in await self._store.bans(int(at * 1000))}
        new = [one for number, one in found.items() if number not in self._banned]
        self._banned = found
        return new

    async def forget_idle(self, *, joined_before: float, at: float) -> int:
        """Forget miners who joined before a moment and never asked for work; return how many."""
        forgotten = await self._store.forget_idle_miners(
            joined_before=int(joined_before * 1000), at=int(at * 1000)
        )
        if forgotten:  # whoever is there is looked up again
            self._by_hash.clear()
        return forgotten

    def conduct(self, number: int) -> Conduct:
        """Return what is held against a miner."""
        found = self._conduct.get(number)
        if found is None:
            if len(self._conduct) >= _KEPT:
                self._conduct.popitem(last=False)
            found = self._conduct[number] = Conduct(self._rules)
        return found

    def _keep(self, credential_hash: bytes, miner: Miner) -> None:
        if credential_hash not in self._by_hash and len(self._by_hash) >= _KEPT:
            self._by_hash.popitem(last=False)
        self._by_hash[credential_hash] = miner

    def _check_terms(self, terms: str) -> None:
        if terms != self.terms.version:
            raise TermsChangedError.to(self.terms.version)
