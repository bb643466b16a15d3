"""Wiring of the gateway: the only place that knows all of its parts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.backends import Backends, open_backends
from gateway.bindings import all_bindings
from gateway.config import GatewaySettings
from gateway.handling import Gateway
from gateway.health import PoolHealth
from gateway.openapi import document_of
from gateway.pages.sessions import Sessions
from gateway.pages.site import Site
from gateway.pages.static_files import static_files
from gateway.poolers import open_pooler_doors
from gateway.routes import route_of
from gateway.seed import PATHS, Seed
from gateway.web_auth import PATHS as WEB_AUTH_PATHS
from gateway.web_auth import WebAuth
from gateway.web_auth import refuse as refuse_login
from gateway.words import in_http
from libs.common.grpc.tls import transport_of
from libs.common.log import get_logger
from libs.http.addresses import CallerAddress
from libs.http.front import Front
from libs.http.reference.viewer import files_of
from libs.http.server import open_http

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunningGateway:
    """A gateway that listens."""

    #: The port that it listens on.
    port: int


@dataclass(frozen=True, kw_only=True)
class _Faces:
    """What the gateway shows to the world."""

    #: The application.
    front: Front
    #: The pages.
    site: Site
    #: Where wallets of Stellar accounts log in.
    web_auth: WebAuth


def build_faces(settings: GatewaySettings, gateway: Gateway) -> _Faces:
    """Return the application: /v1 from the descriptors, the seed's paths, and the pages."""
    bindings = all_bindings()
    methods = {one.method.descriptor.full_name: one.method for one in bindings}
    health = PoolHealth(gateway.backends.channels)
    sessions = Sessions(
        settings.session_secret(),
        seconds=settings.session_seconds,
        is_secure=settings.is_reached_by_tls,
    )
    site = Site(gateway, methods, health, sessions)
    front = Front(
        CallerAddress(settings.proxies()),
        files_of(document_of(bindings), *static_files().values(), home="The pool"),
        refusal=site.refuse_unknown,
        words=in_http,
    )
    seed = Seed(gateway, methods, health)
    web_auth = WebAuth(gateway)
    answered = [*seed.routes(), *web_auth.routes()]
    for binding in bindings:
        served = (binding.verb, binding.template, route_of(gateway, binding))
        if binding.method.resume is None:
            answered.append(served)
        else:
            front.add(*served)
    # HEAD is GET without the body (RFC 9110, 9.3.2); a stream has nothing to tell before it.
    heads = [("HEAD", template, route) for verb, template, route in answered if verb == "GET"]
    for verb, template, route in (*answered, *heads, *site.routes()):
        front.add(verb, template, route)
    for path in PATHS:
        front.own(path, seed.refuse)
    for path in WEB_AUTH_PATHS:
        front.own(path, refuse_login)
    return _Faces(front=front, site=site, web_auth=web_auth)


@asynccontextmanager
async def open_app(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    """Run the gateway while the block runs."""
    transport = transport_of(settings.tls_files())
    timeout = settings.call_timeout_ms / 1000
    async with (
        open_backends(settings.targets(), transport, timeout=timeout) as backends,
        open_pooler_doors(settings.poolers(), settings.pooler_ca_file) as poolers,
    ):
        gateway = Gateway.of(settings, backends, poolers)
        faces = build_faces(settings, gateway)
        async with open_http(faces.front, settings.serving()) as port:
            log.info("serving", host=settings.host, port=port, backends=_shown(backends))
            try:
                yield RunningGateway(port=port)
            finally:
                log.info("stopping")
                await gateway.feeds.aclose()
        await faces.site.aclose()
        await faces.web_auth.aclose()
        await gateway.tokens.aclose()
        log.info("stopped")


def _shown(backends: Backends) -> list[str]:
    return sorted(backends.channels)
