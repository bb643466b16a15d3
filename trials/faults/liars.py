"""Nodes that lie, by themselves and together, against withdrawals, plants, works and harvests.

The promise (SECURITY.md): with an honest majority a lie costs a little time. Whichever nodes lie,
and however many, nothing is paid twice, and false records become right once an honest node answers.

The chain's own node, which the witness reads, is honest in every row. The wallet asks other nodes
of the same chain: one node (group "liars-alone"), or three nodes (group "liars").
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from trials.faults import breakage as b
from trials.faults.scenarios import Group, Scenario
from trials.world import WorldConfig

#: Groups of these rows.
ALONE, THREE = "liars-alone", "liars"
#: The row that the other rows are compared with.
HONEST = "nobody lies"
_MANY = 10**6
_MEGABYTE = 10**6
#: Seconds in which a phase must be done although one of three nodes lies: a plant takes three
#: ledgers of half a second, and a transaction of an envelope's life more is not "a little".
_SHORT = 20.0
#: Seconds in which a phase must be done after lies that are over: a head that was a lie is turned
#: back only after it was not seen for a while, and a busy machine takes longer.
_RECOVERY = 60.0
#: Seconds that most or all nodes lie: more than an envelope lives, so that all consequences happen.
_LONG = 8.0
#: Seconds that a lie is told about a withdrawal which may lead to a second payment: more than two
#: envelopes live, and more than the wallet waits beyond each envelope for late news from nodes.
_AGAIN = 50.0
#: Seconds that a lie is told before the call when the wallet hears it only when it probes its
#: nodes.
_LEAD = 6.0
#: Seconds in which records must be right again.
_HEALS = 30.0


@dataclass(frozen=True, kw_only=True)
class Position:
    """The nodes that lie."""

    #: In words.
    name: str
    #: Numbers of the nodes; of three nodes the preferred one is 1.
    nodes: tuple[int, ...]
    #: Whether no honest majority is left.
    most: bool


ALONE_POSITIONS = (Position(name="alone", nodes=(1,), most=True),)
THREE_POSITIONS = (
    Position(name="preferred of three", nodes=(1,), most=False),
    Position(name="last of three", nodes=(3,), most=False),
    Position(name="two of three", nodes=(1, 2), most=True),
    Position(name="all", nodes=(1, 2, 3), most=True),
)

#: The lies by kind and name; bodies in the form that localnet takes (localnet/rpc/lies, faults.py).
LIES: dict[str, Mapping[str, Any]] = {
    # Omission.
    "omits payments": {"lies": {"omit": "paying"}},
    "omits everything": {"lies": {"omit": "all"}},
    "forgets what it was sent": {"lies": {"send": "swallow"}},
    # Invention.
    "calls successes failures": {"lies": {"failed": "all"}},
    "calls what it threw away a success": {"lies": {"send": "swallow", "succeeded": "all"}},
    "invents errors of sends": {"lies": {"send": {"says": "ERROR", "code": "txBAD_SEQ"}}},
    "calls payers' numbers unused, omits": {"lies": {"payer": "not included", "omit": "paying"}},
    "calls payers' numbers failed": {"lies": {"payer": "failed", "failed": "paying"}},
    "calls payers' numbers paid, forgets": {"lies": {"payer": "paid", "send": "swallow"}},
    # Delay.
    "answers just before the hedge": {"delays": {"*": 0.25}},
    "answers after the hedge": {"delays": {"*": 1.0}},
    "answers after the time-out": {"delays": {"*": 4.0}},
    "is always busy": {"busy": {"*": _MANY}, "retry_after": 1},
    "closes connections": {"drops": {"*": _MANY}},
    # Size and form.
    "answers that unpack to 100 MB": {"lies": {"huge": {"kind": "zip", "size": 100 * _MEGABYTE}}},
    "answers without an end": {"lies": {"huge": "endless"}},
    "answers of 100,000 levels": {"lies": {"huge": {"kind": "deep", "size": 100_000}}},
    "XDR that is none": {"lies": {"form": "xdr"}},
    "items without a name": {"lies": {"form": "no_hash"}},
    "numbers that are lists": {"lies": {"form": "types"}},
    # Heights and clocks.
    "ten ledgers ahead, omits": {"lies": {"add_ledgers": 10, "omit": "all"}},
    "100,000 ledgers ahead": {"lies": {"add_ledgers": 100_000}},
    "ten ledgers behind": {"lies": {"shift_ledgers": -10}},
    "ten minutes ahead, omits": {"lies": {"add_seconds": 600, "omit": "all"}},
    # Numbers of accounts.
    "numbers of accounts too high": {"lies": {"sequences": {"*": 1}}},
    "numbers of accounts too low": {"lies": {"sequences": {"*": -1}}},
    # Entries.
    "no pails, no trustlines": {"lies": {"pails": "missing", "trustlines": {"*": None}}},
    "pails that are not there": {"lies": {"pails": "invented"}},
    "memos are required": {"lies": {"memo": True}},
    "the next block": {"lies": {"block": {"index": 1, "timestamp": 300, "entropy": "other"}}},
    "a paused farm": {"lies": {"paused": True}},
    "other code": {"lies": {"code": "ab" * 32}},
    "rent is due": {"lies": {"lives": -3_000_000}},
    # Fees and limits.
    "fees of 100 XLM": {"lies": {"fees": 10**9}},
    "simulations refuse": {"lies": {"simulation": "refuses"}},
    "tiny limits": {"lies": {"config": "tiny"}},
    # The last of these: nothing is simulated while its price is believed.
    "simulations a hundred times too dear": {"lies": {"simulation": "dear"}},
    # Another network.
    "another passphrase": {"lies": {"passphrase": "Another Network ; November 2026"}},
    "a fork": {"lies": {"fork": "another chain"}},
}
#: Lies that deny a payment that was made.
_PAID_AGAIN = {
    "omits payments",
    "omits everything",
    "calls successes failures",
    "calls payers' numbers unused, omits",
    "calls payers' numbers failed",
    "ten ledgers ahead, omits",
    "ten minutes ahead, omits",
    "a fork",
}
#: Lies that the wallet hears through probes.
_PROBED = {
    "ten ledgers ahead, omits",
    "100,000 ledgers ahead",
    "ten ledgers behind",
    "ten minutes ahead, omits",
    "another passphrase",
}
#: Answers that nobody has to ask for meanwhile; limits are read once in 60 ledgers.
_UNMET = {"memos are required", "rent is due", "pails that are not there", "tiny limits"}
#: Lies told for a while before the call, then never again: the wallet must forget what it believed.
_BEFORE: dict[str, Mapping[str, Any]] = {
    "100,000 ledgers ahead, then honest": {"lies": {"add_ledgers": 100_000}},
    "a year ahead, then honest": {"lies": {"add_seconds": 31_536_000}},
}
#: Lies of the short run, and their positions.
_QUICK = {
    ("omits payments", "preferred of three"),
    ("calls successes failures", "preferred of three"),
    ("ten ledgers ahead, omits", "last of three"),
    ("XDR that is none", "preferred of three"),
}


def liar_groups(plain: WorldConfig) -> list[Group]:
    """Return both groups; the pool is as in `plain`, except for its nodes."""
    environment = {
        **plain.wallet_environment,
        # In proportion to ledgers of half a second.
        "STELLAR_HEDGE_MS": "300",
        "STELLAR_TIMEOUT_MS": "3000",
        "RECONCILE_INTERVAL_MS": "3000",
        # Nothing may be refused for its sum: a second payment must be seen.
        "WITHDRAW_DAILY_KALE_STROOPS": str(2**62),
        "WITHDRAW_DAILY_KALE_POOL_STROOPS": str(2**62),
    }
    one = replace(plain, nodes=(1,), wallet_environment=environment)
    three = replace(one, nodes=(1, 2, 3))
    return [
        Group(name=ALONE, config=one, scenarios=tuple(_rows(ALONE_POSITIONS))),
        Group(name=THREE, config=three, scenarios=tuple(_rows(THREE_POSITIONS))),
    ]


def _rows(positions: Iterable[Position]) -> Iterable[Scenario]:
    yield Scenario(name=HONEST, breakage=b.nothing(), hold=30)
    for lie, body in LIES.items():
        for position in positions:
            yield _row(lie, body, position)
    for lie, body in _BEFORE.items():
        for position in positions:
            yield _row_before(lie, body, position)


def _row(lie: str, body: Mapping[str, Any], position: Position) -> Scenario:
    return Scenario(
        name=f"{lie}: {position.name}",
        breakage=b.lying(position.nodes, body),
        lead=_LEAD if lie in _PROBED else 0.0,
        hold=_LONG if position.most else _SHORT,
        hold_withdrawals=_AGAIN if lie in _PAID_AGAIN else None,
        must_end=not position.most,
        excused=position.most,
        optional=position.name != "alone" or lie in _UNMET,
        heals=_HEALS,
        quick=(lie, position.name) in _QUICK,
    )


def _row_before(lie: str, body: Mapping[str, Any], position: Position) -> Scenario:
    """Return a row with lies before the call.

    All nodes are honest when it counts, so no fault is excused.
    """
    return Scenario(
        name=f"{lie}: {position.name}",
        breakage=b.lied(position.nodes, body, seconds=_LEAD),
        lead=_LEAD + 1,
        hold=_RECOVERY,
        patience=30,
        must_end=True,
        heals=_HEALS,
    )


def split(scenario: str) -> tuple[str, str]:
    """Return (lie, position) of a row by its name."""
    lie, _, position = scenario.rpartition(": ")
    return lie, position
