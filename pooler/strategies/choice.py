"""The strategies by name, and how an operator names one of its own.

To add a strategy to the pool: write the function in the file of its kind, and its name in the table
here. To use one without changing the pool: put a function with the same arguments and result (see
`model`) into any module that Python finds, and name it as `module:function`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

from pooler.strategies import harvests, profit, stake, timing, works, zeros
from pooler.strategies.model import (
    EarlyStrategy,
    GateStrategy,
    HarvestStrategy,
    SendStrategy,
    StakeStrategy,
    Strategies,
    StrategyError,
    ZerosStrategy,
)

StrategyT = TypeVar("StrategyT", bound=Callable[[Any], Any])

#: Hears in words what an operator's own strategy does wrong.
Notice = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[StrategyT]):
    """One kind of strategy."""

    #: What an operator calls the kind: the option without its dashes.
    option: str
    #: The strategies of the kind by name; the first one is the default.
    known: Mapping[str, StrategyT]
    #: What a strategy of the kind returns.
    result: type

    @property
    def default(self) -> str:
        """Return the name of the default."""
        return next(iter(self.known))

    def named(self, name: str, notice: Notice = lambda _words: None) -> StrategyT:
        """Return the strategy of this name.

        Where one of the operator's own fails, or returns something else than its kind does, the
        default decides and `notice` is told: a stake must not be lost to a slip in it. Raise
        StrategyError, which says the option, for a name that is not known.
        """
        if name in self.known:
            return self.known[name]
        module, colon, function = name.partition(":")
        if not (module and colon and function):
            raise StrategyError(
                f"{self.option}: no strategy {name!r}; there are {', '.join(self.known)}, "
                "or module:function for one of your own"
            )
        own = self._imported(module, function)
        return cast("StrategyT", self._guarded(name, own, notice))

    def _imported(self, module: str, function: str) -> Callable[[Any], Any]:
        try:
            found = getattr(import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise StrategyError(f"{self.option}: {module}:{function}: {error}") from error
        if not callable(found):
            raise StrategyError(f"{self.option}: {module}:{function} is no function")
        return cast("Callable[[Any], Any]", found)

    def _guarded(
        self, name: str, own: Callable[[Any], Any], notice: Notice
    ) -> Callable[[Any], Any]:
        default = self.known[self.default]

        def decide(facts: object) -> object:
            try:
                decided = own(facts)
            except Exception as error:  # whatever it is, the block goes on
                notice(f"{self.option}: {name}: {type(error).__name__}: {error}")
                return default(facts)
            if isinstance(decided, self.result):
                return decided
            notice(f"{self.option}: {name} returned {decided!r}, no {self.result.__name__}")
            return default(facts)

        return decide


STAKE: Kind[StakeStrategy] = Kind(
    option="stake",
    known={"full": stake.full, "agreed": stake.agreed, "none": stake.none},
    result=int,
)
ZEROS: Kind[ZerosStrategy] = Kind(
    option="zeros", known={"cap": zeros.cap, "endless": zeros.endless}, result=int
)
SEND: Kind[SendStrategy] = Kind(
    option="send", known={"late": timing.late, "share": timing.share}, result=int
)
WORKS: Kind[EarlyStrategy] = Kind(
    option="works", known={"once": works.once, "second-work": works.second_work}, result=bool
)
HARVESTS: Kind[HarvestStrategy] = Kind(
    option="harvests", known={"each": harvests.each, "grouped": harvests.grouped}, result=tuple
)
GATE: Kind[GateStrategy] = Kind(
    option="gate", known={"profitable": profit.profitable, "always": profit.always}, result=bool
)


@dataclass(frozen=True, kw_only=True)
class StrategyNames:
    """The names that an operator chose, one for each kind."""

    #: Stake of each farmer: full, agreed or none.
    stake: str = STAKE.default
    #: When a farmer has enough zeros: cap or endless.
    zeros: str = ZEROS.default
    #: When works are sent: late or share.
    send: str = SEND.default
    #: Works of a farmer in a block: once or second-work.
    works: str = WORKS.default
    #: When blocks are harvested: each or grouped.
    harvests: str = HARVESTS.default
    #: Who takes part: profitable, as far as prices are known, or always.
    gate: str = GATE.default

    def strategies(self, notice: Notice = lambda _words: None) -> Strategies:
        """Return the strategies; `notice` hears what those of the operator's own do wrong.

        Raise StrategyError for a name that is not known.
        """
        return Strategies(
            stake=STAKE.named(self.stake, notice),
            zeros=ZEROS.named(self.zeros, notice),
            send=SEND.named(self.send, notice),
            early=WORKS.named(self.works, notice),
            harvests=HARVESTS.named(self.harvests, notice),
            gate=GATE.named(self.gate, notice),
        )
