"""What plant, work and harvest remember of wallet's word, and what they ask for."""

from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import UUID

import grpc
import pytest
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import wallet_pb2, wallet_pb2_grpc

from libs.batches import wallet as client
from libs.batches.model import TAMPERED, Chunk
from libs.batches.wallet import WalletClient
from libs.common.grpc.client import open_channel
from libs.common.ids import FarmerId, new_id

STATES = {
    "succeeded": wallet_pb2.OPERATION_STATE_SUCCEEDED,
    "failed": wallet_pb2.OPERATION_STATE_FAILED,
    "expired": wallet_pb2.OPERATION_STATE_EXPIRED,
}


REASONS = [common_pb2.FAILURE_REASON_UNSPECIFIED, common_pb2.FAILURE_REASON_TAMPERED]


class Wallet(wallet_pb2_grpc.WalletServiceServicer):
    """A wallet that says of each operation what a test says."""

    def __init__(self) -> None:
        self.ends: dict[UUID, str] = {}
        #: Operations that each call asked for.
        self.asked: list[list[UUID]] = []
        #: Seconds that wallet had for an answer, call by call.
        self.had: list[float] = []
        #: Chunks as they came.
        self.chunks: list[object] = []

    def told(self, name: UUID) -> wallet_pb2.Operation:
        end = self.ends[name]
        is_tampered = end == TAMPERED
        return wallet_pb2.Operation(
            operation_id=str(name),
            state=STATES["failed" if is_tampered else end],
            reason=REASONS[is_tampered],
        )

    async def BatchHarvest(
        self, request: wallet_pb2.BatchHarvestRequest, context: Any
    ) -> AsyncIterator[wallet_pb2.BatchHarvestResponse]:
        """Tell of all, two at a time."""
        self.chunks.append(request)
        names = list(self.ends)
        for place in range(0, len(names), 2):
            first, *others = map(self.told, names[place : place + 2])
            yield wallet_pb2.BatchHarvestResponse(operation=first, others=others)

    async def BatchPlant(
        self, request: wallet_pb2.BatchPlantRequest, context: Any
    ) -> AsyncIterator[wallet_pb2.BatchPlantResponse]:
        """Tell of all, one by one."""
        self.chunks.append(request)
        for name in self.ends:
            yield wallet_pb2.BatchPlantResponse(operation=self.told(name))

    async def BatchWork(
        self, request: wallet_pb2.BatchWorkRequest, context: Any
    ) -> AsyncIterator[wallet_pb2.BatchWorkResponse]:
        """Tell of all, one by one."""
        self.chunks.append(request)
        for name in self.ends:
            yield wallet_pb2.BatchWorkResponse(operation=self.told(name))

    async def JudgeOperations(
        self, request: wallet_pb2.JudgeOperationsRequest, context: Any
    ) -> wallet_pb2.JudgeOperationsResponse:
        """Tell of those that have ended."""
        names = [UUID(name) for name in request.operation_ids]
        self.asked.append(names)
        self.had.append(context.time_remaining())
        return wallet_pb2.JudgeOperationsResponse(
            operations=[self.told(name) for name in names if name in self.ends]
        )


@pytest.fixture
async def served() -> AsyncIterator[tuple[Wallet, WalletClient]]:
    wallet: Wallet = cast("Any", Wallet)()
    server = grpc.aio.server()
    wallet_pb2_grpc.add_WalletServiceServicer_to_server(wallet, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}") as channel:
        yield wallet, WalletClient(channel, timeout=5)
    await server.stop(None)


CHUNK = Chunk(request_id="one", block_index=5, number=0, items=(FarmerId(UUID(int=1)),))


async def test_what_a_stream_told_is_not_asked_for(served: tuple[Wallet, WalletClient]) -> None:
    wallet, own = served
    names = [new_id() for _ in range(3)]
    wallet.ends = dict(zip(names, STATES, strict=True))
    await own.harvest(CHUNK)
    assert await own.ends(dict(wallet.ends)) == wallet.ends
    assert wallet.asked == []


