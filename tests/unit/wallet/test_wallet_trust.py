"""Whose word counts: reputation, what two nodes must say alike, networks that are known again."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.wallet.chain.essence import essence
from services.wallet.chain.node.health import (
    ENDPOINT_EDGES,
    FIRST_BAN,
    LONGEST_BAN,
    EndpointSign,
    EndpointState,
    Health,
)
from services.wallet.chain.read.included import Included
from services.wallet.domain.chain_facts import (
    AccountState,
    FarmState,
    LedgerHead,
    Outcome,
    OutcomeStatus,
    PailState,
)
from services.wallet.domain.trust import TRUST, Decision
from services.wallet.domain.turning import Lower, Remembered, Sameness, sameness
from tests.support.clock import FakeClock
from tests.support.farm_facts import BLOCK

S, G = EndpointState, EndpointSign
HEAD = LedgerHead(sequence=100, close_time=1000, oldest=1)
FARM = FarmState(index=7, timestamp=900, paused=False, token="C", code_hash="aa", block=BLOCK)


def test_every_decision_has_its_row() -> None:
    assert set(TRUST) == set(Decision)


# Reputation


def contradicted(clock: FakeClock) -> Health:
    health = Health("node", clock)
    health.confirm()
    health.contradict("says 7, others 8")
    return health


def test_who_is_contradicted_is_not_used_until_it_has_rested_and_agrees_again() -> None:
    clock = FakeClock()
    health = contradicted(clock)
    assert health.state is S.SET_ASIDE
    assert health.status().reason == "says 7, others 8"
    health.confirm()  # a probe that was on its way
    assert health.state is S.SET_ASIDE
    clock.seconds += FIRST_BAN
    health.lag("behind")
    assert (health.state, health.status().reason) == (S.SET_ASIDE, "says 7, others 8")
    health.confirm()
    assert (health.state, health.status().reason) == (S.HEALTHY, "")
    assert health.status().contradictions == 1


def test_each_time_it_rests_twice_as_long_and_a_long_peace_forgives() -> None:
    clock = FakeClock()
    health, bans = contradicted(clock), []
    for _ in range(12):
        started = clock.seconds
        while health.is_banned:
            clock.seconds += 1
        bans.append(clock.seconds - started)
        health.confirm()
        health.contradict("again")
    assert bans[:3] == [FIRST_BAN, 2 * FIRST_BAN, 4 * FIRST_BAN]
    assert bans[-1] == LONGEST_BAN
    assert bans == sorted(bans)
    clock.seconds += 3 * LONGEST_BAN
    health.confirm()
    health.contradict("after a long time")
    clock.seconds += FIRST_BAN
    assert not health.is_banned


def test_only_a_probe_brings_it_back_and_every_state_knows_every_sign() -> None:
    assert {(state, sign) for state in S for sign in G} == set(ENDPOINT_EDGES)
    back = {
        sign for (state, sign), end in ENDPOINT_EDGES.items() if state is S.SET_ASIDE is not end
    }
    assert back == {G.CONFIRM, G.MISMATCH}


# What two nodes must say alike


def test_what_changes_with_every_ledger_is_left_out() -> None:
    grown = replace(BLOCK, staked_total=50, normalized_total=60, modified=101, live_until=1001)
    assert essence((100, {"a": FARM})) == essence((101, {"a": replace(FARM, block=grown)}))
    found = Outcome(status=OutcomeStatus.SUCCESS, head=HEAD, ledger=90)
    later = replace(found, head=replace(HEAD, sequence=105))
    assert essence(found) == essence(later)
    one = Included(outcomes={"a": found}, head=HEAD)
    assert essence(one) == essence(replace(one, outcomes={"a": later}, head=later.head))


@pytest.mark.parametrize(
    "other",
    [
        replace(FARM, paused=True),
        replace(FARM, code_hash="bb"),
        replace(FARM, timestamp=901),
        replace(FARM, block=None),
        replace(FARM, block=replace(BLOCK, entropy=bytes([1]) * 32)),
        replace(FARM, block=replace(BLOCK, timestamp=901)),
        replace(FARM, block=replace(BLOCK, max_stake=10)),
    ],
)
def test_everything_else_counts(other: FarmState) -> None:
    assert essence(FARM) != essence(other)


def test_entries_are_compared_by_contents() -> None:
    pail = PailState(sequence=9, stake=5, gap=None, zeros=None, live_until=100)
    account = AccountState(address="G", exists=True, xlm=5)
    assert essence((1, {"k": pail})) == essence((2, {"k": pail}))
    assert essence((1, {"k": pail})) != essence((1, {}))
    assert essence((1, {"k": pail})) != essence((1, {"k": replace(pail, stake=6)}))
    assert essence((1, [account])) != essence((1, [replace(account, xlm=6)]))


# A head that was a lie, and a network that was reset


def test_a_lower_head_counts_once_it_goes_on() -> None:
    lower = Lower()
    assert [lower.see(ledger) for ledger in (10, 10, 11, 11, 12, 12)] == [False] * 4 + [True] * 2
    assert not lower.see(5)
    lower.forget()
    assert not lower.see(13)


@given(
    transactions=st.lists(st.booleans(), max_size=4),
    recorded=st.dictionaries(st.integers(0, 5), st.binary(min_size=1, max_size=1), max_size=4),
    shown=st.dictionaries(st.integers(0, 5), st.binary(min_size=1, max_size=1), max_size=4),
    is_all_ahead=st.booleans(),
)
def test_one_thing_that_both_remember_alike_is_enough(
    transactions: list[bool],
    recorded: dict[int, bytes],
    shown: dict[int, bytes],
    is_all_ahead: bool,
) -> None:
    found = sameness(
        Remembered(
            transactions=transactions, recorded=recorded, shown=shown, is_all_ahead=is_all_ahead
        )
    )
    both = recorded.keys() & shown.keys()
    alike = any(transactions) or any(recorded[index] == shown[index] for index in both)
    if alike:
        assert found is Sameness.SAME
    elif transactions or both or is_all_ahead:
        assert found is Sameness.RESET
    else:
        assert found is Sameness.UNKNOWN
