"""The demo's statements: the running day is closed, and months of three owners are checked."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
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

#: How the command's line names whose a statement is.
Owner = tuple[str, ...]
#: Seconds for an answer, and until something is booked or published.
_ANSWER, _PATIENCE = 20.0, 60.0


async def verified_statements(
    stack: Stack, owners: Mapping[str, Owner], directory: Path, progress: Progress
) -> dict[str, dict[str, Any]]:
    """Return what `kalepool statement verify` says of owners' statements, with localnet's RPC."""
    async with open_channel(stack.target("harvest"), stack.operator()) as channel:
        progress("closing the day")
        await _until_booked(channel, owners["farmer"][-1])
        await _published(channel)
    return {
        kind: await _verified(stack, owner, directory / f"statement-{kind}.json", progress)
        for kind, owner in owners.items()
    }


def owners_of(farmer_id: UUID, pooler_id: UUID, miner_address: str) -> dict[str, Owner]:
    """Return how the command names a farmer, a pooler and its miner."""
    pooler = ("--pooler", str(pooler_id))
    return {
        "farmer": (str(farmer_id),),
        "pooler": pooler,
        "miner": (*pooler, "--miner", miner_address),
    }


async def _verified(stack: Stack, owner: Owner, file: Path, progress: Progress) -> dict[str, Any]:
    """Save a statement and check it."""
    progress(f"checking {file}")
    month = f"{datetime.now(UTC):%Y-%m}"
    await _command(stack, "save", *owner, "--month", month, "--out", str(file))
    told = await _command(stack, "verify", str(file), "--rpc", stack.rpc_url, "--json")
    found: dict[str, Any] = json.loads(told)
    return {"file": str(file), "owner": owner[-1], **found}


async def _until_booked(channel: grpc.aio.Channel, farmer_id: str) -> None:
    """Wait until the farmer's plants are booked, which wallet tells soon after they are there."""
    stub: ledger_pb2_grpc.LedgerServiceAsyncStub = ledger_pb2_grpc.LedgerServiceStub(channel)
    request = ledger_pb2.ListJournalsRequest(farmer_id=farmer_id, page_size=100)
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
