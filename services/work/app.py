"""Wiring of work."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from kalepool.work.v1 import work_pb2_grpc

from libs.batches.app import open_batches
from libs.batches.wallet import WalletClient
from libs.common.clock import SystemClock
from libs.common.grpc.access import Owned
from libs.common.grpc.server import RunningServer, ServiceSpec, open_server
from libs.kale.formats import FORMATS
from libs.kale.networks import farm_of
from services.access import ACCESS
from services.work.config import WorkSettings
from services.work.hashing import Hasher
from services.work.servicer import WorkServicer
from services.work.store.store import MIGRATIONS, QUERIES, Store
from services.work.usecases import Submitter


@asynccontextmanager
async def open_app(settings: WorkSettings) -> AsyncIterator[RunningServer]:
    """Run work while the block runs."""
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(
            open_batches(
                settings,
                name="work",
                queries=QUERIES,
                migrations=MIGRATIONS,
                store=Store,
                submit=WalletClient.work,
            )
        )
        submitter = Submitter(
            store=parts.store,
            runner=parts.runner,
            hasher=Hasher(
                batch_size=settings.max_batch_size,
                parallel=settings.parallel_limit,
                timeout=settings.nonce_validation_timeout / 1000,
            ),
            clock=SystemClock(),
            chunk_size=settings.max_batch_size,
        )
        servicer = WorkServicer(parts.store, submitter)
        spec = ServiceSpec(
            name="work",
            full_names=("kalepool.work.v1.WorkService",),
            register=lambda server: work_pb2_grpc.add_WorkServiceServicer_to_server(
                servicer, server
            ),
            kale_contract_id=farm_of(settings.stellar_network, settings.kale_contract_id),
            formats=FORMATS,
            access=ACCESS,
            accounts={Owned.FARMER: parts.store.accounts_of_farmers},
            checks=parts.checks,
            method_timeouts={"SubmitWork": settings.batch_timeout / 1000},
        )
        yield await stack.enter_async_context(open_server(spec, settings, parts.transport))
