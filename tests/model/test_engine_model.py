"""The engine's real chain, dispatcher, tracker, sender, payments and stores, and hostile nodes.

Adversaries pick every answer of the nodes. Hypothesis drives the machine. Calls of the farm are
signed alone or together, under the farmers' accounts or by channel accounts. Envelopes are sent,
and taken by ledgers in any choice and order, or by none. Of one to six nodes some are honest: their
answers are lost, stale or torn, and their histories are forgotten. Other nodes lie, alone or all
alike. Processes die at any await.

After every step no payment was made twice and no bid was above its cap, whatever nodes say. With an
honest majority the records are true: every operation ends once, for a reason of its own. When the
adversaries rest, everything settles by itself.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from libs.common.ids import OperationId
from services.wallet.chain.errors import SimulationError
from services.wallet.chain.facade import Chain
from services.wallet.domain.bids import Bid, OperatorLimits
from services.wallet.domain.exclusion import Exclusion
from services.wallet.domain.model import FailureReason
from services.wallet.domain.payments import SPAN, Standing
from services.wallet.domain.settling import given_up, refused
from services.wallet.engine.settle.closings import Closings
from services.wallet.engine.submit.dispatch import Dispatcher
from services.wallet.engine.submit.round import Round
from tests.model.adversary import Lies, Tricks
from tests.model.machine import EngineMachine
from tests.model.worlds import World
from tests.support.database import DatabaseAccess

#: Nodes that forget, and hide.
FORGETFUL = World(
    nodes=((1, 0), (2, 1)),
    tricks=st.just(Tricks(forgetful=9, no_ranges=4)),
    lies=st.just(Lies(secret=1, hides=9)),
)
#: One liar among three, or a few that agree.
LIARS = World(nodes=((2, 1),), tricks=st.just(Tricks()))
ALL_LIARS = World(
    nodes=((0, 1), (0, 2)),
    lies=st.builds(Lies, secret=st.integers(0, 99), numbers=st.just(5)),
    has_farming=False,
)
#: The same liars, which also throw away sent envelopes: payments seem to be made.
PRETENDERS = World(
    nodes=((0, 1), (0, 2)),
    lies=st.builds(Lies, secret=st.integers(0, 99), numbers=st.just(3), swallows=st.just(9)),
    events=("withdraw", "withdraw", "turn", "turn", "kill", "send_again"),
    has_farming=False,
)
#: Lies about clocks, too, and failing payments.
FAILURES = World(
    nodes=((0, 1),),
    lies=st.builds(Lies, secret=st.integers(0, 99), numbers=st.just(3), heads=st.just(5)),
    events=("withdraw", "withdraw", "change_mind", "turn", "turn", "send_again"),
    has_farming=False,
)

#: Several farmers in one transaction, or each alone, and a node that is honest.
TOGETHER = World(
    nodes=((1, 0),),
    tricks=st.just(Tricks()),
    events=("plant", "dig", "reap", "kill"),
    carriers=((3, True),),
)

#: The same with ledgers in which many calls trap, with plants of which one fails, with a node that
#: asks for higher bids, with one whose answers are lost, and with processes that often die.
TRAPPED = replace(TOGETHER, trapped=60)
POOR = replace(TOGETHER, planted=(False,), poor=(True,))
GREEDY = replace(TOGETHER, tricks=st.just(Tricks(greedy=9)))
LOSING = replace(TOGETHER, tricks=st.just(Tricks(lost=9, dropped=4)))
DYING = replace(TOGETHER, tricks=st.just(Tricks(dropped=9)), killed=(4,))

#: Number of examples instead, with new examples each time: for an hour of hunting.
MORE = int(os.environ.get("MODEL_EXAMPLES", "0"))
#: The same examples every time, unless a number of examples is set.
PROFILE = settings(
    max_examples=MORE or 20,
    stateful_step_count=15,
    deadline=None,
    derandomize=not MORE,
    database=None,
    suppress_health_check=list(HealthCheck),
    # A failing example is not shrunk: the adversaries' dice would fall otherwise.
    phases=[Phase.generate],
    report_multiple_bugs=False,
)

#: Settings for runs until a failure is found.
HUNT = settings(PROFILE, max_examples=200, derandomize=True)


def check(database: DatabaseAccess, profile: settings, world: World) -> None:
    """Run the machine, each example on an empty database."""
    machine = cast("type[EngineMachine]", lambda: EngineMachine(database, world))
    run_state_machine_as_test(machine, settings=profile)


def test_the_engine_keeps_its_promises(database: DatabaseAccess) -> None:
    check(database, PROFILE, World())


def test_false_records_of_payments_heal(database: DatabaseAccess) -> None:
    """All nodes lie about payers' numbers, and then rest."""
    found: list[OperationId] = []

    class Machine(EngineMachine):
        def teardown(self) -> None:
            super().teardown()
            found.extend(self.promised.false_records)

    machine = cast("type[EngineMachine]", lambda: Machine(database, PRETENDERS))
    run_state_machine_as_test(machine, settings=settings(PROFILE, max_examples=MORE or 20))
    assert found, "no record was ever false"


# Engines that skip a part of the proof --------------------------------------------------------


