"""The statements of one block: what the services ask of PostgreSQL, timed one by one."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

from libs.common.db.pool import Database
from libs.common.ids import FarmerId, OperationId, WalletId, new_id
from services.harvest.domain.model import HORIZON, IN_VAIN
from services.harvest.store.store import QUERIES as HARVEST_QUERIES
from services.plant.store.store import QUERIES as PLANT_QUERIES
from services.registry.store.store import QUERIES as REGISTRY_QUERIES
from services.wallet.chain.model import SignedEnvelope
from services.wallet.domain.model import (
    Closing,
    NewOperation,
    OperationEvent,
    OperationKind,
    Settlement,
    TransactionEvent,
)
from services.wallet.store import QUERIES as WALLET_QUERIES
from services.wallet.store.operations import OperationStore, Wanted
from services.wallet.store.transactions import Draft, Noted, TransactionStore
from services.work.store.store import QUERIES as WORK_QUERIES

#: Operations of one call to wallet.
_CHUNK = 50
#: Operations that wallet takes up at once.
_ROUND = 250
_PAGE = 100


@dataclass(kw_only=True)
class Timings:
    """Seconds of every statement, by its name, in the order of their first run."""

    of: dict[str, list[float]] = field(default_factory=dict)

    @contextmanager
    def take(self, name: str) -> Iterator[None]:
        """Times the block."""
        started = time.perf_counter()
        yield
        self.of.setdefault(name, []).append(time.perf_counter() - started)


def queries_of(service: str) -> Path | Sequence[Path]:
    """A service's queries."""
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
    """One database in the services' hands."""

    #: Each service's, with its own role.
    databases: Mapping[str, Database]
    pooler_id: UUID
    #: (farmer, wallet, address).
    farmers: Sequence[tuple[UUID, UUID, str]]

    async def block(self, block: int, times: Timings) -> None:
        """All of one block that nobody has planted in."""
        chunks = await self._plan(block, times)
        operations = await self._submit(block, chunks, times)
        await self._carry(block, times)
        await self._record(block, operations, times)
        await self._reads_of_work(block, times)
        await self._reads_of_harvest(block, times)
        await self._reads_of_wallet(block, times)

    async def _plan(self, block: int, times: Timings) -> dict[int, list[tuple[UUID, UUID, str]]]:
        """plant's part before wallet is called."""
        plant, batch = self.databases["plant"], self._batch(block)
        with times.take("plant: ensure_partition"):
            await plant.execute("ensure_partition", block)
        with times.take("plant: candidates"):
            found = await plant.many("candidates", self.pooler_id, block, 1000)
        if len(found) != len(self.farmers):
            raise RuntimeError(f"{len(found)} of {len(self.farmers)} farmers can plant in {block}")
        with times.take("plant: insert_batch"):
            await plant.execute("insert_batch", batch, f"now {block}", self.pooler_id, block, b"x")
        numbered = [(farmer, index // _CHUNK) for index, farmer in enumerate(self.farmers)]
        with times.take("plant: insert_items"):
            await plant.execute(
                "insert_items",
                batch,
                [farmer[0] for farmer, _ in numbered],
                [new_id() for _ in numbered],
                [chunk for _, chunk in numbered],
                [farmer[2] for farmer, _ in numbered],
                [10_000_000 for _ in numbered],
            )
        chunks: dict[int, list[tuple[UUID, UUID, str]]] = {}
        for farmer, chunk in numbered:
            chunks.setdefault(chunk, []).append(farmer)
        return chunks

    async def _submit(
        self, block: int, chunks: Mapping[int, Sequence[tuple[UUID, UUID, str]]], times: Timings
    ) -> list[OperationId]:
        """wallet makes operations durable."""
        store, made = OperationStore(self.databases["wallet"]), list[OperationId]()
        with times.take("wallet: record_batch, all"):
            for chunk, farmers in chunks.items():
                request = f"plant-{self._batch(block)}-{chunk}"
                wishes = [
                    NewOperation(
                        id=OperationId(new_id()),
                        wallet_id=WalletId(wallet),
                        amount=10_000_000,
                        nonce=None,
                        hash=None,
                        zeros=None,
                    )
                    for _, wallet, _ in farmers
                ]
                await store.record_batch(
                    request,
                    bytes(32),
                    kind=OperationKind.PLANT,
                    block_index=block,
                    operations=wishes,
                )
                made += await store.batch_ids(request)
        return made

    async def _carry(self, block: int, times: Timings) -> None:
        """wallet signs, sends and settles, round by round."""
        operations = OperationStore(self.databases["wallet"])
        transactions = TransactionStore(self.databases["wallet"])
        ledger = block * 60
        wanted = Wanted(ledger=ledger, plant_until=block, work_until=block, harvest_before=block)
        for _ in range(0, len(self.farmers), _ROUND):
            with times.take("wallet: open_share"):
                await transactions.open_share()
            with times.take("wallet: has_urgent"):
                await operations.has_urgent(wanted)
            with times.take("wallet: claim"):
                claimed = await operations.claim(wanted, limit=_ROUND, lease=60.0)
            with times.take("wallet: last_sequences"):
                await transactions.last_sequences([item.address for item in claimed])
            drafts = [
                Draft(
                    envelope=_envelope(item.address, block),
                    operation_ids=(item.id,),
                    stakes_returned=(0,),
                )
                for item in claimed
            ]
            with times.take("wallet: commit_signed"):
                done = await transactions.commit_signed(drafts, ledger=ledger)
            if len(done.recorded) != len(drafts):
                raise RuntimeError(f"{len(done.recorded)} of {len(drafts)} envelopes were recorded")
            notes = [
                Noted(transaction_id=item.id, resend_ledger=ledger + 3, text="PENDING")
                for item in drafts
            ]
            with times.take("wallet: note_answers"):
                await transactions.note_answers(notes)
            with times.take("wallet: open"):
                await transactions.open()
            with times.take("wallet: close"):
                await transactions.close([_closing(item, ledger + 1) for item in drafts])

    async def _record(self, block: int, operations: Sequence[OperationId], times: Timings) -> None:
        """What was settled becomes events."""
        plant, batch = self.databases["plant"], self._batch(block)
        with times.take("wallet: settled_among"):
            settled = await OperationStore(self.databases["wallet"]).settled_among(operations)
        if len(settled) != len(operations):
            raise RuntimeError(f"{len(settled)} of {len(operations)} are settled")
        with times.take("plant: record"):
            await plant.execute("record", batch)
        with times.take("plant: complete"):
            await plant.one("complete", batch)
        with times.take("plant: events_of_batch"):
            await plant.many("events_of_batch", batch)
        arguments = (self.pooler_id, block, None, None, None, _PAGE)
        with times.take("plant: list_plantings"):
            await plant.many("list_plantings", *arguments)
        with times.take("plant: list_plantings of a farmer"):
            await plant.many(
                "list_plantings", self.pooler_id, None, self.farmers[7][0], None, None, 1
            )
        with times.take("plant: open_batches"):
            await plant.many("open_batches")

    async def _reads_of_work(self, block: int, times: Timings) -> None:
        work = self.databases["work"]
        with times.take("work: farmers"):
            await work.many("farmers", self.pooler_id, block, [item[0] for item in self.farmers])
        with times.take("work: open_batches"):
            await work.many("open_batches")

    async def _reads_of_harvest(self, block: int, times: Timings) -> None:
        harvest = self.databases["harvest"]
        with times.take("harvest: candidates"):
            await harvest.many("candidates", self.pooler_id, block, list(IN_VAIN))
        given = (self.pooler_id, block, max(0, block - HORIZON), list(IN_VAIN))
        with times.take("harvest: pending_blocks"):
            await harvest.many("pending_blocks", *given, 10)
        with times.take("harvest: count_pending"):
            await harvest.one("count_pending", *given)

    async def _reads_of_wallet(self, block: int, times: Timings) -> None:
        wallet, operations = self.databases["wallet"], OperationStore(self.databases["wallet"])
        with times.take("wallet: backlog"):
            await TransactionStore(wallet).backlog()
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

    def _batch(self, block: int) -> UUID:
        """The same for the same block of the same pooler."""
        return UUID(int=self.pooler_id.int ^ (block << 64) ^ 0xBA7C4)


def _envelope(source: str, sequence: int) -> SignedEnvelope:
    name = uuid4().hex * 2
    return SignedEnvelope(
        xdr=name,
        hash=name,
        inner_hash=name[::-1],
        source=source,
        sequence=1_000_000 + sequence,
        max_time=sequence * 300,
        fee_bid=100,
    )


def _closing(draft: Draft, ledger: int) -> Closing:
    return Closing(
        transaction_id=draft.id,
        event=TransactionEvent.SUCCEED,
        settlements=tuple(
            Settlement(operation_id=item, event=OperationEvent.SUCCEED, ledger=ledger, fee=100)
            for item in draft.operation_ids
        ),
        ledger=ledger,
        fee=100,
    )
