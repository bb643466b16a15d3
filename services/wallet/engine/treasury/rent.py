"""Rent of what farmers' calls need, paid from the treasury before the rent comes due."""

from dataclasses import dataclass

from libs.common.log import get_logger
from services.wallet.chain import (
    Chain,
    DeploymentStep,
    FeeCapExceededError,
    SimulationError,
    extension,
)
from services.wallet.domain.chain_facts import SignedEnvelope
from services.wallet.domain.marks import is_ahead
from services.wallet.domain.rent import (
    FARM_CODE,
    FARM_INSTANCE,
    Entry,
    Rule,
    farm_entries,
    holding,
    multicall_rule,
    token_rule,
    wanting,
)
from services.wallet.domain.trust import Decision
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.alarms import Alarm, Alarms
from services.wallet.engine.chain_view import ChainState, ChainView
from services.wallet.engine.sender import Sender
from services.wallet.engine.treasury.deployment import Deployer
from services.wallet.engine.treasury.transactions import RentTurn
from services.wallet.engine.treasury_account import Treasury
from services.wallet.store.transactions import Draft, TransactionStore

log = get_logger(__name__)

#: The name of the rent keeper's alarms.
NAME = "rent"
#: Ledgers between two looks at entries that nobody but us looks after: their rules count in days.
_LOOK_EVERY = 360
#: The names of the entries besides the farm's.
_TOKEN, _MULTICALL, _MULTICALL_CODE = "token instance", "multicall instance", "multicall code"
#: Ledgers until the network is asked again for the price of an extension that was too dear.
_ASK_EVERY = 60
#: Stroops of a reserve; an account keeps two reserves and those that it sponsors.
_RESERVE = 5_000_000


@dataclass(frozen=True, kw_only=True)
class RentState:
    """The state of the rent."""

    #: The ledger at which this was seen.
    ledger: int
    #: The entries that are looked after, the farm's first.
    entries: tuple[Entry, ...]
    #: Whether calls of the farm wait, as they would have to pay the rent.
    holds_calls: bool
    #: Stroops spent within 24 hours, transactions in flight included.
    spent: int
    #: Stroops allowed within 24 hours.
    budget: int
    #: What an operator has to change; empty when nothing.
    error: str


@dataclass(frozen=True, kw_only=True)
class _Needed:
    """An extension that was too dear."""

    #: Stroops that the extension would have had to bid.
    bid: int
    #: The ledger in which the network is asked again, as prices move.
    ask_ledger: int


async def comes_due(chain: Chain, chain_view: ChainView) -> bool:
    """Tell whether a call simulated a moment ago may have been asked for the farm's rent."""
    ledger, instance_until, code_until = await chain.trusted(Decision.PAY_RENT).farm_ends()
    entries = farm_entries(
        instance_until=instance_until,
        code_until=code_until,
        max_entry_ttl=chain_view.current.limits.max_entry_ledgers,
    )
    return bool(holding(entries, ledger))


