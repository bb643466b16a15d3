"""One run of the command: the services' addresses, the time limits, and the output of replies."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import Message
from kalepool.harvest.v1 import (
    harvest_pb2_grpc,
    ledger_pb2_grpc,
    miner_pb2_grpc,
    payout_pb2_grpc,
    statement_pb2_grpc,
)
from kalepool.plant.v1 import plant_pb2_grpc
from kalepool.registry.v1 import notification_pb2_grpc, registry_pb2_grpc
from kalepool.report.v1 import fees_pb2_grpc, report_pb2_grpc
from kalepool.wallet.v1 import (
    agreement_pb2_grpc,
    approval_pb2_grpc,
    custody_pb2_grpc,
    engine_pb2_grpc,
    keys_pb2_grpc,
    login_pb2_grpc,
    order_pb2_grpc,
    reconcile_pb2_grpc,
    token_pb2_grpc,
    wallet_pb2_grpc,
    withdrawal_pb2_grpc,
)
from kalepool.work.v1 import work_pb2_grpc

from cli.errors import CommandLineError
from cli.progress import Look, Progress
from cli.settings import Chosen
from cli.show import Output, note
from client import Connections, Nobody, TokenFiles, open_connections
from libs.common.errors import (
    ConflictError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    UnavailableError,
)
from libs.common.grpc.tls import (
    PLAINTEXT,
    TLS_OPTIONS,
    CertificateError,
    TlsFiles,
    Transport,
    transport_of,
)
from libs.common.ids import new_id

if TYPE_CHECKING:
    import grpc

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)

#: Seconds that a call may take when --timeout does not say.
TIMEOUT = 30.0
#: Seconds without --timeout for a call that waits until a batch is settled on the chain.
BATCH_TIMEOUT = 300.0
#: Reason of what another operator has to approve first; seconds between two looks whether it was.
SECOND_PERSON, LOOK = "SECOND_PERSON", 2.0
#: What to do when nothing says who calls.
_TLS_OPTIONS = f"{TLS_OPTIONS}; or keep them in a profile (kalepool profile add)"
#: Largest page that a service gives.
PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options that every command has."""

    #: Where the services are, and who calls.
    connection: Chosen
    #: Whether strangers may call what the command calls, too, where certificates are not asked for.
    is_for_strangers: bool = False
    #: Protobuf's JSON instead of tables.
    json: bool = False
    #: Seconds for one call, or None for the default.
    timeout: float | None = None
    #: Seconds to wait for another operator's approval of what takes one.
    approval_wait: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Session:
    """Connections to all services; each connects when it is used first."""

    #: The options of this run.
    options: Options
    #: The output of replies.
    output: Output
    #: The connections, and what calls over them show.
    connections: Connections
    #: What is shown while something takes long.
    progress: Progress = field(default_factory=Progress)
    #: Calls of each service.
    registry: "registry_pb2_grpc.RegistryServiceAsyncStub" = field(repr=False)
    notifications: "notification_pb2_grpc.NotificationServiceAsyncStub" = field(repr=False)
    wallet: "wallet_pb2_grpc.WalletServiceAsyncStub" = field(repr=False)
    engine: "engine_pb2_grpc.EngineServiceAsyncStub" = field(repr=False)
    reconciliation: "reconcile_pb2_grpc.ReconciliationServiceAsyncStub" = field(repr=False)
    keys: "keys_pb2_grpc.KeyServiceAsyncStub" = field(repr=False)
    orders: "order_pb2_grpc.OrderServiceAsyncStub" = field(repr=False)
    tokens: "token_pb2_grpc.TokenServiceAsyncStub" = field(repr=False)
    logins: "login_pb2_grpc.LoginServiceAsyncStub" = field(repr=False)
    custody: "custody_pb2_grpc.CustodyServiceAsyncStub" = field(repr=False)
    approvals: "approval_pb2_grpc.ApprovalServiceAsyncStub" = field(repr=False)
    withdrawals: "withdrawal_pb2_grpc.WithdrawalServiceAsyncStub" = field(repr=False)
    agreements: "agreement_pb2_grpc.AgreementServiceAsyncStub" = field(repr=False)
    plant: "plant_pb2_grpc.PlantServiceAsyncStub" = field(repr=False)
    work: "work_pb2_grpc.WorkServiceAsyncStub" = field(repr=False)
    harvest: "harvest_pb2_grpc.HarvestServiceAsyncStub" = field(repr=False)
    ledger: "ledger_pb2_grpc.LedgerServiceAsyncStub" = field(repr=False)
    payouts: "payout_pb2_grpc.PayoutsServiceAsyncStub" = field(repr=False)
    miners: "miner_pb2_grpc.MinerCreditServiceAsyncStub" = field(repr=False)
    statements: "statement_pb2_grpc.StatementServiceAsyncStub" = field(repr=False)
    reports: "report_pb2_grpc.ReportServiceAsyncStub" = field(repr=False)
    fees: "fees_pb2_grpc.FeeServiceAsyncStub" = field(repr=False)

    @property
    def channels(self) -> "Mapping[str, grpc.aio.Channel]":
        """Return the channels by the services' names."""
        return self.connections.channels

    async def ask(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Request, Reply]",
        request: Request,
        *,
        timeout: float = TIMEOUT,
        look: Look | None = None,
    ) -> Reply:
        """Call a method; raise the PoolError that the service raised.

        When the result of a change is unknown, the error says how to ask again safely. `look` tells
        how far the work has come, while the answer takes long.
        """
        request_id = getattr(request, "request_id", "")
        name = type(request).__name__.removesuffix("Request")
        seconds = self.options.timeout or timeout
        try:
            async with self.progress.during(f"waiting for {name}", look):
                return await self._approved(
                    lambda: self.connections.call(method, request, timeout=seconds)
                )
        except asyncio.CancelledError:
            if request_id:
                note(f"what was asked for may go on: --request-id {request_id} asks for the same")
            raise
        except FailedPreconditionError as error:
            if error.reason != SECOND_PERSON or not request_id:
                raise
            again = f"{error.message}; then repeat this with --request-id {request_id}"
            raise FailedPreconditionError(again, reason=error.reason) from error
        except (
            UnavailableError,
            DeadlineExceededError,
            # A connection that breaks while a service ends may look like these.
            InternalError,
            ConflictError,
        ) as error:
            if not request_id:
                raise
            again = f"{error.message} (safe to repeat with --request-id {request_id})"
            raise type(error)(again, reason=error.reason) from error

    async def _approved(self, ask: Callable[[], Awaitable[Reply]]) -> Reply:
        """Ask again and again, as long as the user waits, while another operator has to approve."""
        loop = asyncio.get_running_loop()
        ends, told = loop.time() + self.options.approval_wait, ""
        while True:
            try:
                return await ask()
            except FailedPreconditionError as error:
                approval = error.metadata.get("approval_id", "")
                if error.reason != SECOND_PERSON or loop.time() >= ends:
                    raise
                if approval != told:
                    self.progress.clear()
                    note(f"waits for another operator: kalepool custody approve {approval}")
                    told = approval
            await asyncio.sleep(LOOK)

    async def pages(
        self, page: Callable[[int, str], Awaitable[Any]], field_name: str, limit: int
    ) -> Any:
        """Return one reply made of as many pages as `limit` items need; 0 means all of them.

        `page` gets a page's size and token. next_page_token is set when there are more items.
        """
        async with self.progress.during(f"reading {field_name}"):
            whole = await page(min(limit or PAGE, PAGE), "")
            items = getattr(whole, field_name)
            while whole.next_page_token and (not limit or len(items) < limit):
                self.progress.say(f"{len(items)} so far")
                size = min(limit - len(items), PAGE) if limit else PAGE
                following = await page(size, whole.next_page_token)
                items.extend(getattr(following, field_name))
                whole.next_page_token = following.next_page_token
        return whole


