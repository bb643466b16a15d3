"""The engine's real chain, tracker, sender, payments and stores against adversarial nodes.

Adversaries pick every answer of the nodes. Hypothesis drives the machine. Envelopes are signed,
sent, and taken by ledgers in any choice and order, or by none. Of one to six nodes some are honest:
their answers are lost, stale or torn, and their histories are forgotten. Other nodes lie, alone or
all alike. Processes die at any await.

After every step no payment was made twice, whatever nodes say, and with an honest majority the
records are true. When the adversaries rest, everything settles by itself.
"""

import os
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from libs.common.ids import OperationId
from services.wallet.chain.facade import Chain
from services.wallet.domain.exclusion import Exclusion
from services.wallet.domain.payments import SPAN, Standing
from tests.model.adversary import Lies, Tricks
from tests.model.machine import EngineMachine, World
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
    nodes=((0, 1), (0, 2)), lies=st.builds(Lies, secret=st.integers(0, 99), numbers=st.just(5))
)
#: The same liars, which also throw away sent envelopes: payments seem to be made.
PRETENDERS = World(
    nodes=((0, 1), (0, 2)),
    lies=st.builds(Lies, secret=st.integers(0, 99), numbers=st.just(3), swallows=st.just(9)),
    events=("withdraw", "withdraw", "turn", "turn", "kill", "send_again"),
)
#: Lies about clocks, too, and failing payments.
FAILURES = World(
    nodes=((0, 1),),
    lies=st.builds(Lies, secret=st.integers(0, 99), numbers=st.just(3), heads=st.just(5)),
    events=("withdraw", "withdraw", "change_mind", "turn", "turn", "send_again"),
)

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
            found.extend(self.false_records)

    machine = cast("type[EngineMachine]", lambda: Machine(database, PRETENDERS))
    run_state_machine_as_test(machine, settings=settings(PROFILE, max_examples=MORE or 10))
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
