"""A gateway that listens, before services that answer as a test says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gateway.app import open_app
from gateway.config import GatewaySettings
from libs.common.names import SERVICES
from tests.support.fake_backends import OPERATOR_TOKEN, FakePool, info_answer, open_fake_pool


@dataclass(frozen=True, kw_only=True)
class GatewayWorld:
    """The gateway and what is around it."""

    #: The services.
    pool: FakePool
    #: Port of the gateway.
    port: int
    #: A client of HTTP without a token.
    http: httpx.AsyncClient

    async def request(
        self, method: str, path: str, *, token: str | None = OPERATOR_TOKEN, **options: Any
    ) -> httpx.Response:
        """Send a request with a token."""
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self.http.request(method, path, headers=headers, **options)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """Send a GET."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        """Send a POST."""
        return await self.request("POST", path, **options)


def settings_for(pool: FakePool, **changes: Any) -> GatewaySettings:
    """Return settings of a gateway before these services."""
    assert pool.files is not None
    given: dict[str, Any] = {
        "port": 0,
        "tls_cert_file": pool.files.certificate,
        "tls_key_file": pool.files.key,
        "tls_ca_file": pool.files.authority,
        "shutdown_grace_ms": 1000,
        "heartbeat_ms": 300,
        **{f"{name}_target": pool.target for name in SERVICES},
    }
    return GatewaySettings(**{**given, **changes})


@asynccontextmanager
async def open_gateway_world(folder: Path, **changes: Any) -> AsyncIterator[GatewayWorld]:
    """Run a gateway while the block runs."""
    async with open_fake_pool(folder) as pool:
        pool.answers["GetInfo"] = info_answer
        async with (
            open_app(settings_for(pool, **changes)) as running,
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{running.port}", timeout=20, trust_env=False
            ) as http,
        ):
            yield GatewayWorld(pool=pool, port=running.port, http=http)
