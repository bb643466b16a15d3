"""python -m libs.common.grpc.probe HOST:PORT [SERVICE]: exit status 0 when it serves, else 1.

TRANSPORT and TLS_*_FILE are those of the service that it stands beside.
"""

import asyncio
import sys

from libs.common.config import TransportSettings
from libs.common.grpc.client import open_channel
from libs.common.grpc.health import is_serving
from libs.common.grpc.identity import is_service, uris_of
from libs.common.grpc.tls import Transport, transport_of


async def _probe(target: str, service: str) -> bool:
    settings = TransportSettings()
    transport = transport_of(settings.tls_files())
    async with open_channel(target, transport, name=_own_name(transport)) as channel:
        return await is_serving(channel, service, timeout=3.0, tries=1)


def _own_name(transport: Transport) -> str:
    """Return the short name of the service whose certificate we show; empty when there is none.

    The service stands beside this process and shows the same certificate, which need not name the
    address that we call.
    """
    if transport.certificates is None:
        return ""
    uris = uris_of(transport.certificates.current.chain)
    return next((uri.rpartition("/")[2] for uri in uris if is_service(uri)), "")


def main(arguments: list[str]) -> int:
    """Run the command; for container health checks."""
    if not 1 <= len(arguments) <= 2:
        print(__doc__, file=sys.stderr)  # noqa: T201
        return 2
    service = arguments[1] if len(arguments) == 2 else ""
    return 0 if asyncio.run(_probe(arguments[0], service)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
