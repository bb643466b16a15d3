"""An endpoint's health: rests, bans, and when the next probe is due."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.wallet.chain.errors import RpcBusyError, RpcUnavailableError, UnknownAnswerError
from services.wallet.chain.node.health import (
    AWAY_AFTER,
    FIRST_BAN,
    FIRST_PAUSE,
    LONGEST_BAN,
    LONGEST_PAUSE,
    PROBE_EVERY,
    EndpointState,
    Health,
)
from tests.support.clock import FakeClock
from tests.support.sleeping import replace_sleep


def meet(health: Health, error: Exception) -> None:
    """A request ends like this."""
    with pytest.raises(type(error)), health.watching():
        raise error


@pytest.fixture
def clock() -> FakeClock:
    """At a time that is not the beginning of all."""
    found = FakeClock()
    found.seconds = 1000.0
    return found


@pytest.fixture
def health(clock: FakeClock) -> Health:
    """Of a node that is well."""
    found = Health("node", clock)
    found.confirm()
    return found


def test_the_times() -> None:
    assert (AWAY_AFTER, PROBE_EVERY, FIRST_PAUSE, LONGEST_PAUSE) == (3, 5.0, 1.0, 30.0)
    assert (FIRST_BAN, LONGEST_BAN) == (30.0, 3600.0)


def test_a_new_node_has_shown_nothing(clock: FakeClock) -> None:
    status = Health("node", clock).status()
    assert (status.host, status.state) == ("node", EndpointState.UNVERIFIED)
    assert (status.latency, status.failures, status.ledger) == (0.0, 0, 0)
    assert (status.passphrase, status.reason, status.contradictions) == ("", "", 0)
    assert (status.since, status.resting) == (datetime.fromtimestamp(1000, UTC), 0.0)


# Rests


def test_a_node_rests_for_as_long_as_it_asks(health: Health, clock: FakeClock) -> None:
    meet(health, RpcBusyError("too many", retry_after=9.0))
    assert (health.resting, health.failures) == (9.0, 0)
    assert health.status().reason == "too many"
    with pytest.raises(RpcBusyError, match="too many") as caught:
        health.check_rest()
    assert caught.value.retry_after == 9.0
    clock.seconds += 8.5
    assert health.next_pause() == 0.5
    clock.seconds += 0.5
    assert (health.resting, health.status().reason) == (0.0, "")
    health.check_rest()
    assert health.next_pause() == PROBE_EVERY


def test_a_node_that_does_not_say_how_long_rests_for_a_moment(health: Health) -> None:
    meet(health, RpcBusyError("too many"))
    assert health.resting == FIRST_PAUSE


def test_a_shorter_rest_does_not_end_a_longer_one(health: Health, clock: FakeClock) -> None:
    meet(health, RpcBusyError("long", retry_after=9.0))
    clock.seconds += 2
    meet(health, RpcBusyError("short", retry_after=1.0))
    assert health.resting == 7.0
    meet(health, RpcBusyError("longer", retry_after=20.0))
    assert health.resting == 20.0


def test_a_node_is_lost_since_it_rests_or_since_it_is_away(
    health: Health, clock: FakeClock
) -> None:
    clock.seconds = 1010.0
    meet(health, RpcBusyError("busy", retry_after=9.0))
    clock.seconds = 1012.0
    meet(health, RpcBusyError("busy", retry_after=9.0))
    # The second one only prolongs the rest.
    assert health.lost == 1010.0
    clock.seconds = 1015.0
    health.lag("behind")
    assert health.lost == 1015.0
    clock.seconds = 1100.0
    assert health.lost == 1015.0


# Failures


def test_an_answer_that_cannot_be_read_is_an_answer(health: Health) -> None:
    for _ in range(AWAY_AFTER - 1):
        meet(health, RpcUnavailableError("silent"))
    assert health.status().reason == "silent"
    meet(health, UnknownAnswerError("new"))
    assert (health.failures, health.status().reason) == (0, "")
    assert health.state is EndpointState.HEALTHY


def test_a_node_is_away_since_its_last_failure(health: Health, clock: FakeClock) -> None:
    for number in range(AWAY_AFTER):
        clock.seconds += 1
        meet(health, RpcUnavailableError(f"silent {number}"))
    assert (health.state, health.status().reason) == (EndpointState.AWAY, "silent 2")
    assert (health.since, health.status().since) == (1003.0, datetime.fromtimestamp(1003, UTC))
    clock.seconds += 1
    meet(health, RpcUnavailableError("silent again"))
    assert (health.since, health.status().reason) == (1003.0, "silent again")


def test_requests_are_measured_also_when_they_fail(health: Health, clock: FakeClock) -> None:
    with pytest.raises(RpcUnavailableError), health.watching():
        clock.seconds += 2.5
        raise RpcUnavailableError("silent")
    assert health.latency == 2.5


# Bans


def test_a_banned_node_stays_banned_until_its_time_is_over(
    health: Health, clock: FakeClock
) -> None:
    health.contradict("lies")
    assert health.is_banned
    health.contradict("lies again")
    assert (health.contradictions, health.status().reason) == (1, "lies")
    clock.seconds += FIRST_BAN - 0.1
    assert health.is_banned
    clock.seconds += 0.1
    assert not health.is_banned
    health.contradict("lies again")
    assert (health.contradictions, health.status().reason) == (2, "lies again")
    clock.seconds += 2 * FIRST_BAN - 0.1
    assert health.is_banned


def test_a_banned_node_is_probed_when_its_time_is_over_or_now_and_then(
    health: Health, clock: FakeClock
) -> None:
    health.contradict("lies")
    assert health.next_pause() == LONGEST_PAUSE
    clock.seconds += FIRST_BAN - 5
    assert health.next_pause() == 5.0
    clock.seconds += 4.5
    assert health.next_pause() == FIRST_PAUSE


@pytest.mark.parametrize(("peace", "ban"), [(2 * LONGEST_BAN, 60.0), (2 * LONGEST_BAN + 1, 30.0)])
def test_a_long_peace_forgives(health: Health, clock: FakeClock, peace: float, ban: float) -> None:
    health.contradict("lies")
    clock.seconds += peace
    health.confirm()
    health.contradict("lies")
    clock.seconds += ban - 0.1
    assert health.is_banned
    clock.seconds += 0.1
    assert not health.is_banned


def test_another_network_is_told_of_a_node_that_was_set_aside(health: Health) -> None:
    health.contradict("lies")
    health.mismatch("another network")
    assert health.status().reason == "another network"


# Pauses


async def slept(
    health: Health, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, after: Any = None
) -> list[float]:
    """The parts in which a pause is slept; `after` happens after the first."""
    parts: list[float] = []

    async def sleep(seconds: float) -> None:
        parts.append(seconds)
        clock.seconds += seconds
        if after is not None and len(parts) == 1:
            after()

    replace_sleep(monkeypatch, "services.wallet.chain.node.health", sleep)
    await health.pause()
    return parts


async def test_a_pause_lasts_until_the_next_probe(
    health: Health, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await slept(health, clock, monkeypatch) == [1.0] * 5
    health.state = EndpointState.AWAY
    health._pause = 2.5
    assert await slept(health, clock, monkeypatch) == [1.0, 1.0, 0.5]


async def test_a_pause_ends_when_the_node_goes_away_meanwhile(
    health: Health, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave() -> None:
        health.state = EndpointState.AWAY

    assert await slept(health, clock, monkeypatch, leave) == [1.0]


async def test_a_pause_goes_on_when_the_node_only_lags(
    health: Health, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await slept(health, clock, monkeypatch, lambda: health.lag("behind")) == [1.0] * 5
