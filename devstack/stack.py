"""The whole pool on this machine: PostgreSQL, migrations, localnet, services, gateway."""

import asyncio
import base64
import contextlib
import os
import secrets
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from devstack import pgbouncer
from devstack.folder import check_room, held, told_when_full
from devstack.ports import free_ports
from devstack.postgres import EmbeddedPostgres
from devstack.processes import Command, Process, ProcessDiedError, listens
from libs.common.authority import CERTIFICATE_FILE, Authority, make_authority
from libs.common.db.tls import DatabaseAddress
from libs.common.grpc.client import open_channel
from libs.common.grpc.health import is_serving
from libs.common.grpc.identity import TRUST_DOMAIN, CallerKind
from libs.common.grpc.tls import TlsFiles, Transport, transport_of
from libs.common.names import GATEWAY, SERVICES
from services.access import ACCESS
from services.migrations import migrate_all, restrict_all, role_of

#: Ports of `make up`, the services' own defaults; elsewhere the system chooses free ones.
FIXED_PORTS = {
    "registry": 50051,
    "wallet": 50052,
    "plant": 50053,
    "work": 50054,
    "harvest": 50055,
    "localnet": 8000,
    GATEWAY: 3000,
}
#: Processes that do not speak gRPC.
_NO_GRPC = frozenset({"localnet", GATEWAY, pgbouncer.NAME})
#: Folder of the pool's certificates, in that of its data.
CERTIFICATES = "certificates"
#: Name of the operator who runs the pool.
OPERATOR = "operator"
#: Days that the pool's certificates are valid.
DAYS = 30.0
#: Seconds until everything serves at the latest.
START_TIMEOUT = 90.0

Progress = Callable[[str], None]
ResultT = TypeVar("ResultT")


class PortTakenError(Exception):
    """Another program listens on a port that the pool needs; the message says on which."""


#: KALE from outside is booked before a run is over, so that the ledger is compared with the chain.
_HARVEST_ENVIRONMENT = {
    "BOOKKEEPING_SECONDS": "1",
    "DEPOSIT_SECONDS": "5",
    "DEPOSIT_SETTLE_SECONDS": "4",
}


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """The settings of the pool on this machine."""

    #: Folder for data and logs; it is emptied at start.
    directory: Path
    #: Seconds between two ledgers.
    ledger_seconds: float = 1.0
    #: Seconds of a KALE block.
    block_seconds: int = 30
    #: The address of this machine that everything but PostgreSQL listens on: 127.0.0.1, or ::1.
    host: str = "127.0.0.1"
    #: Ports by process, such as FIXED_PORTS; None: free ones.
    ports: Mapping[str, int] | None = None
    #: Give each service a port for callers without certificates, who show access tokens.
    token_ports: bool = False
    #: The services that run; their schemas are all there in any case.
    services: tuple[str, ...] = SERVICES
    #: Whether the gateway runs, too.
    gateway: bool = False
    #: More variables by process name ("wallet", "localnet", "postgres" ...), for tests.
    environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: Folder of PostgreSQL's data and log; None: below `directory`.
    postgres_home: Path | None = None
    #: Whether the services reach PostgreSQL through a PgBouncer (an installed `pgbouncer`).
    pgbouncer: bool = False
    #: Nodes of localnet that wallet asks, the preferred one first; none: the chain's own alone.
    nodes: tuple[int, ...] = ()


