"""Other miners as engines: how they are called, what they print, and that they end when told to."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from time import sleep

import pytest

from libs.kale.address import address_of, raw_key
from miner.choice import Choice, roster_of
from miner.engine import Slice
from miner.engines import selfcheck
from miner.engines.program.engine import ProgramEngine, ProgramScanner
from miner.engines.program.output import nonce_of, rate_of
from miner.engines.program.template import Order, Template, template_of
from miner.engines.python import PythonEngine
from miner.judge import found, most_head
from miner.model import (
    EngineFailedError,
    EngineUnavailableError,
    Target,
    Work,
)
from miner.roster import Roster
from miner.search import open_search
from tests.support.other_programs import KALE_FARMER, KALE_MINER

OTHER = Path(__file__).resolve().parents[2] / "support" / "other_miner.py"
SEARCHING = (
    f"{sys.executable} {OTHER} zeros {{index}} {{entropy_base64}} {{nonce}} {{zeros}} {{address}}"
)
COUNTING = (
    f"{sys.executable} {OTHER} count --index {{index}} --entropy-hex {{entropy_hex}} "
    "--farmer-hex {key_hex} --nonce-count {nonces}"
)

WORK = Work(
    index=7,
    entropy=bytes(range(32)),
    targets=tuple(Target(key=bytes([number]) * 32) for number in range(1, 4)),
)


def scanner(text: str, *, seconds: float = 60.0, zeros: int = 1) -> ProgramScanner:
    """A scanner of WORK that asks for at least so many zeros."""
    return ProgramScanner(template_of(text, 1), WORK, run_seconds=seconds, zeros=zeros)


def piece(zeros: int, *, target: int = 0, first: int = 1_000) -> Slice:
    """A slice for a number of zeros."""
    return Slice(target=target, first=first, nonces=1_000, at_most=most_head(zeros))


def test_an_address_is_made_of_a_key() -> None:
    key = bytes(range(32))
    assert address_of(key).startswith("G")
    assert raw_key(address_of(key)) == key


# How they are called --------------------------------------------------------------------------


def test_every_name_is_filled_in() -> None:
    template = template_of(
        f"{sys.executable} {{index}} {{entropy_base64}} {{entropy_hex}} n{{nonce}} {{nonces}} "
        "z={zeros} {address} {key_hex} {threads} 'two words'",
        3,
    )
    order = Order(work=WORK, target=1, nonce=5, nonces=6, zeros=7)
    assert template.command(order) == [
        sys.executable,
        "7",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        bytes(range(32)).hex(),
        "n5",
        "6",
        "z=7",
        address_of(bytes([2]) * 32),
        "02" * 32,
        "3",
        "two words",
    ]


def test_known_programs_need_their_path_only() -> None:
    miner = template_of(f"kale-miner={sys.executable} --gpu --max-threads 512", 2)
    assert miner.name == "kale-miner"
    assert miner.takes("zeros")
    assert miner.prefers_even
    assert miner.words[-3:] == ["--gpu", "--max-threads", "512"]
    farmer = template_of(f"kale-farmer={sys.executable}", 2)
    assert farmer.takes("nonces")
    assert not farmer.takes("nonce")
    # It uses two threads fewer than it has.
    assert farmer.environment == {"RAYON_NUM_THREADS": "4"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("'open", "No closing quotation"),
        ("/no/such/program {zeros}", "'/no/such/program' is no program"),
        (f"{sys.executable} {{zeros}} {{color}}", "there is no {color}"),
        (f"{sys.executable} {{zeros}} {{index", "expected '}'"),
        (f"{sys.executable} {{index}}", "neither {zeros} nor {nonces}"),
        ("kale-miner=/no/such/program", "is no program"),
    ],
)
def test_a_command_line_that_cannot_work_is_told(text: str, said: str) -> None:
    with pytest.raises(EngineUnavailableError, match=r"^program: ") as caught:
        template_of(text, 1)
    assert said in str(caught.value)


# What they print ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "nonce"),
    [
        ('log\n{\n  "hash": "00aa",\n  "nonce": 324280\n}\n', 324280),
        ('{"nonce": "12", "hash": ""}', 12),
        (f'Hashrate: 1 MH/s\n["77", "{"ab" * 32}"]\n', 77),
        ('{"nonce": 1}\n{"nonce": 2}', 2),
        ("No valid hash found.", None),
        ('{"nonce": 18446744073709551616}', None),
        ('{"nonce": 18446744073709551615}', 2**64 - 1),
        ('{"nonce": null}', None),
        ('["77", "not a hash"]', None),
    ],
)
def test_the_nonce_is_found_in_what_is_printed(text: str, nonce: int | None) -> None:
    assert nonce_of(text) == nonce


def test_the_rate_is_the_mean_of_what_is_printed() -> None:
    text = "[CPU] Hash Rate: 2.00 MH/s\n[CPU] Hash Rate: 3.00 MH/s\n"
    assert rate_of(text) == 2.5e6
    assert rate_of("[GPU] Hash Rate: 1.90 GH/s") == 1.9e9
    assert rate_of("[CPU] Hash Rate: 12.50 H/s") == 12.5
    assert rate_of("[CPU] Mining") is None


# What they find -------------------------------------------------------------------------------


def test_a_search_for_zeros_finds_the_first_nonce_that_has_them() -> None:
    scan = scanner(SEARCHING).scan([piece(2)])
    (hit,) = scan.hits
    assert found(WORK, 0, hit.nonce).zeros >= 2
    assert all(found(WORK, 0, nonce).zeros < 2 for nonce in range(1_000, hit.nonce))
    # It does not tell what it has tried: a find counts as what one takes on average.
    assert scan.hashes == 16**2


def test_the_hashes_of_a_program_that_tells_its_rate_are_by_its_rate() -> None:
    scan = scanner(SEARCHING + " --verbose").scan([piece(3)])
    assert scan.hits
    assert scan.hashes != 16**3
    assert 0 < scan.hashes < 2_500 * 60


def test_more_zeros_are_asked_for_where_a_find_comes_at_once() -> None:
    running = scanner(SEARCHING)
    for _ in range(2):
        (hit,) = running.scan([piece(1)]).hits
    # A run of some milliseconds is mostly start, unless the machine is that slow.
    assert running._zeros in {1, 2, 3}
    assert found(WORK, 0, hit.nonce).zeros >= 1


def test_even_numbers_are_asked_for_where_odd_ones_lose_finds() -> None:
    template = Template(name="kale-miner", words=[sys.executable, "{zeros}", "--gpu"], threads=1)
    running = ProgramScanner(template, WORK, run_seconds=1.0, zeros=5)
    assert running._order(piece(3)).zeros == 6
    assert running._order(piece(7)).zeros == 7


def test_a_program_that_begins_at_0_gets_twice_as_many_each_time() -> None:
    running = scanner(COUNTING)
    first = running.scan([piece(1)])
    again = running.scan([piece(1)])
    assert (first.hashes, again.hashes) == (1_000, 2_000)
    assert running.scan([piece(1, target=2)]).hashes == 1_000
    # Its best nonce is no hit where it is not good enough.
    assert first.hits
    assert not running.scan([piece(12, target=1)]).hits


def test_a_program_that_counts_gets_more_time_until_it_comes_to_its_end() -> None:
    """An ended run tells nothing: with the same time again it would never find anything."""
    running = scanner(COUNTING, seconds=0.001)
    assert running.scan([piece(1)]).hashes == 0
    # The time at least doubles each time: a thousand seconds are more than any machine takes.
    assert any(running.scan([piece(1)]).hashes for _ in range(20))


def test_a_program_that_finds_nothing_is_ended_after_its_time() -> None:
    running = scanner(SEARCHING + " --deed endless", seconds=0.5)
    assert running.scan([piece(1)]).hits == ()
    assert processes() == []


def test_stop_ends_the_program() -> None:
    running = scanner(SEARCHING + " --deed endless", seconds=600)
    thread = threading.Thread(target=lambda: running.scan([piece(1)]))
    thread.start()
    while not processes():
        sleep(0.01)
    running.stop()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert processes() == []
    assert running.scan([piece(1)]).hashes == 0


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script that starts a miner, without end, and then waits for its first argument."""
    path = tmp_path / "mine.sh"
    endless = f"zeros 1 '' 0 1 {address_of(bytes(32))} --deed endless"
    path.write_text(f'#!/bin/sh\n{sys.executable} {OTHER} {endless} &\n"$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return path


def test_what_a_script_has_started_ends_with_it(script: Path) -> None:
    running = scanner(f"{script} sleep 600 {{zeros}}", seconds=600)
    thread = threading.Thread(target=lambda: running.scan([piece(1)]))
    thread.start()
    while not processes():
        sleep(0.01)
    running.stop()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert processes() == []


def test_what_a_script_leaves_behind_is_not_waited_for(script: Path) -> None:
    (hit,) = (
        scanner(f"{script} echo '{{{{\"nonce\": {{zeros}}}}}}'", seconds=600).scan([piece(1)]).hits
    )
    assert hit.nonce == 1
    assert processes() == []


@pytest.mark.parametrize(
    ("deed", "said"), [("fail", "the device is gone"), ("silent", "it says nothing")]
)
def test_a_program_that_ends_without_a_nonce_has_failed(deed: str, said: str) -> None:
    with pytest.raises(EngineFailedError, match=said):
        scanner(f"{SEARCHING} --deed {deed}").scan([piece(1)])


def test_a_program_is_tried_before_it_is_used() -> None:
    ProgramEngine(template_of(SEARCHING, 1), 0).warm()
    ProgramEngine(template_of(COUNTING, 1), 0).warm()
    # One nonce in sixteen is good by chance: this one, the first of the check, is not.
    assert found(selfcheck.PIECE, 0, 0).zeros == 0
    with pytest.raises(EngineUnavailableError, match="is none"):
        ProgramEngine(template_of(SEARCHING + " --deed lie", 1), 0).warm()
    with pytest.raises(EngineUnavailableError, match="the device is gone"):
        ProgramEngine(template_of(SEARCHING + " --deed fail", 1), 0).warm()


async def test_a_search_uses_a_program_as_any_engine() -> None:
    named = roster_of(Choice(engines=["programs"], programs=[SEARCHING], threads=1))
    assert [engine.name for engine in named.usable()] == [f"program 0: {Path(sys.executable).name}"]
    engine = ProgramEngine(template_of(SEARCHING, 1), 0, first_zeros=1)
    roster = Roster([engine], PythonEngine())
    work = Work(index=7, entropy=bytes(32), targets=WORK.targets, cap=3)
    async with open_search(work, roster, seconds=None) as search:
        best = await search.finish()
    assert all(find.zeros >= 3 for find in best.values())
    assert list(search.rates()) == ["judge", engine.name]


def test_a_program_does_not_outlive_who_started_it() -> None:
    """kill -9: nothing can clean up, so the guard must notice by itself."""
    source = (
        "from miner.engines.program.run import ProgramRun\n"
        f"run = ProgramRun(['{sys.executable}', '{OTHER}', 'zeros', '1', '', '0', '1', "
        f"'{address_of(bytes(32))}', '--deed', 'endless'], {{}})\n"
        "print('started', flush=True)\n"
        "run.wait(600)\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE)
    assert starter.stdout is not None
    assert starter.stdout.readline() == b"started\n"
    while not processes():
        sleep(0.01)
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    for _ in range(1_000):
        if not processes():
            break
        sleep(0.01)
    assert processes() == []


def processes() -> list[str]:
    """Programs of these tests that run."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "stat=,args="],  # noqa: S607  (its place differs)
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [
        line
        for line in listing.splitlines()
        if f"{OTHER} zeros" in line
        and "endless" in line
        and not line.startswith("Z")
        and "guard.py" not in line
    ]


# The real ones --------------------------------------------------------------------------------


@pytest.mark.skipif(not KALE_MINER, reason="KALE_MINER names no kale-miner")
def test_the_real_kale_miner_finds_true_nonces() -> None:
    engine = ProgramEngine(template_of(f"kale-miner={KALE_MINER}", 1), 0, run_seconds=300)
    engine.warm()
    (hit,) = engine.scanner(WORK).scan([piece(4)]).hits
    assert found(WORK, 0, hit.nonce).zeros >= 4


@pytest.mark.skipif(not KALE_FARMER, reason="KALE_FARMER names no kale-farmer")
def test_the_real_kale_farmer_finds_true_nonces() -> None:
    engine = ProgramEngine(template_of(f"kale-farmer={KALE_FARMER}", 1), 0, run_seconds=300)
    engine.warm()
    running = engine.scanner(WORK)
    (hit,) = running.scan([piece(2)._replace(nonces=100_000)]).hits
    assert found(WORK, 0, hit.nonce).zeros >= 2
