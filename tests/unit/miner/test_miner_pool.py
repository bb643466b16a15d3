"""Mining for a pooler by HTTP: joining, jobs, shares, and a door that is away or refuses."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from miner.choice import ENGINES, Choice
from miner.command import main
from miner.engine import Scan, Slice
from miner.model import EngineFailedError
from miner.pool import credentials
from miner.pool.client import RefusedError, UnsafeAddressError, checked_url
from miner.pool.credentials import CredentialFileError
from miner.pool.events import (
    Event,
    Joined,
    Note,
    Part,
    Progress,
    describe,
    write_json,
    write_text,
)
from miner.pool.fields import PoolAnswerError
from miner.pool.join import Joining, TermsError, join
from miner.pool.mining import PoolMiner, Wishes
from miner.roster import Roster
from tests.support.engines import CountedPython, FakeEngine
from tests.support.fake_door import CREDENTIAL, TERMS, FakeDoor, open_door

#: Limits of a pooler that are no numbers.
FEW = {"lowestDifficulty": "few"}
ADDRESS = "GAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB7JZX"


@pytest.fixture
async def door() -> FakeDoor:
    """A door."""
    return FakeDoor()


@pytest.fixture
async def url(door: FakeDoor) -> AsyncIterator[str]:
    """The door's address."""
    async with open_door(door) as address:
        yield address


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries after a short while."""
    monkeypatch.setattr("miner.pool.mining._FIRST_PAUSE", 0.05)
    monkeypatch.setattr("miner.pool.mining._TELL_SECONDS", 0.1)
    monkeypatch.setattr("miner.pool.submitting._FIRST_PAUSE", 0.05)
    monkeypatch.setattr("miner.pool.join._PAUSE_SECONDS", 0.05)
    monkeypatch.setattr("miner.pool.join._SAMPLE_SECONDS", 0.01)


def joining(url: str, folder: Path, **changes: object) -> Joining:
    """A miner that has agreed to the terms, with the engine that is always there."""
    made = Joining(
        url=url,
        address=ADDRESS,
        agrees=True,
        choice=Choice(engines=["python"]),
        credential_file=folder / "credential.json",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def mining(asked: Joining) -> AsyncIterator[list[Event]]:
    """Mine while the block runs; its events."""
    events: list[Event] = []
    task = asyncio.create_task(join(asked, events.append))
    try:
        yield events
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(reached: Callable[[], bool]) -> None:
    """Waits until something is so."""
    async with asyncio.timeout(60):
        while not reached():  # noqa: ASYNC110  (what is watched has no event)
            await asyncio.sleep(0.01)


async def settled(count: Callable[[], int]) -> int:
    """Waits until a number stays for a while, which it never does while something goes on."""
    async with asyncio.timeout(60):
        while True:
            before = count()
            await asyncio.sleep(0.4)
            if count() == before:
                return before


def notes(events: list[Event]) -> list[str]:
    """What people were told."""
    return [event.text for event in events if isinstance(event, Note)]


# Joining --------------------------------------------------------------------------------------


async def test_a_miner_joins_once_and_its_shares_are_credited(
    door: FakeDoor, url: str, tmp_path: Path
) -> None:
    async with mining(joining(url, tmp_path)) as events:
        await until(lambda: len(door.credited) >= 20)
        await until(lambda: any(isinstance(event, Progress) for event in events))
    assert events[0] == Joined(url=url, address=ADDRESS, is_new=True)
    # No share was wrong, too old or brought twice, and jobs went on when one was done.
    assert set(door.verdicts) == {"ACCEPTED"}
    assert door.calls["/work"] > 0
    path = tmp_path / "credential.json"
    assert json.loads(path.read_text()) == {
        "url": url,
        "address": ADDRESS,
        "credential": CREDENTIAL,
    }
    assert path.stat().st_mode & 0o077 == 0
    async with mining(joining(url, tmp_path, agrees=False)) as events:
        await until(lambda: bool(events))
        assert events[0] == Joined(url=url, address=ADDRESS, is_new=False)
    assert door.calls["/join"] == 1


async def test_terms_have_to_be_agreed_to(door: FakeDoor, url: str, tmp_path: Path) -> None:
    with pytest.raises(TermsError, match=r"--agree: version: 0123456789abcdef, scheme"):
        await join(joining(url, tmp_path, agrees=False), lambda _event: None)
    assert door.calls["/join"] == 0


async def test_changed_terms_are_agreed_to_at_the_start_only(
    door: FakeDoor, url: str, tmp_path: Path
) -> None:
    credentials.keep(tmp_path / "credential.json", url=url, address=ADDRESS, credential=CREDENTIAL)
    door.refuse("/work", 409, "TERMS_CHANGED")
    with pytest.raises(TermsError, match="new terms"):
        await join(joining(url, tmp_path, agrees=False), lambda _event: None)
    door.refuse("/work", 409, "TERMS_CHANGED")
    async with mining(joining(url, tmp_path)):
        await until(lambda: bool(door.credited))
    assert door.calls["/terms"] == 1
    # While it mines nobody has read the new ones.
    door.refuse("/events", 409, "TERMS_CHANGED")
    with pytest.raises(RefusedError, match="TERMS_CHANGED"):
        await join(joining(url, tmp_path), lambda _event: None)


async def test_a_credential_that_is_none_ends_it(door: FakeDoor, url: str, tmp_path: Path) -> None:
    credentials.keep(tmp_path / "credential.json", url=url, address=ADDRESS, credential="km_x")
    with pytest.raises(RefusedError, match="BAD_CREDENTIAL"):
        await join(joining(url, tmp_path), lambda _event: None)
    assert door.calls["/join"] == 0


# Mining ---------------------------------------------------------------------------------------


async def test_new_jobs_take_the_place_of_those_that_are_searched(
    door: FakeDoor, url: str, tmp_path: Path
) -> None:
    door.nonces = 2**30
    async with mining(joining(url, tmp_path)):
        await until(lambda: bool(door.credited))
        door.block += 1
        door.tell("job", {"jobs": door.jobs()})
        newest = f"token-{door._next - 1}"
        await until(lambda: any(token == newest for token, _ in door.credited))


async def test_nothing_is_searched_once_the_works_are_sent(
    door: FakeDoor, url: str, tmp_path: Path
) -> None:
    door.nonces = 2**30
    async with mining(joining(url, tmp_path)) as events:
        await until(lambda: bool(door.credited))
        door.tell("works-sent", {"block": door.block})
        await until(lambda: any("works are sent" in text for text in notes(events)))
        # What was found before may still come, and then nothing.
        brought = await settled(lambda: door.calls["/submit"])
        door.tell("job", {"jobs": door.jobs()})
        await until(lambda: door.calls["/submit"] > brought)


async def test_a_lost_stream_is_opened_again_while_the_search_goes_on(
    door: FakeDoor, url: str, tmp_path: Path
) -> None:
    async with mining(joining(url, tmp_path)) as events:
        await until(lambda: bool(door.credited))
        door.cut()
        await until(lambda: door.calls["/events"] > 1)
        before = len(door.credited)
        await until(lambda: len(door.credited) > before)
    assert any(text.startswith("the stream of events has ended") for text in notes(events))


async def test_shares_wait_while_the_pooler_is_away(
    door: FakeDoor, url: str, tmp_path: Path
) -> None:
    for _ in range(3):
        door.refuse("/submit", 503, "DATABASE_UNAVAILABLE")
    async with mining(joining(url, tmp_path)) as events:
        await until(lambda: len(door.credited) >= 5)
    assert any("DATABASE_UNAVAILABLE" in text for text in notes(events))
    assert set(door.verdicts) == {"ACCEPTED"}


async def test_a_pause_is_waited_for(door: FakeDoor, url: str, tmp_path: Path) -> None:
    """All farmers have what counts: the stream tells when there is work again."""
    async with mining(joining(url, tmp_path)):
        await until(lambda: bool(door.credited))
        door.refuse("/work", 409, "PAUSED")
        await until(lambda: not door.refusals["/work"])
        await settled(lambda: door.calls["/work"])
        before = await settled(lambda: len(door.credited))
        door.tell("job", {"jobs": door.jobs()})
        await until(lambda: len(door.credited) > before)


async def test_a_ban_ends_it_with_its_reason(door: FakeDoor, url: str, tmp_path: Path) -> None:
    task = asyncio.create_task(join(joining(url, tmp_path), lambda _event: None))
    await until(lambda: bool(door.credited))
    door.tell("ban", {"until": "2026-12-01T00:00:00Z", "why": "withheld"})
    with pytest.raises(RefusedError, match="withheld"):
        await task


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (("job", {"jobs": [{"job": "token", "firstNonce": "0"}]}), "block"),
        (("part", {"block": 7, "amount": "much"}), "amount"),
    ],
)
async def test_an_event_that_nobody_understands_ends_it(
    door: FakeDoor, url: str, tmp_path: Path, event: tuple[str, Mapping[str, Any]], field: str
) -> None:
    task = asyncio.create_task(join(joining(url, tmp_path), lambda _event: None))
    await until(lambda: bool(door.credited))
    door.tell(*event)
    with pytest.raises(PoolAnswerError, match=f"^{field}: "):
        await task


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        (("/v1/pool", {"terms": "none"}), "terms"),
        (("/v1/pool", {}), "version"),
        (("/v1/pool", {"terms": {"version": TERMS}, "limits": FEW}), "lowestDifficulty"),
        (("/join", {"credential": 1}), "credential"),
        (("/submit", {"verdicts": "fine"}), "verdicts"),
        (("/submit", {"verdicts": [1], "points": "many"}), "points"),
    ],
)
async def test_a_wrong_answer_to_a_request_ends_it_with_the_field(
    door: FakeDoor, url: str, tmp_path: Path, answer: tuple[str, Mapping[str, Any]], field: str
) -> None:
    door.answer_by(*answer)
    with pytest.raises(PoolAnswerError, match=f"^{field}: "):
        await join(joining(url, tmp_path), lambda _event: None)


async def test_a_refusal_is_read_whatever_stands_in_it(
    door: FakeDoor, url: str, tmp_path: Path
) -> None:
    door.refuse("/join", 403, "CLOSED", metadata=["no", "object"])
    with pytest.raises(RefusedError, match="CLOSED: told CLOSED"):
        await join(joining(url, tmp_path), lambda _event: None)


async def test_an_engine_that_fails_costs_its_own_hashes_only(
    door: FakeDoor, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look at its rate fails, too."""

    def failing(_slices: Sequence[Slice]) -> Scan:
        raise EngineFailedError("the device is gone")

    engine = FakeEngine(failing)
    monkeypatch.setitem(cast("dict[str, object]", ENGINES), "python", lambda _choice: [engine])
    async with mining(joining(url, tmp_path)) as events:
        await until(lambda: bool(door.credited))
    assert "fake stopped, until the next block: the device is gone" in notes(events)