async def test_what_the_rows_say_otherwise_is_asked_for_again(
    served: tuple[Wallet, WalletClient],
) -> None:
    wallet, own = served
    name = new_id()
    wallet.ends = {name: "succeeded"}
    await own.harvest(CHUNK)
    # Reconciliation has denied it since, or somebody has written that it did.
    for end in ("failed", TAMPERED):
        wallet.ends = {name: end}
        assert await own.ends({name: "failed"}) == {name: end}
        wallet.ends = {name: "succeeded"}
        await own.harvest(CHUNK)
    assert wallet.asked == [[name], [name]]


async def test_what_was_tampered_with_is_not_remembered(
    served: tuple[Wallet, WalletClient],
) -> None:
    wallet, own = served
    name, open_one = new_id(), new_id()
    wallet.ends = {name: TAMPERED}
    await own.harvest(CHUNK)
    said = {name: "succeeded", open_one: "succeeded"}
    assert await own.ends(said) == {name: TAMPERED}
    wallet.ends = {name: "succeeded"}
    assert await own.ends(said) == {name: "succeeded"}
    assert wallet.asked == [[name, open_one]] * 2


async def test_the_last_word_of_wallet_counts(served: tuple[Wallet, WalletClient]) -> None:
    wallet, own = served
    name = new_id()
    for end in ("succeeded", TAMPERED):
        wallet.ends = {name: end}
        await own.harvest(CHUNK)
    assert await own.ends({name: "succeeded"}) == {name: TAMPERED}
    assert wallet.asked == [[name]]


async def test_very_many_are_asked_for_in_parts_and_the_oldest_are_forgotten(
    served: tuple[Wallet, WalletClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_AT_ONCE", 2)
    monkeypatch.setattr(client, "_MOST", 3)
    wallet, own = served
    names = [new_id() for _ in range(5)]
    wallet.ends = dict.fromkeys(names, "expired")
    assert await own.ends(wallet.ends) == wallet.ends
    assert wallet.asked == [names[:2], names[2:4], names[4:]]
    wallet.asked.clear()
    await own.ends(wallet.ends)
    assert wallet.asked == [names[:2]]


async def test_wallet_is_asked_about_as_many_as_it_takes_and_has_ten_seconds(
    served: tuple[Wallet, WalletClient],
) -> None:
    wallet, own = served
    names = [new_id() for _ in range(1001)]
    wallet.ends = dict.fromkeys(names, "succeeded")
    assert await own.ends(wallet.ends) == wallet.ends
    assert wallet.asked == [names[:1000], names[1000:]]
    # However long it was on its way.
    assert max(wallet.had) < 11.0


FARMER = FarmerId(new_id())


async def test_each_kind_of_chunk_goes_to_wallet_and_its_ends_are_remembered(
    served: tuple[Wallet, WalletClient],
) -> None:
    wallet, own = served
    wallet.ends = {new_id(): "succeeded"}
    plant = Chunk(request_id="plant", block_index=5, number=0, items=((FARMER, 7),))
    await own.plant(plant)
    assert await own.ends(wallet.ends) == wallet.ends
    wallet.ends = {new_id(): "failed"}
    work = Chunk(request_id="work", block_index=6, number=0, items=((FARMER, 8, bytes(32)),))
    await own.work(work)
    assert await own.ends(wallet.ends) == wallet.ends
    wallet.ends = {new_id(): "expired"}
    await own.harvest(Chunk(request_id="harvest", block_index=7, number=0, items=(FARMER,)))
    assert await own.ends(wallet.ends) == wallet.ends
    assert wallet.asked == []
    assert wallet.chunks == [
        wallet_pb2.BatchPlantRequest(
            request_id="plant",
            block_index=5,
            operations=[wallet_pb2.PlantOperation(farmer_id=str(FARMER), stake=7)],
        ),
        wallet_pb2.BatchWorkRequest(
            request_id="work",
            block_index=6,
            operations=[
                wallet_pb2.WorkOperation(farmer_id=str(FARMER), nonce=8, hash=bytes(32)),
            ],
        ),
        wallet_pb2.BatchHarvestRequest(
            request_id="harvest",
            block_index=7,
            operations=[wallet_pb2.HarvestOperation(farmer_id=str(FARMER))],
        ),
    ]
