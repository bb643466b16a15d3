"""The statements of one block: each statement that the services send to PostgreSQL, timed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from uuid import UUID, uuid4

from libs.batches.model import HORIZON
from libs.common.db.pool import Database
from libs.common.ids import FarmerId, OperationId, WalletId, new_id
from services.harvest.store.store import QUERIES as HARVEST_QUERIES
from services.plant.store.store import QUERIES as PLANT_QUERIES
from services.registry.store.store import QUERIES as REGISTRY_QUERIES
from services.wallet.domain.chain_facts import SignedEnvelope
from services.wallet.domain.model import (
    Closing,
    NewOperation,
    OperationEvent,
    OperationKind,
    OperationState,
    Settlement,
    TransactionEvent,
)
from services.wallet.keys.row_macs import RowMacs
from services.wallet.store import QUERIES as WALLET_QUERIES
from services.wallet.store.custody import CustodyStore
from services.wallet.store.operations import OperationStore, Wanted
from services.wallet.store.order_rows import OrderRowStore, Walk, live_walks
from services.wallet.store.orders import Orders
from services.wallet.store.transactions import Draft, Noted, TransactionStore
from services.work.store.store import QUERIES as WORK_QUERIES
from trials.history.server_time import ServerClock

#: Stroops that a farmer stakes in a block.
_STAKE = 10_000_000
#: Operations of one call to the wallet.
_CHUNK = 50
#: Operations that the wallet takes up at once.
_ROUND = 250
_PAGE = 100
#: Rows that wallet looks at between two turns of its event loop.
_LOOK = 500
#: Records of the audit log that a look at who wrote them takes here.
_RECORDS = 500
#: Authenticators of orders, under any key: nothing is sent.
ORDERS = Orders(RowMacs({1: bytes(32)}))
#: The time in a block at which each kind is carried, in ledgers after the block's first ledger.
_LEDGER_OF = {OperationKind.PLANT: 0, OperationKind.WORK: 50, OperationKind.HARVEST: 10}

#: (farmer, wallet, address).
Farmer: TypeAlias = tuple[UUID, UUID, str]


@dataclass(kw_only=True)
class Timings:
    """The seconds of every statement, by its name, in the order of the first runs."""

    #: Of the server's processes.
    clock: ServerClock
    #: Seconds that the server has worked.
    of: dict[str, list[float]] = field(default_factory=dict)
    #: Seconds that the caller has waited.
    waited: dict[str, list[float]] = field(default_factory=dict)

    @contextmanager
    def take(self, name: str) -> Iterator[None]:
        """Time the block."""
        started, worked = time.perf_counter(), self.clock()
        yield
        self.waited.setdefault(name, []).append(time.perf_counter() - started)
        self.of.setdefault(name, []).append(self.clock() - worked)


def queries_of(service: str) -> Path | Sequence[Path]:
    """Return a service's queries."""
    found: Mapping[str, Path | Sequence[Path]] = {
        "registry": REGISTRY_QUERIES,
        "wallet": WALLET_QUERIES,
        "plant": PLANT_QUERIES,
        "work": WORK_QUERIES,
        "harvest": HARVEST_QUERIES,
    }
    return found[service]


