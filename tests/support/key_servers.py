"""Servers that key providers talk to, on this machine: a real OpenBao, and moto's KMS."""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiobotocore.session import get_session
from moto.server import ThreadedMotoServer

from devstack.ports import free_ports

ROOT_TOKEN = "root"
REGION = "eu-central-1"
#: Seconds within which OpenBao must answer.
PATIENCE = 120.0
#: Credentials of nobody: moto takes any.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
#: Rights of the wallet: docs/custody.md.
POLICY = """
path "transit/keys/{key}" {{ capabilities = ["read"] }}
path "transit/encrypt/{key}" {{ capabilities = ["update"] }}
path "transit/decrypt/{key}" {{ capabilities = ["update"] }}
"""


def find_bao() -> str | None:
    """Find the program of OpenBao: in the environment that runs the tests, or on the PATH."""
    here = Path(sys.executable).parent
    return shutil.which("bao", path=f"{here}{os.pathsep}{os.environ.get('PATH', '')}")


class Bao:
    """An operator of one OpenBao."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self.port = port
        self._session = session

    @property
    def address(self) -> str:
        """Return the address of the server."""
        return f"http://127.0.0.1:{self.port}"

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the server's answer to a client that has all rights."""
        headers = {"X-Vault-Token": ROOT_TOKEN}
        url = f"{self.address}/v1/{path}"
        async with self._session.request(method, url, json=body, headers=headers) as reply:
            assert reply.status in {200, 204}, await reply.text()
            return await reply.json() if reply.status == 200 else {}

    async def make_key(self, name: str, *, kind: str = "aes256-gcm96") -> None:
        """Make a transit key, with a policy of the same name for users of the key."""
        await self.ask("POST", f"transit/keys/{name}", {"type": kind})
        await self.ask("PUT", f"sys/policies/acl/{name}", {"policy": POLICY.format(key=name)})

    async def rotate(self, name: str) -> None:
        """Make a new version of a key."""
        await self.ask("POST", f"transit/keys/{name}/rotate")

    async def token(self, policy: str, **options: Any) -> str:
        """Return a token that has the rights of the policy."""
        given = {"policies": [policy], "no_parent": True, **options}
        return str((await self.ask("POST", "auth/token/create", given))["auth"]["client_token"])

    async def app_role(self, name: str, **options: Any) -> tuple[str, str]:
        """Return role id and secret id of a new AppRole with the policy of that name."""
        given = {"token_policies": [name], **options}
        await self.ask("POST", f"auth/approle/role/{name}", given)
        role = await self.ask("GET", f"auth/approle/role/{name}/role-id")
        secret = await self.ask("POST", f"auth/approle/role/{name}/secret-id")
        return role["data"]["role_id"], secret["data"]["secret_id"]

    async def is_up(self) -> bool:
        """Tell whether the server answers."""
        try:
            async with self._session.get(f"{self.address}/v1/sys/health") as reply:
                return reply.status == 200
        except aiohttp.ClientError:
            return False


@asynccontextmanager
async def open_bao(program: str, folder: Path) -> AsyncIterator[Bao]:
    """Run an OpenBao with transit and AppRole while the block runs; it keeps all data in memory."""
    (port,) = free_ports(1)
    with (folder / "bao.log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            program,
            "server",
            "-dev",
            f"-dev-root-token-id={ROOT_TOKEN}",
            f"-dev-listen-address=127.0.0.1:{port}",
            "-dev-no-store-token",
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
    try:
        async with aiohttp.ClientSession() as session:
            bao = Bao(session, port)
            async with asyncio.timeout(PATIENCE):
                while not await bao.is_up():
                    assert child.returncode is None, (folder / "bao.log").read_text()
                    await asyncio.sleep(0.1)
            await bao.ask("POST", "sys/mounts/transit", {"type": "transit"})
            await bao.ask("POST", "sys/auth/approle", {"type": "approle"})
            yield bao
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
        await child.wait()


class Kms:
    """An operator of one KMS."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def make_key(self) -> str:
        """Return the ARN of a new key."""
        async with get_session().create_client(
            "kms", region_name=REGION, endpoint_url=f"http://127.0.0.1:{self.port}"
        ) as client:
            return (await client.create_key())["KeyMetadata"]["Arn"]


@contextmanager
def open_moto() -> Iterator[Kms]:
    """Run a KMS while the block runs, with credentials that it takes."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        server.start()
        try:
            yield Kms(server.get_host_and_port()[1])
        finally:
            server.stop()
