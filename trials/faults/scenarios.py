"""The table of scenarios: each thing that is broken, and its surroundings."""

import hashlib
import math
import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stellar_sdk import Keypair

from libs.common.names import SERVICES
from trials.faults import breakage as b
from trials.world import Carrier, WorldConfig

FARMING = ("plant", "work", "harvest")
PHASES = (*FARMING, "withdraw")
#: The phase in which things happen that webhooks are told of.
NOTIFY = "notify"
#: Phases in which money leaves: farmers are paid with their fees, fees alone are moved, and miners
#: and a pooler are paid out of those.
PAYOUT, SWEEP, MINERS, POOLER = "payout", "sweep", "miner pay", "pooler pay"
PAYOUTS = (PAYOUT, SWEEP, MINERS, POOLER)
#: Who gets the operator's part of fees: the wallet needs its address when it starts.
OPERATOR_KEY = Keypair.from_raw_ed25519_seed(hashlib.sha256(b"operator of the faults").digest())
#: Seconds for which a notification is tried, so that one that was cut off when registry died, and
#: is taken up again after its lease, meets two refusals more before it is given up.
GIVE_UP_SECONDS = 120
#: Room for three single plants in a ledger: bids are refused and raised.
CROWDED = {"contract_ledger_cost_v0.ledger_max_write_bytes": 5_000}
_FAILPOINT = re.compile(r'failpoint\(\s*"([^"]+)"')
_SERVICES = Path(__file__).parents[2] / "services"
#: Ledgers of life at which the farm's entries are overdue: a week and an hour less than the
#: maximum.
_DUE = 3_110_399 - 120_960 - 720
#: Of registry, where webhooks are tried: receivers answer soon, after a third of that time, or
#: never.
_RECEIVERS = {
    "WEBHOOK_TIMEOUT_MS": "1500",
    "WEBHOOK_GIVE_UP_SECONDS": str(GIVE_UP_SECONDS),
}
#: MiB of the disk that is filled: a new cluster takes about a quarter of the disk.
DISK_MIB = 320
#: Callers that ask again as soon as they have an answer.
FLOOD = 200
#: Kills in one cell of the random rows.
KILLS_PER_CELL = 4


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One row of the table."""

    #: Name of the row, also on the command line.
    name: str
    #: The breakage.
    breakage: b.Breakage
    #: Seconds that the breakage lasts before the call, for faults that are noticed only by a check
    #: now and then.
    lead: float = 0.0
    #: Seconds after which the breakage is mended even if the phase is not done.
    hold: float = 5.0
    #: Such seconds for withdrawals, where withdrawals need longer; None: as long as the others.
    hold_withdrawals: float | None = None
    #: Seconds after mending in which everything must be settled.
    patience: float = 60.0
    #: Whether the phase must be done during the breakage.
    must_end: bool = False
    #: Phases that can meet the breakage.
    phases: tuple[str, ...] = PHASES
    #: Whether each farmer is called for separately, one shortly after the other, instead of all in
    #: one call.
    in_turn: bool = False
    #: Whether the row belongs to the short run of `--quick`.
    quick: bool = False
    #: Whether operations may be given up: all or most of the nodes that were asked lied.
    excused: bool = False
    #: Whether the breakage may strike nothing: a node that is not asked cannot lie.
    optional: bool = False
    #: Seconds in which wrong records must be right again after mending.
    heals: float = 0.0
    #: Whether only receivers are told that take everything at last: the others are given up late.
    takers: bool = False

    @property
    def pays(self) -> bool:
        """Tell whether it is a row of payouts."""
        return set(self.phases) <= set(PAYOUTS)

    def of(self, phase: str) -> "Scenario":
        """Return the row as it is in one phase."""
        longer = self.hold_withdrawals if phase == "withdraw" else None
        return self if longer is None else replace(self, hold=longer)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that share one running pool."""

    #: Name of the group.
    name: str
    #: The pool.
    config: WorldConfig
    #: Its rows, in order.
    scenarios: tuple[Scenario, ...]
    #: Number of kills after which the other rows are left out; None runs all.
    enough_kills: int | None = None
    #: MiB of PostgreSQL's own disk; 0: none.
    disk_mib: int = 0
    #: Whether services and PostgreSQL have a wall clock that can be set.
    clock: bool = False
    #: Whether all of its rows are there: the command line left out none.
    is_whole: bool = True