@dataclass(frozen=True, kw_only=True)
class Life:
    """The life of one database in the services' hands."""

    #: Each service's database, with the service's own role.
    databases: Mapping[str, Database]
    pooler_id: UUID
    farmers: Sequence[Farmer]
    #: Clock of the seconds that the server has worked for these databases.
    clock: ServerClock

    async def block(self, block: int, times: Timings) -> None:
        """Send all statements of a block, and the harvest of the block before.

        Nobody has planted in the block yet.
        """
        await self._plants(block, times)
        await self._works(block, times)
        await self._harvests(block, times)
        await self._reads_of_wallet(block, times)

    async def _plants(self, block: int, times: Timings) -> None:
        plant, batch, farmers = self.databases["plant"], new_id(), self.farmers
        with times.take("plant: ensure_partition"):
            await plant.execute("ensure_partition", block)
        with times.take("plant: candidates"):
            found = await plant.many("candidates", self.pooler_id, block, 1000, [])
        _expect(len(found), len(farmers), "farmers can plant")
        stakes = [_STAKE for _ in farmers]
        with times.take("plant: insert_batch"):
            await plant.execute("insert_batch", batch, str(batch), self.pooler_id, block, b"x")
        with times.take("plant: insert_items"):
            await plant.execute("insert_items", batch, *_columns(farmers), stakes)
        await self._through_wallet(OperationKind.PLANT, batch, farmers, (block, block), times)
        with times.take("plant: events_of_batch"):
            await plant.many("events_of_batch", batch)
        with times.take("plant: list_plantings"):
            await plant.many("list_events", *self._page(block))
        with times.take("plant: list_plantings of a farmer"):
            await plant.many("list_events", *self._newest_of(self.farmers[7][0]))
        with times.take("plant: open_batches"):
            await plant.many("open_batches")

    async def _works(self, block: int, times: Timings) -> None:
        work, batch, farmers = self.databases["work"], new_id(), self.farmers
        with times.take("work: ensure_partition"):
            await work.execute("ensure_partition", block)
        with times.take("work: farmers"):
            await work.many("farmers", self.pooler_id, block, [item[0] for item in farmers])
        nonces = list(range(len(farmers)))
        hashes, zeros = [bytes(32) for _ in farmers], [5 for _ in farmers]
        none = ["" for _ in farmers]
        with times.take("work: insert_batch"):
            await work.execute("insert_batch", batch, str(batch), self.pooler_id, block, b"x")
        with times.take("work: insert_items"):
            await work.execute("insert_items", batch, *_columns(farmers), nonces, hashes, zeros)
        given = [[item[0] for item in farmers], nonces, hashes, zeros, ["sent" for _ in farmers]]
        with times.take("work: insert_submissions"):
            await work.execute("insert_submissions", batch, nonces, *given, none, none)
        await self._through_wallet(OperationKind.WORK, batch, farmers, (block, block), times)
        with times.take("work: farmers, again"):
            await work.many("farmers", self.pooler_id, block, [item[0] for item in farmers])
        with times.take("work: verdicts"):
            await work.many("verdicts", batch)
        with times.take("work: list_works"):
            await work.many("list_events", *self._page(block))
        with times.take("work: open_batches"):
            await work.many("open_batches")

    async def _harvests(self, current: int, times: Timings) -> None:
        """Let a sweep find the block before, and harvest it."""
        harvest, batch, block = self.databases["harvest"], new_id(), current - 1
        sweep = (None, current, max(0, current - HORIZON))
        with times.take("harvest: pending_blocks"):
            await harvest.many("pending_blocks", *sweep, 300, 60.0, 1)
        with times.take("harvest: candidates"):
            found = await harvest.many("candidates", self.pooler_id, block)
        if not found:
            return  # nobody has worked in it: the first one after the history
        _expect(len(found), len(self.farmers), "farmers can harvest")
        with times.take("harvest: ensure_partition"):
            await harvest.execute("ensure_partition", block)
        with times.take("harvest: insert_batch"):
            await harvest.execute("insert_batch", batch, str(batch), self.pooler_id, block, b"x")
        with times.take("harvest: insert_items"):
            await harvest.execute("insert_items", batch, *_columns(self.farmers))
        blocks = (block, current)
        await self._through_wallet(OperationKind.HARVEST, batch, self.farmers, blocks, times)
        with times.take("harvest: count_pending"):
            await harvest.one("count_pending", *sweep)
        with times.take("harvest: events_of_batch"):
            await harvest.many("events_of_batch", batch)
        with times.take("harvest: list_harvests"):
            await harvest.many("list_events", *self._page(block))
        with times.take("harvest: open_batches"):
            await harvest.many("open_batches")

    async def _through_wallet(
        self,
        kind: OperationKind,
        batch: UUID,
        farmers: Sequence[Farmer],
        blocks: tuple[int, int],
        times: Timings,
    ) -> None:
        """Send the statements from a plan to its events.

        `blocks` are the batch's block and the current block.
        """
        operations = await self._submit(kind, batch, farmers, blocks[0], times)
        await self._carry(kind, blocks[1], times)
        with times.take("wallet: settled_among"):
            settled = await OperationStore(self.databases["wallet"], ORDERS).settled_among(
                operations
            )
        _expect(
            [item.state for item in settled],
            [OperationState.SUCCEEDED for _ in operations],
            "operations have succeeded, by wallet's own word",
        )
        service = self.databases[kind.value]
        with times.take(f"{kind.value}: ended_items"):
            rows = await service.many("ended_items", batch)
        _expect(len(rows), len(operations), "operations have ended")
        told = [[row[name] for row in rows] for name in ("operation_id", "state", "farmer_id")]
        with times.take(f"{kind.value}: record"):
            await service.execute("record", batch, *told)
        with times.take(f"{kind.value}: complete"):
            _expect(await service.one("complete", batch) is not None, True, "batch is complete")

    async def _submit(
        self,
        kind: OperationKind,
        batch: UUID,
        farmers: Sequence[Farmer],
        block: int,
        times: Timings,
    ) -> list[OperationId]:
        """Send the statements with which the wallet makes operations durable."""
        store, made = OperationStore(self.databases["wallet"], ORDERS), list[OperationId]()
        with times.take("wallet: record_batch, all"):
            for start in range(0, len(farmers), _CHUNK):
                request = f"{kind.value}-{batch}-{start // _CHUNK}"
                await store.record_batch(
                    request,
                    bytes(32),
                    kind=kind,
                    block_index=block,
                    operations=[_wish(kind, item) for item in farmers[start : start + _CHUNK]],
                    check=lambda _head: None,
                )
                made += await store.batch_ids(request)
        return made

    async def _carry(self, kind: OperationKind, block: int, times: Timings) -> None:
        """Send the statements with which the wallet signs, sends and settles, round by round."""
        operations = OperationStore(self.databases["wallet"], ORDERS)
        transactions = TransactionStore(self.databases["wallet"], ORDERS)
        ledger = block * 60 + _LEDGER_OF[kind]
        wanted = Wanted(ledger=ledger, plant_until=block, work_until=block, harvest_before=block)
        for first in range(0, len(self.farmers), _ROUND):
            left = len(self.farmers) - first
            with times.take("wallet: queue"):
                await transactions.queue()
            with times.take("wallet: has_urgent"):
                await operations.has_urgent(wanted)
            with times.take("wallet: claim"):
                claimed = await operations.claim(wanted, limit=_ROUND, lease=60.0)
            with times.take("wallet: last_sequences"):
                await transactions.last_sequences(
                    [item.address for item in claimed], after=ledger - 1
                )
            drafts = [
                Draft(
                    envelope=_envelope(item.address, ledger),
                    operation_ids=(item.id,),
                    stakes_returned=(0,),
                )
                for item in claimed
            ]
            with times.take("wallet: commit_signed"):
                done = await transactions.commit_signed(drafts, ledger=ledger)
            _expect(len(done.recorded), min(_ROUND, left), "envelopes are recorded")
            notes = [
                Noted(transaction_id=item.id, resend_ledger=ledger + 3, text="PENDING")
                for item in drafts
            ]
            with times.take("wallet: note_answers"):
                await transactions.note_answers(notes)
            with times.take("wallet: open"):
                await transactions.open([item.id for item in drafts])
            with times.take("wallet: close"):
                await transactions.close([_closing(kind, item, ledger + 1) for item in drafts])

    async def _reads_of_wallet(self, block: int, times: Timings) -> None:
        wallet, operations = (
            self.databases["wallet"],
            OperationStore(self.databases["wallet"], ORDERS),
        )
        with times.take("wallet: backlog"):
            await TransactionStore(wallet, ORDERS).backlog()
        with times.take("wallet: list_operations of a farmer"):
            await operations.page(
                farmer_id=FarmerId(self.farmers[7][0]),
                state=None,
                kind=None,
                before=None,
                limit=1,
            )
        with times.take("wallet: kept_in_block"):
            await wallet.many("kept_in_block", block, None, _PAGE)
        with times.take("wallet: balances_since"):
            await wallet.many("balances_since", None, _PAGE)
        with times.take("wallet: fees_committed"):
            await wallet.many("fees_committed")
        await self._looks_of_wallet(times)

    async def _looks_of_wallet(self, times: Timings) -> None:
        """Send the statements by which wallet looks at who wrote its rows, and its audit log."""
        wallet = self.databases["wallet"]
        rows, custody = OrderRowStore(wallet), CustodyStore(wallet, ORDERS)
        with times.take("wallet: look at live rows"):
            for start in live_walks():
                walk: Walk | None = start
                while walk is not None:
                    _, walk = await rows.page(walk, limit=_LOOK)
        head = await custody.head()
        with times.take("wallet: look at records"):
            async for _ in custody.seals(after=head.number - _RECORDS, until=head.number):
                pass

    def _page(self, block: int) -> tuple[object, ...]:
        """Return a block's first page of events."""
        return (self.pooler_id, block, None, None, None, _PAGE)

    def _newest_of(self, farmer: UUID) -> tuple[object, ...]:
        """Return the newest event of a farmer."""
        return (self.pooler_id, None, farmer, None, None, 1)


