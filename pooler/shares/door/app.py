"""Wiring of the door."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from libs.common.log import get_logger
from libs.common.start import ListenError
from libs.http.addresses import CallerAddress
from libs.http.front import Front
from libs.http.reference.viewer import Shell, files_of
from libs.http.server import open_http
from pooler.shares.config import SharesSettings
from pooler.shares.door.handlers import Door
from pooler.shares.door.openapi import document_of
from pooler.shares.service import Shares

log = get_logger(__name__)
#: How lines for a shell name the door and the credential.
_SHELL = Shell(server="POOL", token="CREDENTIAL")  # noqa: S106  (names of variables)


@asynccontextmanager
async def open_door(shares: Shares) -> AsyncIterator[int]:
    """Serve miners while the block runs; yield the port.

    Raise ListenError for a port that is taken.
    """
    settings = shares.settings
    door = Door(shares)
    files = files_of(document_of(settings), shell=_SHELL)
    front = Front(CallerAddress(settings.proxies()), files)
    for verb, template, route in door.routes():
        front.add(verb, template, route)
    try:
        async with AsyncExitStack() as stack:
            port = await _listening(stack, front, settings)
            log.info("serving miners", host=settings.shares_host, port=port)
            # Streams have no end of their own, and would be waited for.
            stack.callback(shares.streams.close_all)
            yield port
    finally:
        await door.aclose()


async def _listening(stack: AsyncExitStack, front: Front, settings: SharesSettings) -> int:
    try:
        return await stack.enter_async_context(open_http(front, settings.serving()))
    except OSError as error:
        place = f"{settings.shares_host}:{settings.shares_port}"
        raise ListenError(
            f"cannot listen at {place}, which SHARES_HOST and SHARES_PORT name: {error}"
        ) from error
