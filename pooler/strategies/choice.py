"""The strategies by name, and how an operator names one of its own.

To add a strategy to the pool: write the function in the file of its kind, and its name in the table
here. To use one without changing the pool: put a function with the same arguments and result (see
`model`) into any module that Python finds, and name it as `module:function`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Generic, TypeVar, cast

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

StrategyT = TypeVar("StrategyT")


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[StrategyT]):
    """One kind of strategy."""

    #: What an operator calls the kind: the option without its dashes.
    option: str
    #: The strategies of the kind by name; the first one is the default.
    known: Mapping[str, StrategyT]

    @property
    def default(self) -> str:
        """Return the name of the default."""
        return next(iter(self.known))

    def named(self, name: str) -> StrategyT:
        """Return the strategy of this name.

        Raise StrategyError, which says the option, for a name that is not known.
        """
        if name in self.known:
            return self.known[name]
        module, colon, function = name.partition(":")
        if not (module and colon and function):
            raise StrategyError(
                f"{self.option}: no strategy {name!r}; there are {', '.join(self.known)}, "
                "or module:function for one of your own"
            )
        return cast("StrategyT", self._imported(module, function))

    def _imported(self, module: str, function: str) -> object:
        try:
            found = getattr(import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise StrategyError(f"{self.option}: {module}:{function}: {error}") from error
        if not callable(found):
            raise StrategyError(f"{self.option}: {module}:{function} is no function")
        return cast("object", found)


STAKE: Kind[StakeStrategy] = Kind(
    option="stake", known={"full": stake.full, "agreed": stake.agreed, "none": stake.none}
)
ZEROS: Kind[ZerosStrategy] = Kind(
    option="zeros", known={"cap": zeros.cap, "endless": zeros.endless}
)
SEND: Kind[SendStrategy] = Kind(option="send", known={"late": timing.late, "share": timing.share})
WORKS: Kind[EarlyStrategy] = Kind(
    option="works", known={"once": works.once, "second-work": works.second_work}
)
HARVESTS: Kind[HarvestStrategy] = Kind(
    option="harvests", known={"each": harvests.each, "grouped": harvests.grouped}
)
GATE: Kind[GateStrategy] = Kind(
    option="gate", known={"profitable": profit.profitable, "always": profit.always}
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

    def strategies(self) -> Strategies:
        """Return the strategies. Raise StrategyError for a name that is not known."""
        return Strategies(
            stake=STAKE.named(self.stake),
            zeros=ZEROS.named(self.zeros),
            send=SEND.named(self.send),
            early=WORKS.named(self.works),
            harvests=HARVESTS.named(self.harvests),
            gate=GATE.named(self.gate),
        )