@asynccontextmanager
async def open_session(options: Options, output: Output) -> AsyncIterator[Session]:
    """Open the channels, which costs nothing until one is used."""
    caller = _caller(options.connection, is_for_strangers=options.is_for_strangers)
    async with open_connections(options.connection.targets, caller) as connections:
        channels = connections.channels
        yield Session(
            options=options,
            output=output,
            connections=connections,
            registry=registry_pb2_grpc.RegistryServiceStub(channels["registry"]),
            notifications=notification_pb2_grpc.NotificationServiceStub(channels["registry"]),
            wallet=wallet_pb2_grpc.WalletServiceStub(channels["wallet"]),
            engine=engine_pb2_grpc.EngineServiceStub(channels["wallet"]),
            reconciliation=reconcile_pb2_grpc.ReconciliationServiceStub(channels["wallet"]),
            keys=keys_pb2_grpc.KeyServiceStub(channels["wallet"]),
            orders=order_pb2_grpc.OrderServiceStub(channels["wallet"]),
            tokens=token_pb2_grpc.TokenServiceStub(channels["wallet"]),
            logins=login_pb2_grpc.LoginServiceStub(channels["wallet"]),
            custody=custody_pb2_grpc.CustodyServiceStub(channels["wallet"]),
            approvals=approval_pb2_grpc.ApprovalServiceStub(channels["wallet"]),
            withdrawals=withdrawal_pb2_grpc.WithdrawalServiceStub(channels["wallet"]),
            agreements=agreement_pb2_grpc.AgreementServiceStub(channels["wallet"]),
            plant=plant_pb2_grpc.PlantServiceStub(channels["plant"]),
            work=work_pb2_grpc.WorkServiceStub(channels["work"]),
            harvest=harvest_pb2_grpc.HarvestServiceStub(channels["harvest"]),
            ledger=ledger_pb2_grpc.LedgerServiceStub(channels["harvest"]),
            payouts=payout_pb2_grpc.PayoutsServiceStub(channels["harvest"]),
            miners=miner_pb2_grpc.MinerCreditServiceStub(channels["harvest"]),
            statements=statement_pb2_grpc.StatementServiceStub(channels["harvest"]),
            reports=report_pb2_grpc.ReportServiceStub(channels["harvest"]),
            fees=fees_pb2_grpc.FeeServiceStub(channels["wallet"]),
        )


def _caller(chosen: Chosen, *, is_for_strangers: bool) -> Transport | TokenFiles | Nobody:
    """Return who calls. Raise CommandLineError when a file is missing or cannot be used."""
    if chosen.is_plaintext:
        return PLAINTEXT
    certificate, key, authority = chosen.tls
    names_somebody = chosen.token_file or certificate or key
    try:
        if is_for_strangers and authority is not None and not names_somebody:
            nobody = Nobody(authority=authority)
            nobody.read()
            return nobody
        if chosen.token_file is None:
            return transport_of(TlsFiles.all_of(*chosen.tls, otherwise=_TLS_OPTIONS))
        files = TokenFiles.both_of(chosen.token_file, chosen.tls[-1])
        files.read()
    except CertificateError as error:
        hint = f" (profile {chosen.profile})" if chosen.profile else ""
        raise CommandLineError(f"{error}{hint}") from error
    return files


def fresh(request_id: str) -> str:
    """Return the request id that was given, or a new one."""
    return request_id or str(new_id())
