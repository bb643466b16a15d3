"""A socket that takes its connections a few at a time.

An event loop's own server takes all that have come before it does anything else. Ten thousand at
once would keep whoever is connected waiting for seconds.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable

from libs.common.log import get_logger

log = get_logger(__name__)
#: Connections that the system holds for us until we take them.
_BACKLOG = 2048
#: Connections that one turn of the event loop takes at most: some milliseconds.
_A_TURN = 32
#: Seconds until the next try when there are no descriptors, or no memory, for one more.
_PAUSE = 1.0
#: The errors that tell so.
_USED_UP = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """Makes a protocol for each connection; uvicorn takes it for a server of the event loop."""

    def __init__(
        self,
        listening: socket.socket,
        make: Callable[[], asyncio.Protocol],
        *,
        context: ssl.SSLContext | None,
        handshake: float,
    ) -> None:
        """Take a socket that is bound; a connection has `handshake` seconds for TLS."""
        self._loop = asyncio.get_running_loop()
        self._socket = listening
        self._make = make
        self._context = context
        self._handshake = handshake if context is not None else None
        self._taking: set[asyncio.Task[None]] = set()
        self._is_open = False

    def open(self) -> None:
        """Listen."""
        self._socket.setblocking(False)
        self._socket.listen(_BACKLOG)
        self._is_open = True
        self._resume()

    def close(self) -> None:
        """Take no more connections; those that are there stay."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._socket)
            for task in self._taking:
                task.cancel()

    async def wait_closed(self) -> None:
        """Wait for the end of the handshakes that `close` has cancelled."""
        await asyncio.gather(*self._taking, return_exceptions=True)

    def _resume(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._socket, self._take)

    def _take(self) -> None:
        """Take the next few connections."""
        for _ in range(_A_TURN):
            try:
                taken, _address = self._socket.accept()
            except OSError as error:
                # Anything else is over with the next try: none is there, or one has left already.
                if error.errno in _USED_UP:
                    self._pause(error)
                return
            task = self._loop.create_task(self._connect(taken))
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)

    def _pause(self, error: OSError) -> None:
        log.warning("no connection taken", error=str(error))
        self._loop.remove_reader(self._socket)
        self._loop.call_later(_PAUSE, self._resume)

    async def _connect(self, taken: socket.socket) -> None:
        taken.setblocking(False)
        # One that fails, by a handshake mostly, is closed by the event loop.
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(
                self._make,
                taken,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake,
            )