def by_the_bound_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take "not found" past the bound for the whole proof, as a naive engine would."""

    async def hasty(chain: Any, transaction: Any, head: Any) -> Any:
        is_past = head.close_time > transaction.max_time
        return (Exclusion.PROVEN if is_past else Exclusion.NOT_YET), 0

    monkeypatch.setattr("services.wallet.engine.settle.tracker.exclusion_of", hasty)


def by_one_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take one node's statement for the proof of exclusion."""

    def credulous(transaction: Any, statements: Any, *, now: int, configured: int) -> Any:
        if now <= transaction.max_time or any(item.is_found for item in statements[:1]):
            return Exclusion.NOT_YET
        return Exclusion.PROVEN if statements else Exclusion.NOT_YET

    monkeypatch.setattr("services.wallet.engine.settle.exclusion.conclude", credulous)


def by_one_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """Believe one node whatever it says."""
    monkeypatch.setattr(Chain, "trusted", lambda self, decision: self)


def without_standing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sign for a payer whatever its sequence number."""
    path = "services.wallet.engine.payments.payer_numbers.standing"
    monkeypatch.setattr(path, lambda record, number: Standing.STEADY)


def with_shared_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give other payments the target of the last payments, if that target was not reached."""

    def shared(record: Any, members: Any, number: int) -> int:
        highest = record.highest
        is_left = highest is not None and highest != record.paid and number + 1 < highest
        return highest if is_left else max(number + 1, highest or 0) + SPAN

    monkeypatch.setattr("services.wallet.engine.payments.carrier.target_for", shared)


@pytest.mark.parametrize(
    ("skip", "world"),
    [
        (by_the_bound_alone, FORGETFUL),
        (by_one_witness, FORGETFUL),
        (by_one_word, LIARS),
        (without_standing, ALL_LIARS),
        pytest.param(
            *(with_shared_targets, FAILURES),
            marks=pytest.mark.skipif(not MORE, reason="takes a minute: MODEL_EXAMPLES=200"),
        ),
    ],
)
def test_the_model_finds_an_engine_that_skips_a_part_of_the_proof(
    skip: Callable[[pytest.MonkeyPatch], None],
    world: World,
    database: DatabaseAccess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    skip(monkeypatch)
    with pytest.raises(AssertionError):
        check(database, HUNT, world)


# Engines that sign wrongly ----------------------------------------------------------------------


def with_a_failure_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up all members of a pack that failed as a whole."""
    path = "services.wallet.engine.settle.closings.refused"

    def harsh(operation: Any, error: Any, head: Any, *, together: int = 1, **rest: Any) -> Any:
        if together > 1:
            return given_up(operation, FailureReason.REFUSED, str(error))
        return refused(operation, error, head, together=together, **rest)

    monkeypatch.setattr(path, harsh)


def with_the_first_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the first call of a pack for the one that fails, whichever does."""

    class BlamingError(SimulationError):
        def __init__(self, error: Any, message: str, *, position: int | None = None) -> None:
            super().__init__(error, message, position=None if position is None else 0)

    monkeypatch.setattr("services.wallet.chain.facade.SimulationError", BlamingError)


def with_results_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the results of a pack's calls from the last to the first."""
    whole = Closings.included

    async def confused(self: Closings, transaction: Any, outcome: Any) -> Any:
        mixed = replace(outcome, results=outcome.results[::-1])
        return await whole(self, transaction, mixed)

    monkeypatch.setattr(Closings, "included", confused)


def with_the_cap_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold a pack to the cap of a single call."""
    monkeypatch.setattr(Bid, "for_all", lambda self, count: self)


def with_the_cap_of_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nodes ask more for a transaction than its operations are worth."""
    monkeypatch.setattr(OperatorLimits, "cap", lambda self, *_, **__: self.max_fee * 10)


def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a source again while a ledger may still take its envelope."""

    async def impatient(chain: Any, transaction: Any, head: Any) -> Any:
        return Exclusion.PROVEN, 0

    monkeypatch.setattr("services.wallet.engine.settle.tracker.exclusion_of", impatient)


def by_sending_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send what is signed before it is durable."""
    whole = Dispatcher._submit

    async def hasty(self: Dispatcher, made: Round, group: Any, chain_state: Any) -> bool:
        ledger, cap = chain_state.ledger.sequence, self._limits.max_fee
        await self._sender.send_committed(made.drafts, ledger=ledger, cap=lambda _: cap)
        return await whole(self, made, group, chain_state)

    monkeypatch.setattr(Dispatcher, "_submit", hasty)


@pytest.mark.parametrize(
    ("skip", "world", "finding"),
    [
        (with_a_failure_for_all, TRAPPED, "failed REFUSED has a reason that is not its own"),
        (with_the_first_to_blame, POOR, "INSUFFICIENT_BALANCE has a reason that is not its own"),
        (with_results_of_others, TOGETHER, "has another reward"),
        (with_the_cap_of_one, TOGETHER, "failed FEE_CAP has a reason that is not its own"),
        (with_the_cap_of_more, GREEDY, "an envelope above its cap was sent"),
        (without_waiting, LOSING, "could be taken|could still use"),
        (by_sending_first, DYING, "a number was used again|is recorded as not made"),
    ],
)
def test_the_model_finds_an_engine_that_signs_wrongly(
    skip: Callable[[pytest.MonkeyPatch], None],
    world: World,
    finding: str,
    database: DatabaseAccess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    skip(monkeypatch)
    with pytest.raises(AssertionError, match=finding):
        check(database, HUNT, world)
