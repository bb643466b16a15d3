"""Closings and statements for tests: a ledger, who closes its days, and harvest that shows it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format
from kalepool.harvest.v1 import ledger_pb2_grpc, statement_pb2, statement_pb2_grpc
from pydantic import SecretStr

from libs.common.grpc.client import call, open_channel
from libs.common.ids import FarmerId, PoolerId, new_id
from libs.kale.statements.document import joined, written
from services.harvest.app import open_app
from services.harvest.config import HarvestSettings
from services.harvest.domain.bookkeeping import (
    SUCCEEDED,
    Movement,
    PayoutParts,
    PoolPayment,
    bookings_of,
)
from services.harvest.domain.statements import Written
from services.harvest.store.ledger import BookkeepingStore
from services.harvest.store.statements import StatementStore
from services.harvest.usecases.closing import Closer
from tests.support.database import DatabaseAccess
from tests.support.fake_wallet import TREASURY, FakeWallet, fake_wallet
from tests.support.ledger_world import LedgerWorld
from tests.support.pool_world import Person

BLOCK = 700


@dataclass(kw_only=True)
class Chain:
    """A wallet that writes roots; satisfies services.harvest.usecases.closing.Roots."""

    #: Roots by their days.
    roots: dict[int, bytes] = field(default_factory=dict)
    is_slow: bool = False

    async def account(self) -> str:
        """See Roots."""
        return TREASURY

    async def publish(self, day: int, record: bytes) -> Written | None:
        """See Roots."""
        assert self.roots.setdefault(day, record) == record
        return None if self.is_slow else Written(transaction_hash=record.hex(), ledger=9)


@dataclass(frozen=True, kw_only=True)
class World:
    """A ledger, and what closes its days."""

    pool: LedgerWorld
    store: StatementStore
    chain: Chain

    @property
    def closer(self) -> Closer:
        """A process that has just started."""
        return Closer(store=self.store, roots=self.chain, lines=2)

    async def today(self) -> int:
        """Return the running day."""
        return (await self.store.state()).today

    async def farm(self, person: Person, block: int = BLOCK) -> None:
        """Book KALE from outside, a plant and its harvest."""
        await self.pool.book("deposit", person, 100)
        await self.pool.book("plant", person, 40, block=block)
        await self.pool.harvested(person, block=block, reward_amount=1000, stake_returned=40)


async def leave(world: World, person: Person, *, transaction: str = "", **fees: int) -> None:
    """Book fees that leave a farmer's account, as wallet has told."""
    await _tell(world, "payout", person, transaction, payout=PayoutParts(amount=0, **fees))


async def pay(
    world: World, amount: int, destination: str, *, is_miner: bool, transaction: str = ""
) -> None:
    """Book what is paid from the pooler's account, as wallet has told."""
    payment = PoolPayment(amount=amount, destination=destination, is_miner=is_miner)
    await _tell(world, "pool_payment", None, transaction, pool_payment=payment)


async def _tell(
    world: World,
    kind: str,
    person: Person | None,
    transaction_hash: str,
    *,
    payout: PayoutParts | None = None,
    pool_payment: PoolPayment | None = None,
) -> None:
    told = Movement(
        operation_id=new_id(),
        kind=kind,
        end=SUCCEEDED,
        farmer_id=None if person is None else FarmerId(person.farmer_id),
        pooler_id=PoolerId(world.pool.pooler),
        block_index=0,
        ledger=9,
        transaction_hash=transaction_hash,
        at=datetime.now(UTC),
        amount=0,
        withdrawn_kale=0,
        fee=0,
        payout=payout,
        pool_payment=pool_payment,
    )
    assert await BookkeepingStore(world.pool.database).book_movements(bookings_of([told])) == 1


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running harvest service beside its tables."""

    world: World
    wallet: FakeWallet
    stub: "statement_pb2_grpc.StatementServiceAsyncStub"
    ledger: "ledger_pb2_grpc.LedgerServiceAsyncStub"

    async def file(
        self,
        whose: Person | Mapping[str, str],
        month: str,
        *,
        size: int = 4,
        between: Callable[[], Awaitable[None]] | None = None,
    ) -> str:
        """Return the file of a statement of a farmer, or of whom fields name, read in pages.

        Something may happen between them.
        """
        named = {"farmer_id": str(whose.farmer_id)} if isinstance(whose, Person) else whose
        pages: list[dict[str, Any]] = []
        token = ""
        while True:
            request = statement_pb2.GetStatementRequest(
                month=month, page_size=size, page_token=token, **named
            )
            reply = await call(self.stub.GetStatement, request, timeout=10)
            pages.append(
                json_format.MessageToDict(
                    reply.statement, always_print_fields_with_no_presence=True
                )
            )
            token = reply.next_page_token
            if not token:
                return written(joined(pages))
            if between is not None:
                await between()


@asynccontextmanager
async def running(world: World, database: DatabaseAccess) -> AsyncIterator[Service]:
    """Run harvest, which closes no day by itself."""
    async with fake_wallet(database.admin_dsn) as (wallet, target):
        settings = HarvestSettings(
            transport="plaintext",
            port=0,
            database_url=SecretStr(database.dsn("harvest")),
            wallet_target=target,
            api_rate_limit=0,
            shutdown_grace_ms=100,
            harvest_sweep_seconds=0,
            closing_delay_seconds=86_399,
        )
        async with (
            open_app(settings) as opened,
            open_channel(f"127.0.0.1:{opened.port}") as channel,
        ):
            yield Service(
                world=world,
                wallet=wallet,
                stub=statement_pb2_grpc.StatementServiceStub(channel),
                ledger=ledger_pb2_grpc.LedgerServiceStub(channel),
            )