class Stack:
    """The running pool."""

    def __init__(self, config: StackConfig, postgres: EmbeddedPostgres) -> None:
        self.config = config
        self.ports, self._token_ports = _choose_ports(config.ports)
        self._postgres = postgres
        self._passwords = {name: secrets.token_urlsafe(24) for name in SERVICES}
        self._authority = make_authority(TRUST_DOMAIN)
        self._issued: dict[tuple[CallerKind, str], TlsFiles] = {}
        self._master_key = base64.b64encode(secrets.token_bytes(32)).decode()
        self._webhook_key = base64.b64encode(secrets.token_bytes(32)).decode()
        self._commands: dict[str, Command] = {}
        self._processes: dict[str, Process] = {}

    @property
    def deposit_seconds(self) -> float:
        """Return the seconds after which KALE from outside is booked (DEPOSIT_SETTLE_SECONDS)."""
        own = {**_HARVEST_ENVIRONMENT, **self.config.environment.get("harvest", {})}
        return float(own["DEPOSIT_SETTLE_SECONDS"])

    @property
    def rpc_url(self) -> str:
        """Return the URL of the local Stellar network's JSON-RPC."""
        return f"http://{self.target('localnet')}"

    @property
    def gateway_url(self) -> str:
        """Return the URL of the gateway."""
        return f"http://{self.target(GATEWAY)}"

    def node_url(self, number: int) -> str:
        """Return the URL of the JSON-RPC of one node of the local Stellar network.

        Node 0 is the chain's own.
        """
        return f"{self.rpc_url}/node/{number}" if number else self.rpc_url

    @property
    def admin_dsn(self) -> str:
        """Return PostgreSQL's connection string with all rights, for checks."""
        return self._postgres.admin_dsn

    def service_dsn(self, name: str) -> str:
        """Return the connection string that one service has."""
        return with_login(self.admin_dsn, role_of(name), self._passwords[name])

    def secrets(self) -> dict[str, str]:
        """Return, by name, the secrets that must not be seen anywhere."""
        passwords = {f"password of {name}": value for name, value in self._passwords.items()}
        keys = {"master key": self._master_key, "webhook key": self._webhook_key}
        return {**keys, **passwords}

    def certificates(self, kind: CallerKind, name: str) -> TlsFiles:
        """Return a certificate of this pool's authority."""
        if (kind, name) not in self._issued:
            folder = self.config.directory.absolute() / CERTIFICATES
            if not self._issued:
                self._authority.save(folder)
            certificate, key = self._authority.issue(kind, name, days=DAYS).save(folder, name)
            authority = folder / CERTIFICATE_FILE
            self._issued[kind, name] = TlsFiles(
                certificate=certificate, key=key, authority=authority
            )
        return self._issued[kind, name]

    def transport(self, kind: CallerKind, name: str) -> Transport:
        """Return the transport for calls in this name."""
        return transport_of(self.certificates(kind, name))

    def authority_of(self, trust_domain: str) -> Authority:
        """Return this pool's authority with names of another domain: for callers to be refused."""
        return replace(self._authority, trust_domain=trust_domain)

    def operator(self) -> Transport:
        """Return the transport for calls as the operator."""
        return self.transport(CallerKind.OPERATOR, OPERATOR)

    def target(self, service: str) -> str:
        """Return the address where a process listens (host:port)."""
        return f"{self._host}:{self.ports[service]}"

    def token_target(self, service: str) -> str:
        """Return the address (host:port) for callers with access tokens; see StackConfig."""
        return f"{self._host}:{self._token_ports[service]}"

    @property
    def _host(self) -> str:
        host = self.config.host
        return f"[{host}]" if ":" in host else host

    def pids(self) -> dict[str, int]:
        """Return the process ids by name."""
        return {name: process.pid for name, process in self._processes.items()}

    async def start(self, progress: Progress) -> None:
        """Start everything in order and wait until all serve."""
        progress("migrating the database")
        admin = DatabaseAddress(dsn=self.admin_dsn)
        await migrate_all(admin, self._passwords)
        await restrict_all(admin)
        if self.config.pgbouncer:
            progress("starting PgBouncer")
            await self._start_pgbouncer()
        progress("starting the local Stellar network")
        await self._start(self._localnet())
        await self.wait_ready("localnet")
        progress(f"starting {', '.join(self.config.services)}")
        for name in self.config.services:
            await self._start(self._service(name))
        for name in self.config.services:
            await self.wait_ready(name)
        if self.config.gateway:
            progress("starting the gateway")
            await self._start(self._gateway())
            await self.wait_ready(GATEWAY)

    async def start_copy(self, service: str, name: str) -> None:
        """Start one more process of a service under another name; wait until it serves."""
        (self.ports[name],) = free_ports(1)
        command = self._service(service)
        environment = {**command.environment, "PORT": str(self.ports[name]), "TOKEN_PORT": "0"}
        await self._start(replace(command, name=name, environment=environment))
        await self.wait_ready(name)

    async def restart(
        self,
        name: str,
        *,
        number: int = signal.SIGKILL,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Kill one process and start it again at the same place; wait until it serves.

        `environment` is on top of what the process had at first, for this run of it only.
        """
        await self.end(name, number=number)
        await self.begin(name, environment=environment)
        await self.wait_ready(name)

    async def restart_postgres(self, *, number: int = signal.SIGINT) -> None:
        """End PostgreSQL by a signal under all that runs, and start it again."""
        await asyncio.to_thread(self._postgres.restart, number=number)

    @property
    def postgres_has_ended(self) -> bool:
        """Tell whether PostgreSQL is gone, by itself or because it was ended."""
        return not self._postgres.is_running

    @asynccontextmanager
    async def hung(self, name: str) -> AsyncIterator[None]:
        """Suspend a process while the block runs; it does nothing, and keeps its connections."""
        pid = self._processes[name].pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def configure(self, name: str, environment: Mapping[str, str]) -> None:
        """Set more variables for a process, from its next start on."""
        command = self._commands[name]
        own = {**command.environment, **environment}
        self._commands[name] = replace(command, environment=own)

    async def end(self, name: str, *, number: int = signal.SIGKILL) -> None:
        """End one process, if it has not ended already."""
        await self._processes[name].stop(number=number)

    async def begin(self, name: str, *, environment: Mapping[str, str] | None = None) -> None:
        """Start a process that has ended, without waiting for it."""
        command = self._commands[name]
        own = {**command.environment, **(environment or {})}
        await self._run(replace(command, environment=own))

    async def wait_ready(self, name: str) -> None:
        """Return when a process serves; raise ProcessDiedError when it does not."""
        if name == "localnet":
            await self._wait(name, self._localnet_answers)
        elif name == GATEWAY:
            await self._wait(name, partial(_answers_http, f"{self.gateway_url}/health"))
        else:
            service = self._commands[name].arguments[-1].rpartition(".")[2]
            await self._wait(name, partial(_serves, self.target(name), service, self.operator()))

    async def _localnet_answers(self) -> bool:
        """Tell whether our own localnet serves: by its word in the log, and at its port."""
        return '"ready"' in self._processes["localnet"].log_tail() and await _answers(self.rpc_url)

    def has_ended(self, name: str) -> bool:
        """Tell whether a process is gone, by itself or because it was ended."""
        return not self._processes[name].is_running

    def check(self) -> None:
        """Raise ProcessDiedError when a process has ended by itself."""
        for process in self._processes.values():
            process.check()

    async def watched(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Do some work; raise ProcessDiedError when a process ends by itself meanwhile."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=0.5))[0]:
                self.check()
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def stop(self) -> None:
        """Stop the services first, then the network; PostgreSQL is stopped by its owner."""
        if GATEWAY in self._processes:
            await self._processes[GATEWAY].stop()
        services = [process for name, process in self._processes.items() if name not in _NO_GRPC]
        await asyncio.gather(*(process.stop() for process in services))
        for name in ("localnet", pgbouncer.NAME):
            if name in self._processes:
                await self._processes[name].stop()

    async def _start(self, command: Command) -> None:
        self._commands[command.name] = command
        await self._run(command)

    async def _run(self, command: Command) -> None:
        process = Process(command, self.config.directory / "logs")
        self._processes[command.name] = process
        await process.start()

    async def _wait(self, name: str, ready: Callable[[], Awaitable[bool]]) -> None:
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT
        while not await ready():
            self._processes[name].check()
            if asyncio.get_running_loop().time() > deadline:
                tail = self._processes[name].log_tail()
                raise ProcessDiedError(f"{name} does not serve after {START_TIMEOUT} s:\n{tail}")
            await asyncio.sleep(0.1)
        # Somebody else's process may have answered at the port, and ours have ended.
        self._processes[name].check()

    def _localnet(self) -> Command:
        environment = {
            "LOCALNET_HOST": self.config.host,
            "LOCALNET_PORT": str(self.ports["localnet"]),
            "LOCALNET_LEDGER_SECONDS": str(self.config.ledger_seconds),
            "LOCALNET_BLOCK_SECONDS": str(self.config.block_seconds),
            "LOCALNET_NODES": str(max(self.config.nodes, default=0) + 1),
            **self.config.environment.get("localnet", {}),
        }
        return Command(name="localnet", arguments=("-m", "localnet"), environment=environment)

    def _service(self, name: str) -> Command:
        environment = {
            "HOST": self.config.host,
            "PORT": str(self.ports[name]),
            "TOKEN_PORT": str(self._token_ports[name] if self.config.token_ports else 0),
            **self.certificates(CallerKind.SERVICE, name).environment,
            **self._database_environment(name),
            # Everybody shares one address here; poolers on a real network each have their own.
            "API_RATE_LIMIT": "100000",
            **{f"{other.upper()}_TARGET": self.target(other) for other in SERVICES},
            **(self._wallet_environment() if name == "wallet" else {}),
            **(self._registry_environment() if name == "registry" else {}),
            **(_HARVEST_ENVIRONMENT if name == "harvest" else {}),
            **self.config.environment.get(name, {}),
        }
        return Command(name=name, arguments=("-m", f"services.{name}"), environment=environment)

    def _database_environment(self, name: str) -> dict[str, str]:
        dsn = self.service_dsn(name)
        if not self.config.pgbouncer:
            return {"DATABASE_URL": dsn}
        return {
            "DATABASE_URL": pgbouncer.through(dsn, self.ports["pgbouncer"]),
            "DATABASE_PGBOUNCER": "true",
        }

    async def _start_pgbouncer(self) -> None:
        (port,) = free_ports(1)
        self.ports["pgbouncer"] = port
        passwords = {role_of(name): word for name, word in self._passwords.items()}
        folder = self.config.directory.absolute() / "pgbouncer"
        command = pgbouncer.command(folder, port, self.admin_dsn, passwords)
        await self._start(command)
        process = self._processes[command.name]
        await listens(port, process.check, seconds=START_TIMEOUT)

    def _gateway(self) -> Command:
        environment = {
            "HOST": self.config.host,
            "PORT": str(self.ports[GATEWAY]),
            **self.certificates(CallerKind.SERVICE, GATEWAY).environment,
            # Everybody shares one address here.
            "PUBLIC_RATE_LIMIT": "0",
            **{f"{other.upper()}_TARGET": self.target(other) for other in SERVICES},
            **self.config.environment.get(GATEWAY, {}),
        }
        return Command(name=GATEWAY, arguments=("-m", GATEWAY), environment=environment)

    def _registry_environment(self) -> dict[str, str]:
        # Whoever has a pool on this machine has the receivers on it, too.
        return {"WEBHOOK_KEY": self._webhook_key, "WEBHOOKS_ALLOW_PRIVATE": "true"}

    def _wallet_environment(self) -> dict[str, str]:
        return {
            "STELLAR_RPC_URL": self.rpc_url,
            "STELLAR_RPC_URLS": ",".join(map(self.node_url, self.config.nodes)),
            "FRIENDBOT_URL": f"{self.rpc_url}/friendbot",
            "MASTER_KEY": self._master_key,
            "BLOCK_SECONDS": str(self.config.block_seconds),
            "CHAIN_POLL_MS": "200",
        }


def who_calls(method: str) -> tuple[CallerKind, str]:
    """Return the caller whose certificate to show for a method, by its full name.

    The caller is the operator, or a service where the operator may not call the method. Owners have
    no certificates: of what they alone may call, the operator is refused.
    """
    entry = ACCESS.get(method)
    # The standard services have no entry.
    if entry is None or entry.operators or not entry.services:
        return CallerKind.OPERATOR, OPERATOR
    return CallerKind.SERVICE, min(entry.services)


@asynccontextmanager
async def open_stack(
    config: StackConfig, progress: Progress = lambda _: None
) -> AsyncIterator[Stack]:
    """Run the pool while the block runs; stop everything at its end, whatever ended it.

    Raise BusyError when another pool runs in the folder, and NoRoomError when its disk is too full.
    """
    async with contextlib.AsyncExitStack() as cleanup:
        cleanup.enter_context(held(config.directory))
        shutil.rmtree(config.directory, ignore_errors=True)
        check_room(config.directory)
        (config.directory / "logs").mkdir(parents=True)
        progress("starting PostgreSQL")
        postgres = EmbeddedPostgres(
            config.postgres_home or config.directory / "postgres",
            environment=config.environment.get("postgres", {}),
        )
        with told_when_full(config.directory):
            cleanup.enter_context(postgres)
            stack = Stack(config, postgres)
            cleanup.push_async_callback(stack.stop)
            await stack.start(progress)
            yield stack


def ports_from(first: int) -> dict[str, int]:
    """Return ports by process: the numbers from this one on."""
    return dict(zip(FIXED_PORTS, range(first, first + len(FIXED_PORTS)), strict=True))


def check_ports(ports: Mapping[str, int]) -> None:
    """Raise PortTakenError when another program listens on one of these ports."""
    taken = [f"{port} ({name})" for name, port in ports.items() if not _is_free(port)]
    if taken:
        raise PortTakenError(
            f"taken by another program: port {', '.join(taken)} of 127.0.0.1; "
            "end that program (another pool, perhaps), or choose others (make up PORTS_FROM=61000)"
        )


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        # As the servers do: a connection that has just ended is not in their way.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _choose_ports(wanted: Mapping[str, int] | None) -> tuple[dict[str, int], dict[str, int]]:
    """Return the ports, and those for callers with tokens."""
    if wanted is not None:
        check_ports(wanted)
    free = iter(free_ports(len(FIXED_PORTS) + len(SERVICES)))
    ports = dict(wanted) if wanted is not None else {name: next(free) for name in FIXED_PORTS}
    return ports, {name: next(free) for name in SERVICES}


def with_login(dsn: str, user: str, password: str) -> str:
    """Return a connection string with another role and its password."""
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{host}"))


async def _serves(target: str, service: str, transport: Transport) -> bool:
    async with open_channel(target, transport, name=service) as channel:
        return await is_serving(channel)


async def _answers_http(url: str) -> bool:
    """Tell whether a server of HTTP answers at all."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url):
            return True
    except (aiohttp.ClientError, OSError):
        return False


async def _answers(rpc_url: str) -> bool:
    request = {"jsonrpc": "2.0", "id": 1, "method": "getHealth"}
    try:
        async with aiohttp.ClientSession() as session, session.post(rpc_url, json=request) as reply:
            return reply.status == 200 and "result" in await reply.json(content_type=None)
    except (aiohttp.ClientError, OSError, ValueError):
        return False
