"""A service's gRPC server with all standard parts, and the main function of its process."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import grpc
import uvloop
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kalepool.common.v1 import common_pb2, common_pb2_grpc

from libs.common.config import ServiceSettings
from libs.common.descriptors import connections_for_callers, limit, raise_limit
from libs.common.grpc.access import Access, AccessControl, Owned, Owners
from libs.common.grpc.client import open_channel
from libs.common.grpc.draining import Draining
from libs.common.grpc.health import Check, HealthMonitor
from libs.common.grpc.info import InfoServicer, ServiceInfo
from libs.common.grpc.interceptors import CallInterceptor, CallPolicy
from libs.common.grpc.limits import Admission, RateLimit, Rates
from libs.common.grpc.reflection import add_reflection
from libs.common.grpc.second_person import SecondPerson
from libs.common.grpc.standing import Standings
from libs.common.grpc.tls import Transport
from libs.common.grpc.token_keys import FetchedKeys
from libs.common.grpc.tokens import KeySource, TokenCheck
from libs.common.grpc.untaken import Untaken
from libs.common.local import address_of
from libs.common.log import configure_logging, get_logger
from libs.common.metrics import serving_metrics
from libs.common.rules.book import RuleBook
from libs.common.rules.fields import Surroundings
from libs.common.rules.values import Parse
from libs.common.start import ListenError, listening
from libs.common.turns import TurnWatch

log = get_logger(__name__)
#: Seconds in which a call has to bring its request. With the usual rate limit a pooler cannot have
#: so many calls that bring none that there is no room for others.
_REQUEST_WAIT = 10.0
#: Seconds that answers get to leave once all calls have ended.
_LAST_ANSWERS = 1.0
#: Bytes of answers that one caller may leave in our memory.
_UNTAKEN_BYTES = 32 * 1024 * 1024
_INFO = common_pb2.DESCRIPTOR.services_by_name["InfoService"]


@dataclass(frozen=True, kw_only=True)
class ServiceSpec:
    """The parts of a server that differ from service to service."""

    #: Short name: plant.
    name: str
    #: Full names of its gRPC services, the main one first: kalepool.plant.v1.PlantService.
    full_names: Sequence[str]
    #: Adds its servicers to the server.
    register: Callable[[grpc.aio.Server], None]
    #: Contract id of the KALE farm, for GetInfo.
    kale_contract_id: str
    #: The access entries by full method name; a served method without one stops the start.
    access: Mapping[str, Access]
    #: Functions that tell whose a thing is, for methods that poolers may call on their own things.
    owners: Mapping[Owned, Owners] = field(default_factory=dict)
    #: The same for what owner accounts may call on their own things.
    accounts: Mapping[Owned, Owners] = field(default_factory=dict)
    #: By kind, what finds the standings of ids; where one may leave a method to operators.
    standings: Mapping[Owned, Standings] = field(default_factory=dict)
    #: Checks of what the service needs, by name: its health is SERVING while all pass.
    checks: Mapping[str, Check]
    #: Formats of texts that its requests may name, beside the general ones.
    formats: Mapping[str, Parse] = field(default_factory=dict)
    #: Methods (short names) with another time cap (s) than REQUEST_TIMEOUT; None: no end.
    method_timeouts: Mapping[str, float | None] = field(default_factory=dict)
    #: Orders of operators that take a second person; None: there are none.
    second_person: SecondPerson | None = None
    #: Methods (short names) that other services call: the public rate limit is not for them.
    internal: Sequence[str] = ()
    #: Keys of access tokens; None: those that wallet tells.
    token_keys: KeySource | None = None


@dataclass(frozen=True, kw_only=True)
class RunningServer:
    """A server that listens."""

    #: The port that it listens on.
    port: int
    #: The port for callers who show access tokens; 0: there is none.
    token_port: int
    #: Its health; drained before the server stops.
    health: HealthMonitor


@asynccontextmanager
async def open_server(
    spec: ServiceSpec, settings: ServiceSettings, transport: Transport
) -> AsyncIterator[RunningServer]:
    """Serve until the block ends, then drain.

    To drain is to answer NOT_SERVING and to let running calls end within the grace.
    """
    async with AsyncExitStack() as stack:
        monitor = HealthMonitor(("", *spec.full_names), spec.checks)
        peers = {
            name: await stack.enter_async_context(open_channel(target, transport, name=name))
            for name, target in _targets(settings).items()
        }
        fetched = FetchedKeys(peers["wallet"])
        policy = _policy(spec, settings, transport, keys=spec.token_keys or fetched)
        servers, ports = _listening(policy, settings, transport)
        info = InfoServicer(_info(spec, settings), peers)
        for server in servers:
            _register(server, spec, monitor, info)
        await monitor.check()
        for server in servers:
            await server.start()
        tasks = [asyncio.create_task(monitor.run()), asyncio.create_task(TurnWatch().run())]
        if spec.token_keys is None and not transport.is_plaintext:
            tasks.append(asyncio.create_task(fetched.run()))
        log.info(
            "serving",
            host=settings.host,
            port=ports[0],
            token_port=ports[1],
            max_connections=_max_connections(settings),
        )
        try:
            yield RunningServer(port=ports[0], token_port=ports[1], health=monitor)
        finally:
            for task in tasks:
                task.cancel()
            await monitor.drain()
            await policy.draining.end(settings.shutdown_grace_ms / 1000)
            await asyncio.gather(*(server.stop(_LAST_ANSWERS) for server in servers))
            log.info("stopped")


def _register(
    server: grpc.aio.Server, spec: ServiceSpec, monitor: HealthMonitor, info: InfoServicer
) -> None:
    """Add all that a server serves."""
    spec.register(server)
    health_pb2_grpc.add_HealthServicer_to_server(monitor.servicer, server)
    common_pb2_grpc.add_InfoServiceServicer_to_server(info, server)
    add_reflection(_reflected(spec), server)


#: Objects made before the garbage collector looks at the youngest (Python: 700): an answer of a
#: node, or a thousand rows, is more than that, and all of it is needed until it was worked through.
_YOUNG = 10_000


def settle_memory() -> None:
    """Exempt the objects that start-up has made from garbage collection.

    These objects (modules, descriptors, handlers) stay. To look at them again would take the
    garbage collector a tenth of a second each time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])


