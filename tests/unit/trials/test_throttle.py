"""A share of a core, and nothing left stopped."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from tests.support.pool_world import eventually
from trials.bench.throttle import Account, ThrottleDiedError, throttled

SHARE = 0.2


@pytest.fixture
def busy() -> Iterator[psutil.Process]:
    """A process that takes all the CPU that it gets."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        try:
            yield psutil.Process(child.pid)
        finally:
            child.kill()


def throttle() -> psutil.Process:
    """The process that does it."""
    found = [
        child for child in psutil.Process().children() if "trials.bench.throttle" in child.cmdline()
    ]
    assert len(found) == 1
    return found[0]


def test_what_is_saved_up_is_little() -> None:
    account = Account(share=SHARE)
    account.pass_time(60.0, used=0.0)
    account.pass_time(0.0, used=0.02)
    assert account.may_run
    account.pass_time(0.0, used=0.1)
    assert not account.may_run
    account.pass_time(0.4, used=0.0)
    assert not account.may_run
    account.pass_time(0.11, used=0.0)
    assert account.may_run


async def test_a_process_gets_its_share(busy: psutil.Process) -> None:
    async with throttled([busy.pid], SHARE):
        await asyncio.sleep(0.5)
        before = sum(busy.cpu_times()[:2])
        await asyncio.sleep(2.0)
        used = sum(busy.cpu_times()[:2]) - before
    assert used < 2.0 * SHARE * 2.0, "the throttle itself may have to wait for its turn"
    assert busy.status() != psutil.STATUS_STOPPED


async def test_without_a_share_there_is_no_limit(busy: psutil.Process) -> None:
    before = psutil.Process().children()  # what other tests have started is still there
    async with throttled([busy.pid], None):
        assert set(psutil.Process().children()) <= set(before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_limit_that_did_not_hold_is_told(busy: psutil.Process, number: int) -> None:
    with pytest.raises(ThrottleDiedError):
        async with throttled([busy.pid], SHARE):
            await asyncio.sleep(0.3)
            process = throttle()
            process.send_signal(number)

            async def is_over() -> bool:
                return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE

            # A signal is sent, not yet delivered.
            await eventually(is_over)
            await asyncio.sleep(0.3)
    assert busy.status() != psutil.STATUS_STOPPED


async def test_an_error_leaves_nothing_stopped(busy: psutil.Process) -> None:
    with pytest.raises(KeyboardInterrupt):
        async with throttled([busy.pid], SHARE):
            await asyncio.sleep(0.3)
            raise KeyboardInterrupt
    assert busy.status() != psutil.STATUS_STOPPED


async def test_it_ends_with_what_it_limits(busy: psutil.Process) -> None:
    with pytest.raises(ThrottleDiedError):
        async with throttled([busy.pid], SHARE):
            busy.kill()
            await asyncio.to_thread(busy.wait)
            await asyncio.sleep(1.0)
