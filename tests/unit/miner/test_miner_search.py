"""A search: real threads, real hashes; what fails costs its own hashes only."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import cast

import pytest

from libs.kale.hash import leading_zeros, work_hash
from miner.choice import ENGINES, Choice, roster_of
from miner.engine import Scan, Slice
from miner.model import EngineUnavailableError, Find, Target, Work
from miner.roster import Roster
from miner.search import open_search
from tests.support.engines import CountedPython, FakeEngine, breaker, idler, liar

#: Names of engines begin so: llvm where it is installed, else python.
_ENGINES = ("llvm", "python", "fake")
KEYS = [bytes([number]) * 32 for number in range(1, 8)]


def work(*, zeros: int = -1, cap: int = 64, keys: Sequence[bytes] = KEYS) -> Work:
    """A block with seven farmers."""
    targets = tuple(Target(key=key, zeros=zeros) for key in keys)
    return Work(index=7, entropy=bytes(32), targets=targets, cap=cap)


def roster(*engines: FakeEngine) -> Roster:
    """Engines, or the fast one on two threads; with a spare that counts."""
    if engines:
        return Roster(engines, CountedPython())
    return roster_of(Choice(threads=2, cache=Path("/dev/null/nowhere")))


def assert_true(find: Find) -> None:
    """What was found is what the contract would compute."""
    digest = work_hash(index=7, nonce=find.nonce, entropy=bytes(32), farmer_key=KEYS[find.target])
    assert (find.digest, find.zeros) == (digest, leading_zeros(digest))


async def until(reached: Callable[[], bool]) -> None:
    """Waits until something is so."""
    while not reached():  # noqa: ASYNC110  (what is watched has no event)
        await asyncio.sleep(0.001)


def threads() -> list[str]:
    """Threads that search."""
    return [one.name for one in threading.enumerate() if one.name.startswith(_ENGINES)]


@pytest.fixture(autouse=True)
def _nothing_left() -> object:
    yield
    # A thread tells that it ends just before it has ended.
    for _ in range(1_000):
        if not threads():
            break
        sleep(0.01)
    assert threads() == []


async def test_no_time_still_gives_every_farmer_a_nonce() -> None:
    async with open_search(work(), roster(), seconds=0) as search:
        best = await search.finish()
        assert search.hashes == len(KEYS)
    assert set(best) == set(range(len(KEYS)))
    for find in best.values():
        assert_true(find)


async def test_who_has_a_nonce_already_is_not_given_a_first_one() -> None:
    async with open_search(work(zeros=3), roster(), seconds=0) as search:
        assert await search.finish() == {}


async def test_improvements_come_as_they_are_found() -> None:
    best: dict[int, Find] = {}
    async with open_search(work(), roster(), seconds=600) as search:
        async for find in search.improvements():
            assert_true(find)
            assert find.target not in best or find.zeros > best[find.target].zeros
            best[find.target] = find
            # However fast the machine is: nobody stays below three zeros.
            if len(best) == len(KEYS) and all(one.zeros >= 3 for one in best.values()):
                break
        assert search.hashes > 0
    assert all(search.best[target].zeros >= find.zeros for target, find in best.items())


async def test_the_cap_ends_a_search() -> None:
    async with open_search(work(cap=2), roster(), seconds=None) as search:
        found = [find async for find in search.improvements()]
        assert all(find.zeros >= 2 for find in (await search.finish()).values())
    assert {find.target for find in found} == set(range(len(KEYS)))
    # Fewer than 2^40 hashes, which no machine does by itself.
    assert search.hashes < 7 * 16**2 * 1_000


async def test_what_others_found_is_not_searched_for_any_more() -> None:
    """A farmer at the cap by somebody else's nonce gets no more hashes."""
    engine = FakeEngine(idler)
    async with open_search(work(zeros=1, cap=3), roster(engine), seconds=None) as search:
        for target in range(1, len(KEYS)):
            assert search.offer(target, 3)
            assert not search.offer(target, 2)
        begun = engine.scans
        # A scan may be under way that was given out before.
        await until(lambda: engine.scans > begun + 1)
        engine.asked.clear()
        await until(lambda: bool(engine.asked))
        assert engine.asked == {0}
        assert search.offer(0, 4)
        assert await search.finish() == {}


async def test_time_ends_a_search() -> None:
    async with open_search(work(), roster(FakeEngine(idler)), seconds=0.01) as search:
        assert len(await search.finish()) == len(KEYS)


async def test_leaving_early_ends_the_threads() -> None:
    async with open_search(work(), roster(), seconds=600) as search:
        await anext(search.improvements())
        assert threads()


async def test_cancellation_ends_the_threads() -> None:
    mining = asyncio.Event()

    async def mine() -> None:
        async with open_search(work(), roster(), seconds=600) as search:
            mining.set()
            await search.finish()

    task = asyncio.create_task(mine())
    await mining.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_no_farmers_end_at_once() -> None:
    async with open_search(work(keys=[]), roster(), seconds=600) as search:
        assert await search.finish() == {}
        assert [find async for find in search.improvements()] == []