async def serve(open_app: Callable[[], AbstractAsyncContextManager[object]]) -> None:
    """Run an app until SIGTERM, SIGINT, or the SIGHUP of a terminal that is closed."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    async with open_app():
        settle_memory()
        await stop.wait()
        log.info("stopping")


def run_service(
    name: str,
    settings: ServiceSettings,
    open_app: Callable[[], AbstractAsyncContextManager[RunningServer]],
) -> None:
    """Run a service's process: the main function."""
    configure_logging(service=name, level=settings.log_level, secrets=settings.secrets())
    for sentence in settings.old_names():
        log.warning(sentence)
    raise_limit()
    metrics = serving_metrics(name, host=settings.metrics_host, port=settings.metrics_port)
    with listening(), metrics:
        uvloop.run(serve(open_app))


def _listening(
    policy: CallPolicy, settings: ServiceSettings, transport: Transport
) -> tuple[list[grpc.aio.Server], tuple[int, int]]:
    """Return the servers, and their ports: for certificates, and for tokens (0: there is none).

    Which port a call has come to decides what its caller has to show. So each port has a server of
    its own, with half of the connections: those of one cannot use up the other's.
    """
    host, certificates = settings.host, transport.certificates
    if certificates is None:
        log.warning("plaintext: nobody shows who it is, and everybody may call everything")
        server = grpc.aio.server(interceptors=[CallInterceptor(policy)], options=_options(settings))
        return [server], (_port(host, settings.port, server.add_insecure_port), 0)
    options = _options(settings, servers=2 if settings.token_port else 1)
    server = grpc.aio.server(interceptors=[CallInterceptor(policy)], options=options)
    own = certificates.server_credentials()
    port = _port(host, settings.port, lambda at: server.add_secure_port(at, own))
    if not settings.token_port:
        return [server], (port, 0)
    for_tokens = grpc.aio.server(
        interceptors=[CallInterceptor(policy, is_for_tokens=True)], options=options
    )
    credentials = certificates.server_credentials(asks_clients=False)
    token_port = _port(
        host, settings.token_port, lambda at: for_tokens.add_secure_port(at, credentials)
    )
    return [server, for_tokens], (port, token_port)


def _port(host: str, port: int, add: Callable[[str], int]) -> int:
    """Have a server listen; raise ListenError when it cannot."""
    address = address_of(host, port)
    try:
        return add(address)
    except RuntimeError as error:
        raise ListenError(
            f"cannot listen at {address} (HOST, and PORT or TOKEN_PORT): another program does, "
            "or it is no address of this machine"
        ) from error


