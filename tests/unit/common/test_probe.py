"""The health probe of containers, as they run it, beside a real server."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from kalepool.plant.v1 import plant_pb2_grpc
from pydantic import SecretStr

from libs.common.authority import CERTIFICATE_FILE, Authority, make_authority
from libs.common.config import ServiceSettings
from libs.common.grpc.identity import CallerKind
from libs.common.grpc.server import open_server
from libs.common.grpc.tls import TlsFiles, transport_of
from libs.common.local import LOCAL_HOSTS
from tests.support.plant_server import plant_spec

ROOT = Path(__file__).resolve().parents[3]


@asynccontextmanager
async def serving(shown: TlsFiles | None) -> AsyncIterator[str]:
    """plant's server, which has no method that works; its address. Without files: in plaintext."""
    settings = ServiceSettings(
        database_url=SecretStr("postgresql://nowhere/none"),
        transport="plaintext",
        trust_domain="pool.example",
    )
    async with open_server(
        plant_spec(plant_pb2_grpc.PlantServiceServicer), settings, transport_of(shown)
    ) as running:
        yield f"127.0.0.1:{running.port}"


def files(authority: Authority, folder: Path, addresses: Sequence[str]) -> TlsFiles:
    """plant's certificate, with its short name and these addresses."""
    authority.save(folder)
    issued = authority.issue(CallerKind.SERVICE, "plant", addresses=addresses)
    certificate, key = issued.save(folder, "plant")
    return TlsFiles(certificate=certificate, key=key, authority=folder / CERTIFICATE_FILE)


async def probe(shown: TlsFiles | None, *arguments: str) -> int:
    """The command's exit status."""
    environment = {"PATH": os.environ["PATH"], "TRANSPORT": "plaintext"}
    if shown is not None:
        environment |= {
            "TRANSPORT": "mtls",
            **shown.environment,
        }
    command = (sys.executable, "-m", "libs.common.grpc.probe", *arguments)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment)
    return await process.wait()


@pytest.mark.parametrize("addresses", [(), ("plant.example",), LOCAL_HOSTS])
async def test_a_certificate_with_the_services_name_is_enough(
    addresses: Sequence[str], tmp_path: Path
) -> None:
    """Nobody has to put 127.0.0.1 into the certificates of a pool's own authority."""
    shown = files(make_authority("pool.example"), tmp_path, addresses)
    async with serving(shown) as target:
        assert await probe(shown, target) == 0
        assert await probe(shown, target, "kalepool.plant.v1.PlantService") == 0
        assert await probe(shown, target, "kalepool.nobody.v1.NobodyService") == 1


async def test_who_is_not_the_service_does_not_pass_for_it(tmp_path: Path) -> None:
    """Another authority's server, or none."""
    own = files(make_authority("pool.example"), tmp_path / "own", ())
    other = files(make_authority("pool.example"), tmp_path / "other", ())
    async with serving(other) as target:
        assert await probe(own, target) == 1
    assert await probe(own, target) == 1


async def test_plaintext_needs_no_certificate() -> None:
    async with serving(None) as target:
        assert await probe(None, target) == 0


async def test_it_wants_an_address() -> None:
    assert await probe(None) == 2
