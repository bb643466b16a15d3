"""Accounts on the chain, read so that the database's data of them stays close to the chain's."""

from collections.abc import Iterable

from libs.common.ids import WalletId
from libs.common.log import get_logger
from services.wallet.chain import Chain
from services.wallet.domain.chain_facts import AccountState
from services.wallet.engine.treasury_account import Treasury
from services.wallet.store.wallets import WalletStore

log = get_logger(__name__)

#: Accounts of one request: 200 keys, two for each.
CHUNK = 100
#: Accounts of the endless cycle that are read after each ledger: with the treasury, one request.
#: A thousand farmers are read in a minute. Accounts that something happened to are read at once
#: anyway.
ROUND = CHUNK - 1


class Accounts:
    """A reader of accounts in bulk: those that something happened to first, all others in turn."""

    def __init__(
        self, chain: Chain, store: WalletStore, treasury: Treasury, *, low: int = 0
    ) -> None:
        """Count the treasury as low while it has less than `low` stroops of XLM."""
        self._low = low
        self._chain = chain
        self._store = store
        self._treasury = treasury
        self._touched: dict[WalletId, str] = {}
        #: The ledgers at which accounts, or their lines, were not there, until they are.
        self._absent: dict[WalletId, int] = {}
        self._cursor: WalletId | None = None
        self._treasury_state: AccountState | None = None

    @property
    def can_pay(self) -> bool:
        """Tell whether the treasury existed, and obeyed its key, when it was last read."""
        state = self._treasury_state
        return state is not None and state.exists and state.obeys

    @property
    def treasury_state(self) -> AccountState | None:
        """Return the treasury's account state as last read; None before the first read."""
        return self._treasury_state

    @property
    def is_treasury_low(self) -> bool:
        """Tell whether somebody should send XLM to the treasury, by its state as last read."""
        return self._treasury_state is not None and self._treasury_state.xlm < self._low

    def touch(self, wallets: Iterable[tuple[WalletId, str]]) -> None:
        """Have these wallets (id, address) read by the next `refresh` or `catch_up`."""
        self._touched |= dict(wallets)

    async def refresh(self) -> None:
        """Read the treasury, the touched wallets and the next wallets in turn, after a ledger.

        Have the treasury funded while it cannot pay.
        """
        if not self._treasury.is_open:
            return
        due, self._touched = self._touched, {}
        following = await self._store.addresses_after(self._cursor, ROUND)
        self._cursor = following[-1][0] if len(following) == ROUND else None
        treasury = self._treasury.wallet
        await self.read({treasury.id: treasury.address} | due | dict(following))
        if self._treasury_state is not None and not self._treasury_state.exists:
            await self._treasury.fund()

    async def catch_up(self) -> None:
        """Read the touched wallets before the next ledger.

        While the treasury is not known to be able to pay, do a whole `refresh` instead.
        """
        if not self.can_pay:
            await self.refresh()
            return
        due, self._touched = self._touched, {}
        await self.read(due)

    async def read(self, wallets: dict[WalletId, str]) -> dict[WalletId, tuple[int, AccountState]]:
        """Read accounts now and save their states; return ledger and state by wallet.

        That an account or its line is not there is saved once a later ledger shows it, too: a node
        that leaves entries out of one answer takes no farmer out of a block.
        """
        found: dict[WalletId, tuple[int, AccountState]] = {}
        ids = list(wallets)
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            ledger, states = await self._chain.accounts([wallets[item] for item in chunk])
            by_wallet = dict(zip(chunk, states, strict=True))
            doubted = self._doubted(by_wallet, ledger)
            sure = {item: state for item, state in by_wallet.items() if item not in doubted}
            await self._store.save_accounts(sure, ledger)
            self.touch((item, wallets[item]) for item in doubted)
            found |= {item: (ledger, state) for item, state in by_wallet.items()}
        self._note_treasury(found)
        return found

    def _doubted(self, states: dict[WalletId, AccountState], ledger: int) -> set[WalletId]:
        """Return the wallets whose account or line is not there by one ledger only."""
        doubted = set()
        for item, state in states.items():
            if state.exists and state.has_trustline:
                self._absent.pop(item, None)
            elif self._absent.setdefault(item, ledger) >= ledger:
                doubted.add(item)
        return doubted

    def _note_treasury(self, found: dict[WalletId, tuple[int, AccountState]]) -> None:
        if self._treasury.is_open and self._treasury.wallet.id in found:
            state = found[self._treasury.wallet.id][1]
            if not state.obeys and (self._treasury_state is None or self._treasury_state.obeys):
                log.critical("treasury does not obey", address=state.address)
            self._treasury_state = state