def _policy(
    spec: ServiceSpec, settings: ServiceSettings, transport: Transport, *, keys: KeySource
) -> CallPolicy:
    # No two gRPC services of one process have a method of the same name.
    prefixes = [f"/{full_name}/" for full_name in spec.full_names]
    domain = settings.trust_domain
    return CallPolicy(
        access=AccessControl(_entries(spec), spec.owners, spec.standings, spec.accounts),
        trust_domain=None if transport.is_plaintext else domain,
        tokens=None if transport.is_plaintext else TokenCheck(keys, trust_domain=domain),
        rules=_rules(spec, settings),
        rate_limit=RateLimit(
            Rates(
                default=settings.api_rate_limit,
                methods=settings.rate_limits(),
                internal=frozenset(prefix + name for prefix in prefixes for name in spec.internal),
            )
        ),
        admission=Admission(
            max_calls=settings.max_calls_in_progress, max_streams=settings.max_streams_per_caller
        ),
        draining=Draining(),
        default_timeout=settings.request_timeout / 1000,
        method_timeouts={
            prefix + name: cap for prefix in prefixes for name, cap in spec.method_timeouts.items()
        },
        second_person=spec.second_person if settings.second_person_seconds else None,
        untaken=Untaken(max_answers=settings.max_calls_in_progress, max_bytes=_UNTAKEN_BYTES),
        request_wait=min(_REQUEST_WAIT, settings.request_timeout / 1000),
    )


def _options(settings: ServiceSettings, *, servers: int = 1) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_request_bytes),
        # More calls from one connection wait at the client instead of here.
        ("grpc.max_concurrent_streams", settings.max_calls_in_progress),
        # Beyond as many that no handler was found for yet, grpc cancels some by chance, honest ones
        # among them: that takes more than one address can send at once (deploy/nftables.conf). With
        # much more, everybody would wait for longer than callers do.
        ("grpc.server.max_pending_requests", 4 * settings.max_calls_in_progress),
        ("grpc.server.max_pending_requests_hard_limit", 8 * settings.max_calls_in_progress),
        # Until then TLS has to be through and the first frame of HTTP/2 be there.
        ("grpc.server_handshake_timeout_ms", settings.handshake_timeout_ms),
        # One more is closed at once: it must not take the descriptors that we need ourselves.
        ("grpc.max_allowed_incoming_connections", max(1, _max_connections(settings) // servers)),
        # A connection without calls is let go; clients connect again with their next call.
        ("grpc.max_connection_idle_ms", 120_000),
        # One whose other side is gone, or reads nothing at all, too.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # Clients may ping every 10 s, streams or not (our own do every 30 s).
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Connections are renewed, so that new replicas get their share.
        ("grpc.max_connection_age_ms", 600_000),
        ("grpc.max_connection_age_grace_ms", 300_000),
        # A port that another process holds must fail, not be shared.
        ("grpc.so_reuseport", 0),
    ]


def _max_connections(settings: ServiceSettings) -> int:
    return connections_for_callers(
        settings.max_connections, database=settings.database_pool_size, of=limit()
    )


def _entries(spec: ServiceSpec) -> dict[str, Access]:
    """Return the access entries of all methods of this server.

    Raise ValueError for a method without one.
    """
    names = (*spec.full_names, _INFO.full_name)
    services = [descriptor_pool.Default().FindServiceByName(name) for name in names]
    methods = [f"/{one.full_name}/{item.name}" for one in services for item in one.methods]
    missing = [method for method in methods if method not in spec.access]
    if missing:
        raise ValueError(f"no entry says who may call {', '.join(missing)}")
    return {method: spec.access[method] for method in methods}


def _rules(spec: ServiceSpec, settings: ServiceSettings) -> RuleBook:
    book = RuleBook(
        Surroundings(formats=spec.formats, settings={"MAX_FARMERS": settings.max_farmers})
    )
    for full_name in spec.full_names:
        book.learn(descriptor_pool.Default().FindServiceByName(full_name))
    return book


def _targets(settings: ServiceSettings) -> dict[str, str]:
    return {
        "registry": settings.registry_target,
        "wallet": settings.wallet_target,
        "plant": settings.plant_target,
        "work": settings.work_target,
        "harvest": settings.harvest_target,
    }


def _info(spec: ServiceSpec, settings: ServiceSettings) -> ServiceInfo:
    return ServiceInfo(
        name=spec.name,
        network=settings.stellar_network,
        kale_contract_id=spec.kale_contract_id,
        max_farmers=settings.max_farmers,
        rate_limit=settings.api_rate_limit,
        request_timeout_ms=settings.request_timeout,
        max_request_bytes=settings.max_request_bytes,
    )


def _reflected(spec: ServiceSpec) -> Sequence[str]:
    return (
        *spec.full_names,
        health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
        _INFO.full_name,
    )