async def test_what_is_asked_for_follows_the_rate(door: FakeDoor, url: str, tmp_path: Path) -> None:
    async with mining(joining(url, tmp_path, worker="rig-1", difficulty=256)):
        await until(lambda: door.calls["/work"] >= 3)
    newest = door.queries[-1]
    assert newest["worker"] == "rig-1"
    assert newest["difficulty"] == "256"
    assert int(newest["rate"]) > 0
    assert 1 <= int(newest["count"]) <= 100


@pytest.mark.parametrize(
    ("rate", "least", "difficulty"),
    [
        (0.0, 1, 16**6),
        (1e3, 1, 16**4),
        (2e6, 1, 16**6),
        (2e9, 1, 16**8),
        (1e3, 16**6, 16**6),
    ],
)
def test_programs_get_a_whole_even_number_of_zeros(
    rate: float, least: int, difficulty: int
) -> None:
    """About fifteen seconds a share, give or take a factor of sixteen."""

    async def chosen() -> str:
        spare = CountedPython()
        wishes = Wishes(worker="w", whole_zeros=True, least_difficulty=least)
        miner = PoolMiner(None, Roster([], spare), wishes, print, rate=rate)  # type: ignore[arg-type]
        return miner._options()["difficulty"]

    assert asyncio.run(chosen()) == str(difficulty)


