"""python -m tests.support.limited_server FOLDER SOFT HARD: plant's server with few open files.

FOLDER has its certificate. The log says where it listens.
"""

import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kalepool.plant.v1 import plant_pb2_grpc
from pydantic import SecretStr

from libs.common.authority import CERTIFICATE_FILE
from libs.common.config import ServiceSettings
from libs.common.grpc.server import RunningServer, open_server, run_service
from libs.common.grpc.tls import transport_of
from tests.support.plant_server import plant_spec

DOMAIN = "pool.example"


def main(folder: Path, soft: int, hard: int) -> None:
    """Serve until the process is ended."""
    settings = ServiceSettings(
        database_url=SecretStr("postgresql://nowhere/none"),
        database_pool_size=4,
        tls_cert_file=folder / "plant.pem",
        tls_key_file=folder / "plant.key",
        tls_ca_file=folder / CERTIFICATE_FILE,
        trust_domain=DOMAIN,
        handshake_timeout_ms=2000,
        api_rate_limit=0,
    )

    @asynccontextmanager
    async def open_app() -> AsyncIterator[RunningServer]:
        spec = plant_spec(plant_pb2_grpc.PlantServiceServicer)
        async with open_server(spec, settings, transport_of(settings.tls_files())) as running:
            yield running

    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    run_service("plant", settings, open_app)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
