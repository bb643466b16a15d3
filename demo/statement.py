"""The demo's statement: the running day is closed, and one farmer's month is saved and checked."""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
from kalepool.harvest.v1 import (
    ledger_pb2,
    ledger_pb2_grpc,
    statement_pb2,
    statement_pb2_grpc,
)

from devstack.stack import OPERATOR, Progress, Stack
from libs.common.grpc.client import call, open_channel
from libs.common.grpc.identity import CallerKind

#: Seconds for an answer, and until something is booked or published.
_ANSWER, _PATIENCE = 20.0, 60.0


async def verified_statement(
    stack: Stack, farmer_id: UUID, directory: Path, progress: Progress
) -> dict[str, Any]:
    """Return what `kalepool statement verify` says of a farmer's statement, with localnet's RPC."""
    async with open_channel(stack.target("harvest"), stack.operator()) as channel:
        progress("closing the day")
        await _until_booked(channel, farmer_id)
        await _published(channel)
    file = directory / "statement.json"
    progress(f"checking {file}")
    month = f"{datetime.now(UTC):%Y-%m}"
    saved = ("save", str(farmer_id), "--month", month, "--out", str(file))
    await _command(stack, *saved)
    told = await _command(stack, "verify", str(file), "--rpc", stack.rpc_url, "--json")
    found: dict[str, Any] = json.loads(told)
    return {"file": str(file), "farmer_id": str(farmer_id), **found}


async def _until_booked(channel: grpc.aio.Channel, farmer_id: UUID) -> None:
    """Wait until the farmer's plants are booked, which wallet tells soon after they are there."""
    stub: ledger_pb2_grpc.LedgerServiceAsyncStub = ledger_pb2_grpc.LedgerServiceStub(channel)
    request = ledger_pb2.ListJournalsRequest(farmer_id=str(farmer_id), page_size=100)
    async with asyncio.timeout(_PATIENCE):
        while True:
            found = await call(stub.ListJournals, request, timeout=_ANSWER)
            if any(one.kind == ledger_pb2.JOURNAL_KIND_PLANT for one in found.journals):
                return
            await asyncio.sleep(0.5)


async def _published(channel: grpc.aio.Channel) -> None:
    """Close the running day, and wait until its root is on the chain."""
    stub: statement_pb2_grpc.StatementServiceAsyncStub = statement_pb2_grpc.StatementServiceStub(
        channel
    )
    async with asyncio.timeout(_PATIENCE):
        while True:
            request = statement_pb2.CloseDayRequest()
            if (await call(stub.CloseDay, request, timeout=_ANSWER)).root.ledger:
                return
            await asyncio.sleep(0.5)


async def _command(stack: Stack, *arguments: str) -> str:
    """Run `kalepool statement` as the operator; return its output, whatever it finds."""
    files = stack.certificates(CallerKind.OPERATOR, OPERATOR)
    environment = {
        **os.environ,
        "KALEPOOL_PROFILE": "none",
        "HARVEST_TARGET": stack.target("harvest"),
        "TLS_CERT_FILE": str(files.certificate),
        "TLS_KEY_FILE": str(files.key),
        "TLS_CA_FILE": str(files.authority),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "cli", "statement", *arguments),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    if not out and process.returncode:
        raise RuntimeError(error.decode())
    return out.decode()
