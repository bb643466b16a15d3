"""Connections that wear a service out, on a service with few open files."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from libs.common.authority import CERTIFICATE_FILE, make_authority
from libs.common.descriptors import connections_for_callers
from libs.common.grpc.identity import CallerKind
from libs.common.grpc.tls import TlsFiles, transport_of
from tests.support.limited_server import DOMAIN
from trials.security.floods import Made
from trials.security.strangers import Endured, Victim, all_kinds, endure_one

ROOT = Path(__file__).parents[2]
POOLER = "0190a5f0-0000-7000-8000-000000000001"
#: The usual limits, eight times smaller: what a process has at first, and what it may have.
SOFT, HARD = 128, 2048
#: Seconds in which honest callers have to be answered, on a machine that does other things, too.
#: The flood goes on for as long as they wait.
PATIENCE = 30.0
KINDS = {kind.name: kind for kind in all_kinds()}


@dataclass(frozen=True, kw_only=True)
class Serving:
    """A server, and what a pooler shows to it."""

    victim: Victim
    shown: TlsFiles
    #: What its log said at the start.
    said: dict[str, object]


@asynccontextmanager
async def serving(folder: Path, *, soft: int, hard: int) -> AsyncIterator[Serving]:
    """plant's server in a process of its own."""
    authority = make_authority(DOMAIN)
    authority.save(folder)
    files = {}
    for kind, name in (
        (CallerKind.SERVICE, "plant"),
        (CallerKind.POOLER, POOLER),
        (CallerKind.OPERATOR, "ann"),
    ):
        certificate, key = authority.issue(kind, name).save(folder, name)
        files[kind] = TlsFiles(
            certificate=certificate, key=key, authority=folder / CERTIFICATE_FILE
        )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.limited_server", str(folder), str(soft), str(hard)),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said = await _said(process, "serving")
        drained = asyncio.create_task(_drain(process))
        victim = Victim(
            target=f"127.0.0.1:{said['port']}",
            name="plant",
            pid=process.pid,
            honest=transport_of(files[CallerKind.OPERATOR]),
        )
        yield Serving(victim=victim, shown=files[CallerKind.POOLER], said=said)
        drained.cancel()
    finally:
        process.kill()
        await process.wait()


async def _said(process: asyncio.subprocess.Process, event: str) -> dict[str, object]:
    assert process.stderr is not None
    async for raw in process.stderr:
        line: dict[str, object] = json.loads(raw)
        if line["event"] == event:
            return line
    raise AssertionError("the server ended")


async def _drain(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    async for _ in process.stderr:
        pass


@pytest.mark.parametrize("name", KINDS)
async def test_honest_callers_are_answered_beside_connections_that_wear_a_service_out(
    tmp_path: Path, name: str
) -> None:
    """Twice as many as the soft limit would have let in, where they need no certificate."""
    kind = KINDS[name]
    count = 40 if kind.has_certificate else 2 * SOFT
    async with serving(tmp_path, soft=SOFT, hard=HARD) as server:
        found = await endure_one(
            server.victim, kind, count, server.shown, seconds=4, patience=PATIENCE
        )
    # The limit was raised: 4 connections to the database and 200 of its own are kept apart.
    assert server.said["max_connections"] == HARD - 204
    assert found.failures == []
    assert found.made.most > 0
    assert min(len(found.new), len(found.old)) >= 2
    if not kind.has_certificate:
        assert found.made.most >= 2 * SOFT
        assert found.made.closed > 0, "the service waits for ever"


async def test_where_the_limit_cannot_be_raised_the_service_keeps_what_it_needs(
    tmp_path: Path,
) -> None:
    """Callers that are there stay; when the strangers are gone, new ones are let in at once."""
    async with serving(tmp_path, soft=SOFT, hard=SOFT) as server:
        assert server.said["max_connections"] == SOFT // 2
        found = await endure_one(
            server.victim, KINDS["says nothing"], 4 * SOFT, server.shown, seconds=4
        )
        assert found.made.most >= SOFT // 2
        assert len(found.old) >= 2
        after = await endure_one(server.victim, KINDS["pings"], 1, server.shown, seconds=1)
        assert after.failures == []


def test_what_the_process_needs_itself_comes_before_its_callers() -> None:
    assert connections_for_callers(4096, database=20, of=20_000) == 4096
    assert connections_for_callers(4096, database=20, of=1024) == 1024 - 220
    assert connections_for_callers(4096, database=1000, of=1024) == 512
    assert connections_for_callers(4096, database=20, of=1) == 1


def test_a_kind_that_kept_callers_out_is_told() -> None:
    good = Endured(
        name="says nothing",
        made=Made(made=1, closed=1, most=1),
        new=[0.1],
        old=[0.1],
        patience=5,
        failed=0,
        before=0,
        most=0,
        after=0,
    )
    assert good.failures == []
    for bad in (replace(good, failed=1), replace(good, new=[]), replace(good, after=1 << 30)):
        assert len(bad.failures) == 1


def test_a_flood_needs_no_certificate_only_where_it_says_so() -> None:
    assert [kind.name for kind in KINDS.values() if not kind.has_certificate] == [
        "says nothing",
        "half a TLS hello",
        "HTTP/2 without TLS",
    ]
