"""The wallet's state for operators: gauges for Prometheus, and a warning when money runs low."""

from libs.common.log import get_logger
from libs.common.metrics import METER
from services.wallet.chain import Chain, EndpointState
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.treasury.channels import ChannelKeeper
from services.wallet.engine.treasury.payers import PayerKeeper
from services.wallet.engine.treasury.rent import RentKeeper
from services.wallet.store.transactions import TransactionStore

log = get_logger(__name__)

_ledger = METER.create_gauge("kalepool.wallet.ledger", description="The latest ledger seen.")
_treasury = METER.create_gauge(
    "kalepool.wallet.treasury.balance", unit="stroops", description="XLM of the treasury."
)
_treasury_low = METER.create_gauge(
    "kalepool.wallet.treasury.low", description="1 while it is below TREASURY_LOW_BALANCE_STROOPS."
)
_channels = METER.create_gauge(
    "kalepool.wallet.channels", description="Channel accounts: made, ready, busy, low."
)
_payers = METER.create_gauge(
    "kalepool.wallet.payers", description="Payer accounts: made, ready, busy, stopped."
)
_queued = METER.create_gauge(
    "kalepool.wallet.queued", description="Operations that no transaction carries."
)
_open = METER.create_gauge(
    "kalepool.wallet.open", description="Transactions whose fate is not known."
)
_endpoints = METER.create_gauge(
    "kalepool.wallet.endpoint.healthy", description="1 while a Stellar node may be asked."
)
_lives = METER.create_gauge(
    "kalepool.wallet.rent.ledgers_left", description="Ledgers that what calls need still lives."
)
_rent_spent = METER.create_gauge(
    "kalepool.wallet.rent.spent", unit="stroops", description="XLM for rent within 24 hours."
)
_rent_holds = METER.create_gauge(
    "kalepool.wallet.rent.due", description="1 while calls of the farm wait for its rent."
)
_states = METER.create_gauge(
    "kalepool.wallet.endpoint.state", description="1 for the state that a Stellar node is in."
)
_contradictions = METER.create_gauge(
    "kalepool.wallet.endpoint.contradictions",
    description="Times that other Stellar nodes contradicted one.",
)


class Gauges:
    """The setter of gauges; all processes of a wallet report the same values of what they share."""

    def __init__(
        self,
        *,
        chain: Chain,
        chain_view: ChainView,
        accounts: Accounts,
        transactions: TransactionStore,
        channels: ChannelKeeper,
        payers: PayerKeeper,
        rent: RentKeeper,
    ) -> None:
        self._chain = chain
        self._chain_view = chain_view
        self._accounts = accounts
        self._transactions = transactions
        self._keeper = channels
        self._payers = payers
        self._rent = rent
        self._was_low = False

    async def step(self) -> None:
        """Set all gauges once."""
        if self._chain_view.newest is not None:
            _ledger.set(self._chain_view.newest.ledger.sequence)
        for position, endpoint in enumerate(self._chain.endpoints()):
            healthy = endpoint.state is EndpointState.HEALTHY
            # The position in STELLAR_RPC_URLS: the address itself may hold a secret.
            _endpoints.set(int(healthy), {"position": position})
            for known in EndpointState:
                is_it = int(endpoint.state is known)
                _states.set(is_it, {"position": position, "state": known.value})
            _contradictions.set(endpoint.contradictions, {"position": position})
        self._tell_treasury()
        backlog = await self._transactions.backlog()
        _queued.set(backlog.queued)
        _open.set(backlog.open)
        totals = await self._keeper.totals()
        for state in ("made", "ready", "busy", "low"):
            _channels.set(getattr(totals, state), {"state": state})
        payers = await self._payers.totals()
        for state in ("made", "ready", "busy", "stopped"):
            _payers.set(getattr(payers, state), {"state": state})
        if self._chain_view.is_fresh:
            await self._tell_rent()

    async def _tell_rent(self) -> None:
        state = await self._rent.state()
        _rent_spent.set(state.spent)
        _rent_holds.set(int(state.holds_calls))
        for entry in state.entries:
            _lives.set(entry.left(state.ledger), {"entry": entry.name})

    def _tell_treasury(self) -> None:
        accounts = self._accounts
        state = accounts.treasury_state
        if state is None:
            return
        low = accounts.is_treasury_low
        _treasury.set(state.xlm)
        _treasury_low.set(int(low))
        if low and not self._was_low:
            log.warning("treasury low", address=state.address, xlm=state.xlm, needed="send it XLM")
        self._was_low = low