class RentKeeper:
    """A keeper that looks with every ledger and extends one entry per transaction."""

    def __init__(
        self,
        deployer: Deployer,
        *,
        chain: Chain,
        treasury: Treasury,
        accounts: Accounts,
        transactions: TransactionStore,
        sender: Sender,
        chain_view: ChainView,
        alarms: Alarms,
        rent_turn: RentTurn,
        daily: int,
        multicall: str = "",
    ) -> None:
        """Take `daily`, the budget (stroops) of 24 hours.

        `multicall` is the contract in use, if any.
        """
        self._deployer = deployer
        self._chain = chain
        self._treasury = treasury
        self._accounts = accounts
        self._transactions = transactions
        self._sender = sender
        self._chain_view = chain_view
        self._alarms = alarms
        self._rent_turn = rent_turn
        self._daily = daily
        self._multicall = multicall
        #: LedgerKeys (base64) by entry.
        self._keys: dict[str, str] = {}
        #: The entries besides the farm's, as last read, and the ledger of the next look at them.
        self._others: list[Entry] = []
        self._look_ledger = 0
        #: Extensions that were too dear, by entry.
        self._needed: dict[str, _Needed] = {}

    async def step(self) -> None:
        """Look once, and pay for the entry that is due soonest."""
        if not self._chain_view.is_fresh:
            return
        chain_state = self._chain_view.current
        entries = await self._entries(chain_state)
        due = wanting(entries, chain_state.ledger.sequence)
        self._rent_turn.is_waiting = bool(due) and not self._alarms.message(NAME)
        if due and await self._is_free():
            if not due[0].is_farms:
                # Read the entries now: what is known may be from before the last extension.
                self._others = await self._read_others(chain_state.limits.max_entry_ledgers)
                due = wanting(
                    [*chain_state.farm_entries, *self._others], chain_state.ledger.sequence
                )
            await self._pay_first(due, chain_state)
        elif not due:
            self._needed.clear()
            self._alarms.over(NAME)

    async def _is_free(self) -> bool:
        """Tell whether the treasury exists with nothing in flight, such as the last extension."""
        treasury = self._treasury
        if not (treasury.is_open and self._accounts.can_pay):
            return False
        return not await self._transactions.is_busy(treasury.wallet.address)

    async def state(self) -> RentState:
        """Return how rent stands, for people."""
        chain_state = self._chain_view.current
        return RentState(
            ledger=chain_state.ledger.sequence,
            entries=(*chain_state.farm_entries, *self._others),
            holds_calls=chain_state.is_rent_due,
            spent=await self._transactions.rent_spent(),
            budget=self._daily,
            error=self._alarms.message(NAME),
        )

    async def _entries(self, chain_state: ChainState) -> list[Entry]:
        """Return all entries that are looked after; read those besides the farm's now and then."""
        ledger = chain_state.ledger.sequence
        keys = self._chain.farm_keys(chain_state.farm.code_hash)
        self._keys |= dict(zip((FARM_INSTANCE, FARM_CODE), keys, strict=True))
        if not is_ahead(self._look_ledger, ledger, most=_LOOK_EVERY):
            self._others = await self._read_others(chain_state.limits.max_entry_ledgers)
            # Before the treasury is open nobody knows where the multicall is.
            self._look_ledger = ledger + (_LOOK_EVERY if self._treasury.is_open else 1)
        return [*chain_state.farm_entries, *self._others]

    async def _read_others(self, max_entry_ttl: int) -> list[Entry]:
        rules: dict[str, tuple[str, Rule]] = {
            _TOKEN: (self._chain.token_key(), token_rule(max_entry_ttl))
        }
        if self._multicall and self._treasury.is_open:
            deployment = self._deployer.deployment()
            # Another contract than ours is not looked after.
            if deployment.contract == self._multicall:
                rule = multicall_rule(max_entry_ttl)
                code, instance = deployment.entry_keys
                rules |= {_MULTICALL: (instance, rule), _MULTICALL_CODE: (code, rule)}
        self._keys |= {name: key for name, (key, _) in rules.items()}
        chain = self._chain.trusted(Decision.PAY_RENT)
        ends = await chain.ends([key for key, _ in rules.values()])
        return [
            Entry(name=name, until=ends[key], rule=rule)
            for name, (key, rule) in rules.items()
            if key in ends
        ]

    async def _pay_first(self, due: list[Entry], chain_state: ChainState) -> None:
        """Pay for the first entry that there is room for."""
        refused: list[Alarm] = []
        for entry in due:
            alarm = await self._pay(entry, chain_state)
            if alarm is None:
                break
            refused.append(alarm)
        if refused:
            self._alarms.tell(_with_held(refused[0], due, chain_state))
        else:
            self._alarms.over(NAME)

    async def _pay(self, entry: Entry, chain_state: ChainState) -> Alarm | None:
        """Send the extension of one entry; return what prevents it, when an operator has to act."""
        ledger = chain_state.ledger.sequence
        spent = await self._transactions.rent_spent()
        left = max(0, min(self._daily - spent, self._spendable()))
        known = self._needed.get(entry.name)
        is_known = known is not None and is_ahead(known.ask_ledger, ledger, most=_ASK_EVERY)
        if known is not None and is_known and left < known.bid:
            return self._too_dear(entry, known.bid, spent)
        try:
            envelope = await self._deployer.signed(self._step(entry), max_fee=left)
        except FeeCapExceededError as error:
            self._needed[entry.name] = _Needed(bid=error.bid, ask_ledger=ledger + _ASK_EVERY)
            return self._too_dear(entry, error.bid, spent)
        except SimulationError as error:
            words = f"the {entry.name} cannot be extended: {error}"
            return Alarm(name=NAME, cause="simulation", message=words)
        if envelope is None:
            return None  # there is no treasury yet
        self._needed.pop(entry.name, None)
        return await self._send(entry, envelope, chain_state, left)

    def _too_dear(self, entry: Entry, needed: int, spent: int) -> Alarm:
        left, has = self._daily - spent, self._spendable()
        start = f"the {entry.name} needs {needed} stroops of rent"
        details = {"entry": entry.name, "due_ledger": entry.due_ledger, "needed": needed}
        if left <= has:
            words = f"{start}, and RENT_DAILY_STROOPS leaves {max(0, left)} of {self._daily}"
            return Alarm(name=NAME, cause="RENT_DAILY_STROOPS", message=words, details=details)
        words = f"{start}, and the treasury has {has} to spend: send it XLM"
        return Alarm(name=NAME, cause="treasury", message=words, details=details)

    async def _send(
        self, entry: Entry, envelope: SignedEnvelope, chain_state: ChainState, left: int
    ) -> Alarm | None:
        ledger = chain_state.ledger.sequence
        draft = Draft(envelope=envelope, operation_ids=(), stakes_returned=(), is_rent=True)
        committed = await self._transactions.commit_signed([draft], ledger=ledger)
        if not committed.recorded:
            # The treasury is busy, or another process was faster: the next ledger shows that. Or
            # everything is paused, which operators know.
            return None
        log.info("paying rent", entry=entry.name, bid=envelope.fee_bid, left=entry.left(ledger))
        await self._sender.send_committed([draft], ledger=ledger, cap=lambda _: left)
        return None

    def _spendable(self) -> int:
        """Return the stroops that the treasury has above its reserves, as last read."""
        state = self._accounts.treasury_state
        return 0 if state is None else max(0, state.xlm - (2 + state.reserves) * _RESERVE)

    def _step(self, entry: Entry) -> DeploymentStep:
        return extension(
            [self._keys[entry.name]],
            deployer=self._treasury.wallet.address,
            passphrase=self._chain.network.passphrase,
            extend_to=entry.rule.extend_to,
        )


def _with_held(alarm: Alarm, due: list[Entry], chain_state: ChainState) -> Alarm:
    """Add to an alarm that calls wait, where they do."""
    held = holding(due, chain_state.ledger.sequence)
    if not held:
        return alarm
    names = ", ".join(entry.name for entry in held)
    return Alarm(
        name=NAME,
        cause=f"{alarm.cause}, calls wait",
        message=f"plants, works and harvests wait for the rent of {names}: {alarm.message}",
        details=alarm.details,
    )
