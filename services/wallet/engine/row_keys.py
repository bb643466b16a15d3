"""The keys that orders are authenticated with: made once, opened at every start."""

from libs.common.log import get_logger
from services.wallet.domain.errors import RowKeysMissingError
from services.wallet.keys.provider import KeyProvider
from services.wallet.keys.row_macs import RowMacs, seal_row_key
from services.wallet.store.keys import KeyStore

log = get_logger(__name__)


class RowKeys:
    """The opener of the keys of rows."""

    def __init__(self, provider: KeyProvider, store: KeyStore, macs: RowMacs) -> None:
        self._provider = provider
        self._store = store
        self._macs = macs

    @property
    def is_open(self) -> bool:
        """Tell whether orders can be written and signed for."""
        return self._macs.is_ready

    async def open(self) -> None:
        """Open the keys; make the first one where nothing was ever ordered.

        It is safe to call this again, and from several processes. Raises RowKeysMissingError where
        there are wallets and no key: an operator has to look at the rows and sign them first.
        """
        sealed = await self._store.row_keys()
        if not sealed:
            if not await self._store.is_empty():
                raise RowKeysMissingError(
                    "orders are there that nobody has signed: look at them with `kalepool custody "
                    "rows`, then sign them"
                )
            await self._store.insert_row_key(await seal_row_key(self._provider, 1))
            sealed = await self._store.row_keys()
        await self._macs.use(self._provider, sealed)
        log.info("keys of rows", current=self._macs.current)
