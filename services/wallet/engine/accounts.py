"""Keeps what the database says of accounts close to what the chain says."""

from collections.abc import Iterable

from libs.common.ids import WalletId
from services.wallet.chain import Chain
from services.wallet.domain.chain_facts import AccountState
from services.wallet.engine.treasury_account import Treasury
from services.wallet.store.wallets import WalletStore

#: Accounts of one request: 200 keys, two for each.
CHUNK = 100
#: Accounts read with one look of the endless round, after a ledger: with the treasury, one request.
#: A thousand farmers are through in a minute; those that something happened to are read at once
#: anyway.
ROUND = CHUNK - 1


class Accounts:
    """Reads accounts in bulk: those that something happened to first, all others in turn."""

    def __init__(
        self, chain: Chain, store: WalletStore, treasury: Treasury, *, low: int = 0
    ) -> None:
        """Below `low` stroops of XLM the treasury is low."""
        self._low = low
        self._chain = chain
        self._store = store
        self._treasury = treasury
        self._touched: dict[WalletId, str] = {}
        self._cursor: WalletId | None = None
        self._treasury_state: AccountState | None = None

    @property
    def can_pay(self) -> bool:
        """Whether the treasury exists on the chain, as last read."""
        return self._treasury_state is not None and self._treasury_state.exists

    @property
    def treasury_state(self) -> AccountState | None:
        """The treasury as last read; None before that."""
        return self._treasury_state

    @property
    def is_treasury_low(self) -> bool:
        """Whether somebody should send it XLM, as last read."""
        return self._treasury_state is not None and self._treasury_state.xlm < self._low

    def touch(self, wallets: Iterable[tuple[WalletId, str]]) -> None:
        """These wallets (id, address) are read with the next look."""
        self._touched |= dict(wallets)

    async def refresh(self) -> None:
        """One look, after a ledger; has the treasury funded while it is not."""
        if not self._treasury.is_open:
            return
        due, self._touched = self._touched, {}
        following = await self._store.addresses_after(self._cursor, ROUND)
        self._cursor = following[-1][0] if len(following) == ROUND else None
        treasury = self._treasury.wallet
        await self.read({treasury.id: treasury.address} | due | dict(following))
        if not self.can_pay:
            await self._treasury.fund()

    async def catch_up(self) -> None:
        """Another look before the next ledger, at those that something happened to; a whole one
        while the treasury is not known to be able to pay."""
        if not self.can_pay:
            await self.refresh()
            return
        due, self._touched = self._touched, {}
        await self.read(due)

    async def read(self, wallets: dict[WalletId, str]) -> dict[WalletId, tuple[int, AccountState]]:
        """Reads accounts now and keeps what they say; ledger and state by wallet."""
        found: dict[WalletId, tuple[int, AccountState]] = {}
        ids = list(wallets)
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            ledger, states = await self._chain.accounts([wallets[item] for item in chunk])
            by_wallet = dict(zip(chunk, states, strict=True))
            await self._store.save_accounts(by_wallet, ledger)
            found |= {item: (ledger, state) for item, state in by_wallet.items()}
        self._note_treasury(found)
        return found

    def _note_treasury(self, found: dict[WalletId, tuple[int, AccountState]]) -> None:
        if self._treasury.is_open and self._treasury.wallet.id in found:
            self._treasury_state = found[self._treasury.wallet.id][1]
