"""The kill switch: what a pause reaches."""

from uuid import UUID

import pytest

from services.wallet.domain.pausing import Held, Reach, Scope

WALLET, OTHER, POOLER = UUID(int=1), UUID(int=2), UUID(int=3)
ALL = Reach(scope=Scope.EVERYTHING)


def held(*reaches: Reach) -> Held:
    return Held(reaches=frozenset(reaches))


@pytest.mark.parametrize(
    ("reach", "holds", "holds_others", "holds_nobodys"),
    [
        (ALL, True, True, True),
        (Reach(scope=Scope.WALLET, target=WALLET), True, False, True),
        (Reach(scope=Scope.WALLET, target=OTHER), False, True, False),
        (Reach(scope=Scope.POOLER, target=POOLER), True, True, False),
        (Reach(scope=Scope.POOLER, target=OTHER), False, False, False),
        # Scopes are told apart, though the ids are the same.
        (Reach(scope=Scope.POOLER, target=WALLET), False, False, False),
        (Reach(scope=Scope.WALLET, target=POOLER), False, False, False),
        # A pause without a pooler is no pause of the wallets that have none.
        (Reach(scope=Scope.POOLER), False, False, False),
    ],
    ids=str,
)
def test_a_pause_holds_whom_it_reaches_and_nobody_else(
    reach: Reach, holds: bool, holds_others: bool, holds_nobodys: bool
) -> None:
    assert held(reach).holds(WALLET, POOLER) is holds
    assert held(reach).holds(OTHER, POOLER) is holds_others
    assert held(reach).holds(WALLET, None) is holds_nobodys


def test_nobody_is_held_while_no_pause_is_in_force() -> None:
    assert not held().holds(WALLET, POOLER)
    assert not held().everything


def test_one_pause_of_several_is_enough() -> None:
    both = held(Reach(scope=Scope.WALLET, target=WALLET), Reach(scope=Scope.POOLER, target=POOLER))
    assert both.holds(WALLET, None)
    assert both.holds(OTHER, POOLER)
    assert not both.holds(OTHER, None)


def test_everything_is_held_by_a_pause_of_everything_alone() -> None:
    assert held(ALL, Reach(scope=Scope.WALLET, target=WALLET)).everything
    assert not held(Reach(scope=Scope.WALLET, target=WALLET)).everything


def test_the_audit_log_names_what_is_paused() -> None:
    assert str(ALL) == "everything"
    assert str(Reach(scope=Scope.POOLER, target=POOLER)) == f"pooler {POOLER}"
