"""The keys that orders are authenticated with: made, opened at every start, replaced."""

from libs.common.log import get_logger, get_security_logger
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.errors import RowKeysMissingError
from services.wallet.keys.provider import KeyProvider
from services.wallet.keys.row_macs import RowMacs, SealedRowKey, reseal_row_key, seal_row_key
from services.wallet.store.keys import KeyStore

log = get_logger(__name__)
security = get_security_logger()


class RowKeys:
    """The opener of the keys of rows, which also replaces them."""

    def __init__(self, provider: KeyProvider, store: KeyStore, macs: RowMacs) -> None:
        self._provider = provider
        self._store = store
        self._macs = macs
        #: The keys as they were opened last.
        self._known: tuple[SealedRowKey, ...] = ()

    @property
    def is_open(self) -> bool:
        """Tell whether orders can be written and signed for."""
        return self._macs.is_ready

    @property
    def writes_alone(self) -> bool:
        """Tell whether no process writes under an older key than the current one any more."""
        newest = self._newest
        return newest is not None and newest.is_old

    @property
    def _newest(self) -> SealedRowKey | None:
        """Return the key under which rows are written, as it was opened last."""
        return next((item for item in self._known if item.number == self._macs.current), None)

    async def open(self) -> None:
        """Open the keys that are there; make the first one where nothing was ever ordered.

        It is safe to call this again, and from several processes. Raises RowKeysMissingError where
        there are wallets and no key: an operator has to look at the rows and sign them first.
        """
        sealed = await self._store.row_keys()
        if not sealed:
            if not await self._store.is_empty():
                raise RowKeysMissingError(
                    "orders are there that nobody has signed: look at them with `kalepool orders "
                    "check`, then sign them with `kalepool orders sign`"
                )
            sealed = await self.make_first()
        if tuple(sealed) != self._known:
            foreign = await self._macs.use(
                self._provider, sealed, await self._store.made_row_keys()
            )
            if foreign:
                security.critical("keys of rows that wallet did not make", numbers=foreign)
            self._known = tuple(sealed)
            log.info("keys of rows", current=self._macs.current, known=len(sealed))
        # Whoever puts an older wrapping back, which accepts more keys, has the log against it.
        if self._macs.give_up_below(least := await self._store.accepted_from()):
            security.critical("keys of rows that were given up were brought back", least=least)

    async def make_first(self) -> list[SealedRowKey]:
        """Make the first key, unless somebody was faster; return all keys."""
        await self._store.insert_row_key(await seal_row_key(self._provider, 1))
        return await self._store.row_keys()

    async def replace(self, *, actor: str) -> int:
        """Make another key, under which all rows come in the background; return its number."""
        sealed = await self._store.row_keys()
        number = sealed[-1].number + 1 if sealed else 1
        # What somebody else has put in, at the end, says nothing of what counts.
        newest = self._newest
        least = 1 if newest is None else newest.accepts_from
        key = await seal_row_key(self._provider, number, accepts_from=least)
        act = Act(actor=actor, action=Action.REPLACE_ROW_KEY, subject=str(number))
        await self._store.insert_row_key(key, act)
        security.warning("key of rows replaced", number=number, actor=actor)
        return number

    async def give_up_older(self) -> None:
        """Accept no older key than the current one, once none of them vouches for any row."""
        newest = self._newest
        if newest is None or not newest.is_old or newest.accepts_from == newest.number:
            return
        new = await reseal_row_key(self._provider, newest, accepts_from=newest.number)
        if await self._store.replace_row_key(newest, new):
            log.info("older keys of rows given up", current=newest.number)
