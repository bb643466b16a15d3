"""How often the network is asked what transactions of a kind need."""

from dataclasses import replace
from typing import cast

from services.wallet.chain.facade import Chain
from services.wallet.chain.loads import Load
from services.wallet.chain.shapes import Shape
from services.wallet.domain.model import OperationKind
from services.wallet.engine.shapes import ShapeBook, ShapeKey, pack_of

HARVESTS = ShapeKey(kind=OperationKind.HARVEST, has_stake=False, opens=False)
NEEDED = Shape(
    read_only=(),
    read_write=(),
    instructions=1_000_000,
    disk_read_bytes=200,
    write_bytes=116,
    resource_fee=20_000,
)
LOAD = cast(Load, None)


class Network:
    """Says what a load needs, and counts how often."""

    def __init__(self) -> None:
        self.needed = NEEDED
        self.asked = 0

    async def simulate(self, load: Load, *, source: str) -> Shape:
        """What it needs at the moment."""
        assert (load, source) == (LOAD, "G")
        self.asked += 1
        return self.needed


async def sizes(book: ShapeBook, block_index: int, *counts: int) -> list[Shape]:
    """Shapes of transactions with so many harvests; of 0 for one without a multicall."""
    keys = [pack_of(HARVESTS, count) for count in counts]
    return [await book.shape(key, LOAD, source="G", block_index=block_index) for key in keys]


async def test_every_new_size_is_asked_for_once() -> None:
    network = Network()
    assert await sizes(ShapeBook(cast(Chain, network)), 1, 27, 3, 27, 3) == [NEEDED] * 4
    assert network.asked == 2


async def test_known_sizes_are_not_asked_for_again_once_one_of_them_is_unchanged() -> None:
    network = Network()
    book = ShapeBook(cast(Chain, network))
    await sizes(book, 1, 0, 27, 3, 5)
    assert network.asked == 4
    await sizes(book, 2, 27, 3, 5, 27)
    assert network.asked == 5
    await sizes(book, 2, 0, 9)  # a single call is no size, and 9 is new
    assert network.asked == 7
    await sizes(book, 3, 5, 9)
    assert network.asked == 8


async def test_when_one_size_has_changed_the_others_are_asked_for_too() -> None:
    network = Network()
    book = ShapeBook(cast(Chain, network))
    await sizes(book, 1, 27, 3)
    network.needed = replace(NEEDED, instructions=1_100_000)
    assert await sizes(book, 2, 27, 3) == [network.needed] * 2
    assert network.asked == 4


async def test_what_is_older_than_the_last_change_is_asked_for() -> None:
    network = Network()
    book = ShapeBook(cast(Chain, network))
    await sizes(book, 1, 27, 3)
    network.needed = replace(NEEDED, instructions=1_100_000)
    await sizes(book, 2, 27)
    assert await sizes(book, 3, 27, 3) == [network.needed] * 2
    assert network.asked == 5


async def test_nothing_known_stands_once_the_network_disagreed() -> None:
    network = Network()
    book = ShapeBook(cast(Chain, network))
    await sizes(book, 1, 27, 3)
    await sizes(book, 2, 27)
    book.forget(OperationKind.HARVEST)
    network.needed = replace(NEEDED, write_bytes=120)
    assert await sizes(book, 2, 3, 27) == [network.needed] * 2
    assert network.asked == 5
