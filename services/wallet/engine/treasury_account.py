"""The treasury: the pool's own account, which pays every fee and every reserve."""

from libs.common.ids import WalletId, new_id
from libs.common.log import get_logger
from services.wallet.chain import Chain, RpcUnavailableError
from services.wallet.domain.errors import TreasuryMissingError
from services.wallet.domain.model import Wallet
from services.wallet.engine.signers import Signers
from services.wallet.keys.provider import KeyProvider, MasterKeyError
from services.wallet.keys.seal import seal_new_key, seal_seed
from services.wallet.keys.signer import address_of
from services.wallet.store.wallets import WalletStore

log = get_logger(__name__)


class Treasury:
    """The treasury, which is made once, opened at every start, and funded where that is free."""

    def __init__(
        self, provider: KeyProvider, wallets: WalletStore, chain: Chain, imported: bytes | None
    ) -> None:
        """Use `imported`, the seed of an existing account, if the operator gave one."""
        self._provider = provider
        self._wallets = wallets
        self._chain = chain
        self._imported = imported
        self._wallet: Wallet | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether the treasury's key was made and opens with the master key that we have."""
        return self._wallet is not None

    @property
    def wallet(self) -> Wallet:
        """Return the treasury's wallet, with balances as of the start.

        Raises TreasuryMissingError before `open`.
        """
        if self._wallet is None:
            raise TreasuryMissingError("the treasury was not opened yet", retry_after=1.0)
        return self._wallet

    async def open(self) -> Wallet:
        """Make or find the treasury and try its key.

        It is safe to call this again, and from several processes.

        Raises MasterKeyError when the operator's secret belongs to another account than the
        treasury in use. Raises KeyProviderError when the master key is not the one that sealed the
        treasury's key.
        """
        wallet = await self._wallets.treasury() or await self._make()
        if self._imported is not None and address_of(self._imported) != wallet.address:
            raise MasterKeyError(
                f"TREASURY_SECRET_FILE is of another account than the treasury {wallet.address}"
            )
        async with Signers(self._provider, self._wallets).open([wallet.id]):
            self._imported = None
        self._wallet = wallet
        log.info("treasury", address=wallet.address)
        return wallet

    async def _make(self) -> Wallet:
        wallet_id = WalletId(new_id())
        if self._imported is None:
            sealed = await seal_new_key(self._provider, wallet_id)
        else:
            sealed = await seal_seed(self._provider, wallet_id, self._imported)
        await self._wallets.insert_treasury(sealed)
        made = await self._wallets.treasury()  # ours, or that of a process that was faster
        if made is None:
            raise TreasuryMissingError("the treasury was not recorded", retry_after=1.0)
        return made

    async def fund(self) -> None:
        """Ask the network's friendbot for funds, when there is one; else somebody must send XLM."""
        address = self.wallet.address
        try:
            funded = await self._chain.fund_by_friendbot(address)
        except RpcUnavailableError:
            funded = False
        if not funded:
            log.warning("treasury not funded", address=address, needed="send it XLM")
