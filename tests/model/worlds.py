"""The worlds of the model: nodes, tricks, lies, carriers and events that an example may have."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.model.adversary import Lies, Tricks

FARMERS, PAYERS, PROCESSES = 3, 2, 2
#: Most withdrawals of an example.
WITHDRAWALS = 6
#: Ledgers in which everything has to settle when the adversaries rest.
REST = 120
#: Honest nodes and liars.
NODES = [
    *((1, 0), (2, 0), (3, 0)),
    *((0, 1), (0, 2), (0, 3)),
    *((2, 1), (2, 1), (2, 1), (3, 1)),
    *((1, 1), (1, 2), (2, 2)),
]
#: Numbers of channel accounts, each with whether a multicall is in use.
CARRIERS = ((0, False), (2, False), (2, True), (3, True))
#: Events besides ledgers and steps; frequent events are listed several times.
EVENTS = (
    *("plant", "plant", "dig", "dig", "reap", "reap"),
    *("withdraw", "withdraw"),
    "change_mind",
    *("send_again", "send_again"),
    "turn",
    "kill",
)
#: Never, now and then, or nearly always.
ODDS = st.sampled_from([0, 0, 0, 1, 4, 9])
TRICKS = st.builds(
    Tricks,
    away=st.sampled_from([0, 0, 1]),
    stale=ODDS,
    forgetful=ODDS,
    torn=ODDS,
    no_ranges=ODDS,
    greedy=ODDS,
    dropped=ODDS,
    lost=ODDS,
    contrary=ODDS,
)
_LIE = st.sampled_from([0, 0, 3, 9])
LIES = st.builds(
    Lies,
    secret=st.integers(0, 1000),
    hides=_LIE,
    fails=_LIE,
    succeeds=_LIE,
    numbers=_LIE,
    pails=_LIE,
    accounts=st.sampled_from([0, 0, 0, 3]),
    heads=st.sampled_from([0, 0, 0, 9]),
    swallows=_LIE,
    simulations=_LIE,
)


@dataclass(frozen=True, kw_only=True)
class World:
    """The possible nodes and events of an example."""

    #: Honest nodes and liars.
    nodes: Sequence[tuple[int, int]] = tuple(NODES)
    #: Tricks of the honest nodes.
    tricks: SearchStrategy[Tricks] = TRICKS
    #: Lies of the other nodes.
    lies: SearchStrategy[Lies] = LIES
    #: Events besides ledgers and the processes' steps.
    events: Sequence[str] = EVENTS
    #: Numbers of channel accounts, each with whether a multicall is in use.
    carriers: Sequence[tuple[int, bool]] = CARRIERS
    #: Whether farmers farm from the start; without it they only withdraw, unless an event asks.
    has_farming: bool = True
    #: Whether farmers have planted in the running block before, and whether one has no KALE.
    planted: Sequence[bool] = (True, False)
    poor: Sequence[bool] = (True, False, False)
    #: Farmers of a hundred whose calls trap in a ledger, with all that goes together with them.
    trapped: int = 10
    #: Awaits of a hundred at which a process is killed.
    killed: Sequence[int] = (0, 0, 1, 4)