async def test_rates_are_told_by_engine() -> None:
    async with open_search(work(cap=3), roster(), seconds=None) as search:
        await search.finish()
        rates = search.rates()
    assert rates["judge"].hashes == len(KEYS)
    (fast,) = [one for name, one in rates.items() if name != "judge"]
    assert fast.hashes > 0
    assert fast.cpu_seconds > 0
    assert search.hashes == len(KEYS) + fast.hashes


async def test_an_engine_that_lies_is_set_aside_with_a_word_and_the_spare_one_goes_on() -> None:
    told: list[str] = []
    liars = FakeEngine(liar, threads=3)
    engines = roster(liars)
    # A nonce that is just called good has four zeros once in 65,536 times.
    async with open_search(work(zeros=3), engines, seconds=600, notice=told.append) as search:
        assert (await anext(search.improvements())).zeros > 3
    assert len(told) == 1
    assert told[0].startswith("fake is set aside: nonce ")
    assert list(engines.aside) == ["fake"]
    assert engines.usable() == [engines.spare]
    assert liars.opened == 0
    # The next block does without it.
    async with open_search(work(cap=1), engines, seconds=None, notice=told.append) as search:
        await search.finish()
    assert len(told) == 1


async def test_an_engine_that_breaks_costs_its_hashes_of_this_block_only() -> None:
    told: list[str] = []
    broken = FakeEngine(breaker)
    engines = roster(broken)
    async with open_search(work(cap=2), engines, seconds=None, notice=told.append) as search:
        assert all(find.zeros >= 2 for find in (await search.finish()).values())
    assert told == ["fake stopped, until the next block: RuntimeError: the device is gone"]
    assert engines.usable() == [broken]


async def test_the_other_engines_go_on_without_the_spare_one() -> None:
    told: list[str] = []
    engines = roster(FakeEngine(breaker, name="fake broken"), FakeEngine(idler, name="fake idle"))
    async with open_search(work(zeros=2), engines, seconds=None, notice=told.append) as search:
        await until(lambda: bool(told))
        search.stop()
        await search.finish()
    assert isinstance(engines.spare, CountedPython)
    assert engines.spare.taken == 0


async def test_the_spare_one_steps_in_where_two_engines_fail_at_the_same_time() -> None:
    """The second one fails while a thread of the first one has not ended yet."""
    told: list[str] = []
    release = threading.Event()
    deeds = iter((breaker, idler))

    def one_breaks(slices: Sequence[Slice]) -> Scan:
        deed = next(deeds)
        if deed is idler:
            release.wait(60)
        return deed(slices)

    def breaks_later(slices: Sequence[Slice]) -> Scan:
        while not told:
            sleep(0.001)
        return breaker(slices)

    first = FakeEngine(one_breaks, name="fake first", threads=2)
    engines = roster(first, FakeEngine(breaks_later, name="fake second"))
    async with open_search(work(cap=2), engines, seconds=None, notice=told.append) as search:
        await until(lambda: len(told) == 2)
        release.set()
        assert all(find.zeros >= 2 for find in (await search.finish()).values())
    assert isinstance(engines.spare, CountedPython)
    assert engines.spare.taken == 1


async def test_an_engine_that_does_not_stop_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner.crew._STOP_SECONDS", 0.01)
    told: list[str] = []
    release = threading.Event()

    def hang(slices: Sequence[Slice]) -> Scan:
        release.wait(60)
        return idler(slices)

    engine = FakeEngine(hang, threads=2)
    async with open_search(work(), roster(engine), seconds=None, notice=told.append):
        await until(lambda: engine.scans == 2)
    assert told == ["fake does not stop; it may hang"]
    release.set()


async def test_an_engine_that_this_machine_has_not_is_set_aside() -> None:
    def missing() -> None:
        raise EngineUnavailableError("no such device")

    engines = roster(FakeEngine(idler, warm=missing))
    assert engines.warm() == ["fake is set aside: no such device"]
    assert engines.warm() == []
    assert engines.usable() == [engines.spare]


async def test_a_slow_engine_holds_up_nothing() -> None:
    """The event loop goes on, and time ends the search, while a device does not answer."""
    release = threading.Event()

    def hang(slices: Sequence[Slice]) -> Scan:
        release.wait(60)
        return idler(slices)

    async with open_search(work(), roster(FakeEngine(hang)), seconds=0.01) as search:
        assert len(search.best) == len(KEYS)
        await asyncio.sleep(0.02)
        release.set()
        await search.finish()


def test_an_engine_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(EngineUnavailableError, match="there is no magic; there are llvm, opencl"):
        roster_of(Choice(engines=["magic"]))


def test_without_the_compiler_the_spare_engine_mines(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(_choice: Choice) -> list[FakeEngine]:
        raise EngineUnavailableError("llvm: no module named llvmlite")

    monkeypatch.setitem(cast("dict[str, object]", ENGINES), "llvm", no_compiler)
    engines = roster_of(Choice(engines=()))
    assert not [one for one in engines.usable() if one.name.startswith("llvm")]
    with pytest.raises(EngineUnavailableError, match="llvmlite"):
        roster_of(Choice(engines=["llvm"]))
