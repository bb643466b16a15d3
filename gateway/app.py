"""Wiring of the gateway: the only place that knows all of its parts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.addresses import CallerAddress
from gateway.backends import Backends, open_backends
from gateway.bindings import all_bindings
from gateway.config import GatewaySettings
from gateway.front import Front
from gateway.handling import Gateway
from gateway.health import PoolHealth
from gateway.openapi import document_of
from gateway.pages import pages_of
from gateway.routes import route_of
from gateway.seed import Seed
from gateway.server import open_http
from libs.common.grpc.tls import transport_of
from libs.common.log import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunningGateway:
    """A gateway that listens."""

    #: The port that it listens on.
    port: int


def build_front(settings: GatewaySettings, gateway: Gateway) -> Front:
    """Return the application: /v1 from the descriptors, the seed's paths, and the pages."""
    bindings = all_bindings()
    front = Front(CallerAddress(settings.proxies()), pages_of(document_of(bindings)))
    for binding in bindings:
        front.add(binding.verb, binding.template, route_of(gateway, binding))
    methods = {one.method.descriptor.full_name: one.method for one in bindings}
    seed = Seed(gateway, methods, PoolHealth(gateway.backends.channels))
    for verb, template, route in seed.routes():
        front.add(verb, template, route)
    return front


@asynccontextmanager
async def open_app(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    """Run the gateway while the block runs."""
    transport = transport_of(settings.tls_files())
    timeout = settings.call_timeout_ms / 1000
    async with open_backends(settings.targets(), transport, timeout=timeout) as backends:
        gateway = Gateway.of(settings, backends)
        async with open_http(build_front(settings, gateway), settings) as port:
            log.info("serving", host=settings.host, port=port, backends=_shown(backends))
            try:
                yield RunningGateway(port=port)
            finally:
                log.info("stopping")
                await gateway.feeds.aclose()
        await gateway.tokens.aclose()
        log.info("stopped")


def _shown(backends: Backends) -> list[str]:
    return sorted(backends.channels)
