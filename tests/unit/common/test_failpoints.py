"""Failpoints that are armed again, that wait, and that end the process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from libs.common.failpoints import FailpointError, arm, failpoint
from tests.support.sleeping import replace_sleep


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm("")


async def passes(name: str) -> bool:
    """Whether nothing fails there."""
    try:
        await failpoint(name)
    except FailpointError as error:
        assert str(error) == name
        return False
    return True


async def test_what_is_armed_replaces_what_was() -> None:
    arm("a=raise")
    assert not await passes("a")
    arm("b=raise")
    assert await passes("a")
    assert not await passes("b")


async def test_passages_are_counted_from_when_it_was_armed() -> None:
    arm("a@2=raise")
    assert await passes("a")
    arm("a@2=raise")
    assert [await passes("a") for _ in range(3)] == [True, False, True]


async def test_several_are_armed_at_once_and_spaces_count_for_nothing() -> None:
    arm("a=raise, b=raise")
    assert not await passes("a")
    assert not await passes("b")
    assert await passes("c")


async def test_one_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    replace_sleep(monkeypatch, "libs.common.failpoints", sleep)
    arm("a=sleep:1.5")
    await failpoint("b")
    assert slept == []
    await failpoint("a")
    assert slept == [1.5]


@pytest.mark.parametrize("action", ["", "explode", "sleep", "killed"])
def test_what_is_no_action_is_refused(action: str) -> None:
    with pytest.raises(ValueError, match="unknown failpoint action"):
        arm(f"a={action}")


async def test_a_process_is_killed_where_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "getpid", lambda: 7)
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    arm("a=kill")
    with pytest.raises(SystemExit):
        await failpoint("a")
    assert sent == [(7, signal.SIGKILL)]


def test_the_environment_arms_them() -> None:
    code = (
        "import asyncio; from libs.common.failpoints import failpoint; asyncio.run(failpoint('a'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        env={"FAILPOINTS": "a=kill", "PYTHONPATH": ":".join(filter(None, sys.path))},
    )
    assert done.returncode == -signal.SIGKILL