# Addresses and files --------------------------------------------------------------------------


def test_a_credential_is_not_shown_to_listeners() -> None:
    assert checked_url("https://pool.example/", plaintext=False) == "https://pool.example"
    assert checked_url("http://127.0.0.1:1", plaintext=False) == "http://127.0.0.1:1"
    assert checked_url("http://pool.example", plaintext=True) == "http://pool.example"
    for url in ("http://pool.example", "ftp://pool.example", "pool.example", "https://"):
        with pytest.raises(UnsafeAddressError, match=r"^url: "):
            checked_url(url, plaintext=False)


def test_a_file_without_a_credential_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    assert credentials.read(path) is None
    for content in ("{}", "[]", "no json"):
        path.write_text(content)
        with pytest.raises(CredentialFileError, match=r"file\.json"):
            credentials.read(path)
    with pytest.raises(CredentialFileError):
        credentials.keep(path / "below", url="", address="", credential="km")
    with pytest.raises(CredentialFileError, match="below"):
        credentials.prepare(path / "below")


async def test_nobody_joins_who_cannot_keep_the_credential(
    door: FakeDoor, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told once, and the pooler would count a miner that nobody is."""

    def refused(**_options: object) -> None:
        raise PermissionError("no file may be made here")

    monkeypatch.setattr("miner.pool.credentials.tempfile.TemporaryFile", refused)
    with pytest.raises(CredentialFileError, match=r"credential\.json: no file may be made here"):
        await join(joining(url, tmp_path), lambda _event: None)
    assert door.calls["/join"] == 0


def test_each_pooler_and_address_has_a_file_of_its_own() -> None:
    files = {credentials.default_file(url, address) for url in ("a", "b") for address in ("c", "d")}
    assert len(files) == 4


def test_an_address_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^address: "):
        joining("https://pool.example", tmp_path, address="GABC")


# The command ----------------------------------------------------------------------------------


def test_events_are_told_in_words_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(
        block=7,
        rates={"llvm AVX2": 11e6, "opencl 0": 1e6},
        difficulty=65_536,
        shares={"ACCEPTED": 3, "TOO_LATE": 1},
        points=196_608,
    )
    assert describe(progress) == (
        "block 7: 12.00 MH/s, 3 shares, 196,608 points, 65,536 hashes a share (1 TOO_LATE)"
    )
    write_text(Part(block=7, amount=5))
    write_json(progress)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "block 7: your part is 5 stroops of KALE"
    assert json.loads(second)["event"] == "progress"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["http://pool.example", "--address", ADDRESS], "url: "),
        (["https://pool.example", "--address", "G"], "address: "),
        (["http://127.0.0.1:1", "--address", ADDRESS, "--ca-file", "/nowhere"], "ca-file: "),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(
    options: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["miner", "join", *options, "--engines", "python"])
    assert main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"miner: {said}")