#: Failpoints that neither a block, a withdrawal nor a payout passes, and the tests that kill there.
ELSEWHERE = {
    "wallet.keys.": "tests/unit/wallet/test_wallet_key_rotation.py",
    "wallet.key.destroyed": "tests/unit/wallet/test_wallet_retired_keys.py",
    "wallet.key.": "tests/unit/wallet/test_wallet_custody_usecases.py",
    "wallet.closing.": "tests/integration/wallet/test_wallet_closing.py",
    "wallet.root.": "tests/integration/wallet/test_wallet_data_entries.py",
    "wallet.fee_mark.": "tests/integration/wallet/test_wallet_fee_keeping.py",
    "harvest.closing.": "tests/integration/harvest/test_statements.py",
    "harvest.credits.divided": "tests/integration/harvest/test_miner_credits.py",
}


def failpoints() -> list[str]:
    """Return every failpoint that a block or a withdrawal can pass, in alphabetical order."""
    return [name for name in _named("wallet") if name not in _PAYOUTS_ONLY]


def payout_failpoints() -> list[str]:
    """Return every failpoint that payouts can pass, in alphabetical order."""
    of_wallet = [name for name in _named("wallet") if name not in _FARMING_ONLY]
    return [*_named("harvest"), *of_wallet]


def _named(service: str) -> list[str]:
    """Return the failpoints in the code of a service, without those that are tried elsewhere."""
    folder = _SERVICES / service
    sources = (path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py")))
    names = {name for source in sources for name in _FAILPOINT.findall(source)}
    return sorted(name for name in names if not name.startswith(tuple(ELSEWHERE)))


#: Failpoints of wallet that payouts alone pass, and that they do not pass.
_PAYOUTS_ONLY = frozenset({"wallet.payouts.recorded", "wallet.pool_payments.recorded"})
_FARMING_ONLY = frozenset(
    {"wallet.batch.recorded", "wallet.bid.raised", "wallet.withdrawal.recorded"}
)


def groups(*, farmers: int, random_kills: int) -> list[Group]:
    """Return all groups; `random_kills` is the least number of random kills."""
    plain = WorldConfig(farmers=farmers, ledger_seconds=0.5, block_seconds=14)
    packed = replace(plain, carrier=Carrier.MULTICALL)
    # Slow enough for every fault to find something under way.
    whole = replace(plain, whole=True, ledger_seconds=1.5, block_seconds=20)
    told = replace(plain, farmers=1, registry_environment=_RECEIVERS)
    crowd = replace(plain, farmers=16, network_settings=CROWDED, block_seconds=24)
    slow = replace(plain, ledger_seconds=1.0, block_seconds=100)
    paying = replace(plain, **_PAYING, farmers=1, whole=True, ledger_seconds=1.0, block_seconds=12)
    range_first = replace(plain, localnet_environment={"LOCALNET_LOOKUP_ORDER": "range-first"})
    return [
        Group(name="kill", config=plain, scenarios=tuple(_kills())),
        Group(name="kill-multicall", config=packed, scenarios=tuple(_kills())),
        Group(name="node", config=plain, scenarios=tuple(_node())),
        Group(name="node-multicall", config=packed, scenarios=tuple(_node())),
        Group(name="history", config=plain, scenarios=tuple(_history())),
        Group(name="history-multicall", config=packed, scenarios=tuple(_history())),
        Group(name="rent", config=plain, scenarios=tuple(_rent())),
        Group(name="rent-multicall", config=packed, scenarios=tuple(_rent())),
        Group(name="range-first", config=range_first, scenarios=tuple(_lookups())),
        Group(name="machine", config=plain, scenarios=tuple(_machine())),
        Group(name="pool", config=whole, scenarios=tuple(_pool())),
        Group(name="pool-disk", config=whole, scenarios=tuple(_disk()), disk_mib=DISK_MIB),
        Group(name="pool-clock", config=whole, scenarios=tuple(_clock()), clock=True),
        Group(name="webhooks", config=told, scenarios=tuple(_webhooks())),
        Group(name="payouts", config=paying, scenarios=tuple(_payouts())),
        Group(
            name="payouts-multicall",
            config=replace(paying, carrier=Carrier.MULTICALL),
            scenarios=tuple(_payouts()),
        ),
        Group(name="crowd", config=crowd, scenarios=tuple(_crowd())),
        Group(name="two", config=replace(plain, wallets=2), scenarios=tuple(_two())),
        Group(name="two-multicall", config=replace(packed, wallets=2), scenarios=tuple(_two())),
        Group(name="slow", config=slow, scenarios=tuple(_slow())),
        _random("random", plain, random_kills),
        _random("random-multicall", packed, random_kills),
    ]


def _kills() -> Iterable[Scenario]:
    """Yield every commit edge: at the first passage, and at a later one with others in progress."""
    yield Scenario(name="nothing is broken", breakage=b.nothing(), hold=30)
    for name in failpoints():
        for passage in (1, 3):
            failpoint = f"{name}@{passage}"
            yield Scenario(
                name=f"kill at {failpoint}",
                breakage=b.kill_at_raise(failpoint, skip_ledgers=12)
                if name == _RAISED
                else b.kill_at(failpoint),
                hold=30,
                phases=_PASSED_IN.get(name, PHASES),
                in_turn=passage > 1,
                quick=passage == 1 and name == "wallet.transaction.signed",
            )


#: The failpoint that is passed only when transactions with a higher bid are in the way.
_RAISED = "wallet.bid.raised"
#: Phases that pass the failpoints which not every phase passes.
_PASSED_IN = {
    "wallet.batch.recorded": FARMING,
    # Harvests and withdrawals can wait, and never bid more.
    _RAISED: ("plant", "work"),
    "wallet.withdrawal.recorded": ("withdraw",),
}

_MANY = 10**6
_LOOKUPS = ("getTransaction", "getTransactions")


def _node() -> Iterable[Scenario]:
    every = {"*": 6}
    yield Scenario(
        name="answers of sends are lost", breakage=b.node(drops={"sendTransaction": 5}), quick=True
    )
    yield Scenario(name="every answer is lost", breakage=b.node(drops={"*": _MANY}), hold=3)
    yield Scenario(name="sends fail", breakage=b.node(failures={"sendTransaction": 5}))
    yield Scenario(name="everything fails", breakage=b.node(failures={"*": _MANY}), hold=3)
    yield Scenario(name="some calls fail", breakage=b.node(failures=every))
    yield Scenario(
        name="simulations fail",
        breakage=b.node(failures={"simulateTransaction": 5}),
        phases=FARMING,  # a withdrawal calls no contract
    )
    yield Scenario(
        name="lookups fail", breakage=b.node(failures=dict.fromkeys(_LOOKUPS, _MANY)), hold=6
    )
    yield Scenario(
        name="lookups are lost", breakage=b.node(drops=dict.fromkeys(_LOOKUPS, _MANY)), hold=4
    )
    yield Scenario(name="ledger entries fail", breakage=b.node(failures={"getLedgerEntries": 8}))
    yield Scenario(name="calls take a second", breakage=b.node(delays={"*": 1.0}), hold=8)
    yield Scenario(name="answers overtake each other", breakage=b.node(jitter=1.5), hold=8)
    yield Scenario(name="older answers are repeated", breakage=b.node(repeats={"*": _MANY}), hold=6)
    yield Scenario(
        name="older lookups are repeated",
        breakage=b.node(repeats=dict.fromkeys(_LOOKUPS, _MANY), drops={"sendTransaction": 5}),
        hold=6,
    )
    yield Scenario(name="try again later, a few times", breakage=b.node(try_again_later=5))
    yield Scenario(
        name="try again later, all the time", breakage=b.node(try_again_later=_MANY), hold=6
    )
    yield Scenario(name="a ledger drops our set", breakage=b.node(skip_ledgers=2), quick=True)
    yield Scenario(name="many ledgers drop our set", breakage=b.node(skip_ledgers=14), hold=8)
    yield Scenario(
        name="a stale replica that says healthy", breakage=b.stale_replica(4.0, after=0.1), hold=5
    )
    yield Scenario(name="a node that restarts", breakage=b.restarted_node(0.1), hold=5)
    yield from _lookups()


def _history() -> Iterable[Scenario]:
    """Yield rows in which ledgers took the calls, but no node has the history any more.

    Only the chain's state can tell then.
    """
    yield Scenario(name="a node that forgot its history", breakage=b.forgotten_history(4.0), hold=5)


def _rent() -> Iterable[Scenario]:
    """Yield rows in which rent is due.

    The rent is not the farmers' to pay: their calls wait until the treasury has paid.
    """
    for what in (("code",), ("instance",), ("code", "instance")):
        yield Scenario(
            name=f"{' and '.join(what)} due for rent",
            breakage=b.due(**dict.fromkeys(what, _DUE)),
            hold=30,
            must_end=True,
            phases=FARMING,
        )


def _lookups() -> Iterable[Scenario]:
    """Yield rows in which ledgers close between the two reads of getTransaction.

    The reads are in this node's order. Whole ledgers cannot be read, so that each transaction is
    looked up.
    """
    torn: dict[str, Any] = {"read_gap": 0.6, "failures": {"getTransactions": _MANY}}
    yield Scenario(name="lookups torn by a ledger", breakage=b.node(**torn), hold=12)
    yield Scenario(
        name="lookups torn, answers of sends lost",
        breakage=b.node(**torn, drops={"sendTransaction": _MANY}),
        hold=10,
    )


def _machine() -> Iterable[Scenario]:
    yield Scenario(
        name="database connections are cut",
        breakage=b.cut_database(r"kalepool\_wallet", 0.7),
        hold=5,
        quick=True,
    )
    yield Scenario(
        name="the wallet stands still past its bounds",
        breakage=b.frozen("wallet", 8, 0.05),
        hold=9,
    )


def _pool() -> Iterable[Scenario]:
    """Yield rows about all five services, called by a pooler: each service, and its foundations."""
    yield Scenario(name="the whole pool, nothing is broken", breakage=b.nothing(), hold=30)
    for name in (*SERVICES, "localnet"):
        yield Scenario(
            name=f"{name} is killed", breakage=b.ended(name, signal.SIGKILL), hold=6, patience=120
        )
        yield Scenario(
            name=f"{name} is stopped", breakage=b.ended(name, signal.SIGTERM), hold=6, patience=120
        )
        yield Scenario(name=f"{name} hangs", breakage=b.frozen(name, 6, 0.05), hold=7, patience=120)
    for name in SERVICES:
        yield Scenario(
            name=f"{name} is flooded with calls", breakage=b.flooded(name, FLOOD), hold=6
        )
    yield Scenario(
        name="PostgreSQL crashes", breakage=b.ended_postgres(signal.SIGQUIT), hold=6, patience=120
    )
    yield Scenario(
        name="PostgreSQL restarts", breakage=b.ended_postgres(signal.SIGINT), hold=6, patience=120
    )
    yield Scenario(
        name="everybody's database connections are cut",
        breakage=b.cut_database(r"kalepool\_%", 0.7),
        hold=5,
    )


def _disk() -> Iterable[Scenario]:
    yield Scenario(name="PostgreSQL's disk is full", breakage=b.full_disk(), hold=6, patience=120)


def _clock() -> Iterable[Scenario]:
    """Yield rows in which the clock is set wrong and right again: each way is a step."""
    for seconds in (3_600, -3_600):
        yield Scenario(
            name=f"clocks step by {seconds:+,} s",
            breakage=b.wrong_clock(seconds, after=2.0, hold=2.0),
            hold=45,
            must_end=True,
        )


def _webhooks() -> Iterable[Scenario]:
    """Yield rows in which webhooks are told of what happens, each with receivers of every kind."""
    broken: dict[str, b.Breakage] = {
        "nothing is broken": b.nothing(),
        **{
            f"kill at {edge}@{passage}": b.kill_at(f"{edge}@{passage}", name="registry")
            for edge in DELIVERY_EDGES
            for passage in (1, 3)
        },
        "registry is killed": b.ended("registry", signal.SIGKILL),
        "registry is stopped": b.ended("registry", signal.SIGTERM),
        "registry hangs": b.frozen("registry", 6, 1.0),
        "wallet is killed": b.ended("wallet", signal.SIGKILL),
        "PostgreSQL crashes": b.ended_postgres(signal.SIGQUIT),
        "PostgreSQL restarts": b.ended_postgres(signal.SIGINT),
        "registry's database connections are cut": b.cut_database(r"kalepool\_registry", 0.7),
    }
    told = Scenario(
        name="webhooks: receivers that take it at last",
        breakage=b.nothing(),
        hold=10,
        patience=3.0 * GIVE_UP_SECONDS,
        phases=(NOTIFY,),
        takers=True,
        # After a kill, what was under way waits for the end of its lease: too long for a short run.
        quick=True,
    )
    yield told
    for name, breakage in broken.items():
        yield replace(told, name=f"webhooks: {name}", breakage=breakage, takers=False, quick=False)


#: Failpoints of registry that are passed when something is sent to a webhook.
DELIVERY_EDGES = ("registry.delivery.claimed", "registry.delivery.answered")


#: What lets payouts be made by hand, whatever they are worth.
_PAYING: dict[str, Any] = {
    "wallet_environment": {
        "OPERATOR_PAYOUT_ADDRESS": OPERATOR_KEY.public_key,
        "OPERATOR_FEE_BPS": "250",
    },
    "harvest_environment": {
        "PAYOUT_SECONDS": "0",
        "PAYOUT_MINIMUM_STROOPS": "1",
        "PAYOUT_SWEEP_STROOPS": "1",
        "PAYOUT_POOLER_STROOPS": "1",
        "PAYOUT_MINER_STROOPS": "1",
    },
}
#: Phases of rows whose failpoints not every run of payouts passes: what a pooler's account pays is
#: collected first.
_PAID_IN = {
    "wallet.payouts.recorded": (PAYOUT, SWEEP),
    # Miners are told of in this phase, right before they are paid.
    "harvest.credits.told": (PAYOUT, MINERS),
    "harvest.credits.noted": (PAYOUT, MINERS),
}
#: Passages of loops of harvest that are in a run, which is over before the next look of some: they
#: are killed in the look that they begin with, and the run is asked for while harvest comes back.
_LOOPS = {"harvest.bookkeeping.read": 2}
#: Those of the short run, whose kills wait for no lease of the run.
_QUICK = frozenset({"harvest.payout.planned", "wallet.payouts.recorded"})
#: Failpoints that are not passed for each farmer who is paid by itself: ledgers are settled as a
#: whole.
_ONCE = frozenset(
    {
        "harvest.bookkeeping.read",
        "harvest.bookkeeping.booked",
        "harvest.deposits.read",
        "harvest.deposits.booked",
        "harvest.credits.told",
        "harvest.credits.noted",
        "wallet.pool_payments.recorded",
        "wallet.settle.after",
        "wallet.settle.before",
    }
)


def _payouts() -> Iterable[Scenario]:
    """Yield rows in which farmers, miners and poolers are paid, each after a block of its own."""
    paid = Scenario(
        name="payouts: nothing is broken",
        breakage=b.nothing(),
        hold=30,
        patience=90,
        phases=PAYOUTS,
    )
    yield paid
    for name in payout_failpoints():
        process = name.partition(".")[0]
        failpoint = f"{name}@{_LOOPS.get(name, 1)}"
        yield replace(
            paid,
            name=f"payouts: kill at {failpoint}",
            breakage=b.kill_at(failpoint, name=process),
            phases=_PAID_IN.get(name, PAYOUTS),
            quick=name in _QUICK,
        )
        if name not in _ONCE:
            # A run makes one transaction of a few payouts: several take a run each.
            yield replace(
                paid,
                name=f"payouts: kill at {name}@3",
                breakage=b.kill_at(f"{name}@3", name=process),
                phases=(PAYOUT,),
                in_turn=True,
            )
    for what, breakage in _lost_payouts().items():
        yield replace(paid, name=f"payouts: {what}", breakage=breakage, hold=6)


def _lost_payouts() -> dict[str, b.Breakage]:
    """Return what else is broken while payouts are made: answers are lost, or who gives them."""
    return {
        "answers of sends are lost": b.node(drops={"sendTransaction": 5}),
        "every answer is lost": b.node(drops={"*": _MANY}),
        "lookups are lost": b.node(drops=dict.fromkeys(_LOOKUPS, _MANY)),
        "lookups are lost, and many ledgers drop our set": b.node(
            drops=dict.fromkeys(_LOOKUPS, _MANY), skip_ledgers=14
        ),
        "older answers are repeated": b.node(repeats={"*": _MANY}),
        "a node that restarts": b.restarted_node(0.1),
        "a node that forgot its history": b.forgotten_history(4.0),
        "harvest is killed": b.ended("harvest", signal.SIGKILL),
        "wallet is killed": b.ended("wallet", signal.SIGKILL),
        "harvest hangs": b.frozen("harvest", 6, 0.05),
        "wallet stands still past its bounds": b.frozen("wallet", 8, 0.05),
        "PostgreSQL crashes": b.ended_postgres(signal.SIGQUIT),
        "everybody's database connections are cut": b.cut_database(r"kalepool\_%", 0.7),
    }


def _crowd() -> Iterable[Scenario]:
    """Yield rows with three plants a ledger: refused plants bid more, never above the cap."""
    yield Scenario(name="a full queue", breakage=b.crowd(), hold=30)
    yield Scenario(
        name="a full queue, kill at a raise",
        breakage=b.kill_at(_RAISED),
        hold=30,
        phases=_PASSED_IN[_RAISED],
    )
    yield Scenario(
        name="a full queue, answers of sends lost", breakage=b.node(drops={"sendTransaction": 10})
    )


def _two() -> Iterable[Scenario]:
    yield Scenario(name="two wallets", breakage=b.nothing(), hold=30)
    yield Scenario(name="two wallets, kills", breakage=b.random_kills(3, first=0.3, life=3), hold=8)
    yield Scenario(
        name="two wallets, answers of sends lost", breakage=b.node(drops={"sendTransaction": 10})
    )
    yield Scenario(
        name="two wallets, one stands still", breakage=b.frozen("wallet", 8, 0.05), hold=9
    )


def _slow() -> Iterable[Scenario]:
    """Yield rows in which answers take longer than the wallet waits for any answer."""
    yield Scenario(
        name="sends take 30 s", breakage=b.node(delays={"sendTransaction": 30.0}), hold=35
    )
    yield Scenario(name="calls take 30 s", breakage=b.node(delays={"*": 30.0}), hold=35)


def _random(name: str, config: WorldConfig, kills: int) -> Group:
    """Return enough rows for `kills` kills even if most phases are done after the first kill."""
    rows = (
        Scenario(
            name=f"random kills {number}",
            breakage=b.random_kills(KILLS_PER_CELL, first=0.3, life=3.0),
            hold=3.0 * KILLS_PER_CELL,
        )
        for number in range(1, math.ceil(kills / len(PHASES)) + 1)
    )
    return Group(
        name=name,
        config=replace(config, ledger_seconds=1.0),
        scenarios=tuple(rows),
        enough_kills=kills,
    )
