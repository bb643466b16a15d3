"""A channel over mutual TLS that connects anew when our certificate was renewed."""

import asyncio
from typing import Any

import grpc

from libs.common.grpc.tls import Certificates, Material

#: Seconds that calls over a connection with the certificate before get to end.
_RETIREMENT = 300.0

Options = tuple[tuple[str, int | str], ...]


class RenewingChannel(grpc.aio.Channel):
    """A channel that passes calls to a current channel.

    Running calls keep the channel they began on.
    """

    def __init__(self, target: str, certificates: Certificates, options: Options) -> None:
        self._target = target
        self._certificates = certificates
        self._options = options
        self._material = certificates.current
        self._channel = self._open(self._material)
        self._retired: set[asyncio.Task[None]] = set()

    @property
    def current(self) -> grpc.aio.Channel:
        """Return the channel with the newest certificate."""
        material = self._certificates.current
        if material is not self._material:
            retired = asyncio.get_running_loop().create_task(self._channel.close(_RETIREMENT))
            self._retired.add(retired)
            retired.add_done_callback(self._retired.discard)
            self._material, self._channel = material, self._open(material)
        return self._channel

    def _open(self, material: Material) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(
            self._target, material.channel_credentials(), options=self._options
        )

    # Used by stubs -----------------------------------------------------------------------------

    def unary_unary(self, *arguments: Any, **named: Any) -> Any:
        """Return a method, as grpc.aio.Channel does."""
        return _Method(self, "unary_unary", arguments, named)

    def unary_stream(self, *arguments: Any, **named: Any) -> Any:
        """Return a method, as grpc.aio.Channel does."""
        return _Method(self, "unary_stream", arguments, named)

    def stream_unary(self, *arguments: Any, **named: Any) -> Any:
        """Return a method, as grpc.aio.Channel does."""
        return _Method(self, "stream_unary", arguments, named)

    def stream_stream(self, *arguments: Any, **named: Any) -> Any:
        """Return a method, as grpc.aio.Channel does."""
        return _Method(self, "stream_stream", arguments, named)

    # Lifetime ------------------------------------------------------------------------------------

    async def __aenter__(self) -> "RenewingChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """End all connections."""
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Return the current channel's state, as grpc.aio.Channel does."""
        return self.current.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the current channel's state changes, as grpc.aio.Channel does."""
        await self.current.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until the current channel is ready, as grpc.aio.Channel does."""
        await self.current.channel_ready()


class _Method:
    """A method of the current channel."""

    def __init__(
        self, owner: RenewingChannel, kind: str, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> None:
        self._owner = owner
        self._kind = kind
        self._arguments = arguments
        self._named = named
        self._channel: grpc.aio.Channel | None = None
        self._call: Any = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        channel = self._owner.current
        if channel is not self._channel:
            self._call = getattr(channel, self._kind)(*self._arguments, **self._named)
            self._channel = channel
        return self._call(*arguments, **named)