def _expect(found: object, wanted: object, what: str) -> None:
    """Check that the timed statement has found what it is meant to find."""
    if found != wanted:
        raise RuntimeError(f"{what}: {found} instead of {wanted}")


def _columns(farmers: Sequence[Farmer]) -> tuple[list[object], ...]:
    """Return the columns that every batch has of its items: farmers, ids, chunks, addresses."""
    return (
        [item[0] for item in farmers],
        [new_id() for _ in farmers],
        [place // _CHUNK for place in range(len(farmers))],
        [item[2] for item in farmers],
    )


def _wish(kind: OperationKind, farmer: Farmer) -> NewOperation:
    is_work = kind is OperationKind.WORK
    return NewOperation(
        id=OperationId(new_id()),
        wallet_id=WalletId(farmer[1]),
        amount=_STAKE if kind is OperationKind.PLANT else 0,
        nonce=7 if is_work else None,
        hash=bytes(32) if is_work else None,
        zeros=5 if is_work else None,
    )


def _envelope(source: str, ledger: int) -> SignedEnvelope:
    name = uuid4().hex * 2
    return SignedEnvelope(
        xdr=name,
        hash=name,
        inner_hash=name[::-1],
        source=source,
        sequence=1_000_000 + ledger,
        max_time=ledger * 5,
        fee_bid=100,
    )


def _closing(kind: OperationKind, draft: Draft, ledger: int) -> Closing:
    return Closing(
        transaction_id=draft.id,
        event=TransactionEvent.SUCCEED,
        settlements=tuple(
            Settlement(
                operation_id=item,
                event=OperationEvent.SUCCEED,
                # The chain says what was staked, and what was earned: nothing here.
                amount=_STAKE if kind is OperationKind.PLANT else None,
                ledger=ledger,
                fee=100,
            )
            for item in draft.operation_ids
        ),
        ledger=ledger,
        fee=100,
    )
