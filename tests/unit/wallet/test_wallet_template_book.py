"""How often the network is asked what transactions of a kind need."""

from dataclasses import replace
from typing import cast

import pytest

from services.wallet.chain.build.loads import Load
from services.wallet.chain.build.resource_templates import ResourceTemplate, opening_template
from services.wallet.chain.errors import SimulationError
from services.wallet.chain.facade import Chain
from services.wallet.domain.chain_facts import ContractError
from services.wallet.domain.model import OperationKind, QueuedOperation
from services.wallet.engine.template_book import TemplateBook, TemplateKey, pack_of
from tests.support.signing import operation

PLANTS = TemplateKey(kind=OperationKind.PLANT, has_stake=True, opens=False)
HARVESTS = TemplateKey(kind=OperationKind.HARVEST, has_stake=False, opens=False)
NEEDED = ResourceTemplate(
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
        #: Why every load would fail.
        self.error: ContractError | None = None

    async def simulate(self, load: Load, *, source: str) -> ResourceTemplate:
        """What it needs at the moment."""
        assert (load, source) == (LOAD, "G")
        self.asked += 1
        if self.error is not None:
            raise SimulationError(self.error, "no")
        return self.needed


def together(count: int) -> list[QueuedOperation]:
    """Make harvests of so many farmers in one block; none for a call without a multicall."""
    return [operation() for _ in range(count)]


async def sizes(book: TemplateBook, block_index: int, *counts: int) -> list[ResourceTemplate]:
    """Shapes of transactions with so many harvests, of 0 for one without a multicall; those that
    nothing tells are left out."""
    keys = [pack_of(HARVESTS, together(count)) for count in counts]
    templates = [
        await book.template(key, LOAD, source="G", block_index=block_index) for key in keys
    ]
    return [template for template in templates if template is not None]


async def test_every_new_size_is_asked_for_once() -> None:
    network = Network()
    assert await sizes(TemplateBook(cast(Chain, network)), 1, 27, 3, 27, 3) == [NEEDED] * 4
    assert network.asked == 2


async def test_known_sizes_are_not_asked_for_again_once_one_of_them_is_unchanged() -> None:
    network = Network()
    book = TemplateBook(cast(Chain, network))
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
    book = TemplateBook(cast(Chain, network))
    await sizes(book, 1, 27, 3)
    network.needed = replace(NEEDED, instructions=1_100_000)
    assert await sizes(book, 2, 27, 3) == [network.needed] * 2
    assert network.asked == 4


async def test_what_is_older_than_the_last_change_is_asked_for() -> None:
    network = Network()
    book = TemplateBook(cast(Chain, network))
    await sizes(book, 1, 27, 3)
    network.needed = replace(NEEDED, instructions=1_100_000)
    await sizes(book, 2, 27)
    assert await sizes(book, 3, 27, 3) == [network.needed] * 2
    assert network.asked == 5


async def test_nothing_known_stands_once_the_network_disagreed() -> None:
    network = Network()
    book = TemplateBook(cast(Chain, network))
    await sizes(book, 1, 27, 3)
    await sizes(book, 2, 27)
    book.forget(OperationKind.HARVEST)
    network.needed = replace(NEEDED, write_bytes=120)
    assert await sizes(book, 2, 3, 27) == [network.needed] * 2
    assert network.asked == 5


async def test_plants_that_open_a_block_need_no_simulation_of_their_own() -> None:
    """On a network where others open every block there never is one."""
    network, ahead = Network(), replace(PLANTS, opens=True)
    book = TemplateBook(cast(Chain, network))
    assert book.known(ahead, 7) is None
    await book.template(PLANTS, LOAD, source="G", block_index=6)
    derived = book.known(ahead, 7)
    assert derived == opening_template(NEEDED)
    assert derived != NEEDED
    # The very first opening is another one; so is that of a kind that was not seen.
    assert book.known(ahead, 1) is None
    assert book.known(replace(ahead, has_stake=False), 7) is None
    assert book.known(pack_of(ahead, together(5)), 7) is None
    # What was simulated counts more, and nothing is derived once the network disagreed.
    network.needed = replace(NEEDED, instructions=1_234_567)
    await book.template(ahead, LOAD, source="G", block_index=7)
    assert book.known(ahead, 8) == network.needed
    book.forget(OperationKind.WORK)
    assert book.known(ahead, 8) == network.needed
    book.forget(OperationKind.PLANT)
    await book.template(PLANTS, LOAD, source="G", block_index=8)
    assert book.known(ahead, 9) is None


class Rent:
    """Whether the farm's rent is due, look by look."""

    def __init__(self, *looks: bool) -> None:
        self.looks = list(looks)

    async def __call__(self) -> bool:
        """The next look."""
        return self.looks.pop(0)


async def test_what_is_simulated_while_rent_comes_due_is_thrown_away() -> None:
    """Due before, due after, and not: only the last is what a call needs."""
    network, rent = Network(), Rent(True, False, True, False, False)
    book = TemplateBook(cast(Chain, network), rent)
    network.needed = replace(NEEDED, resource_fee=31_000_000)
    assert await sizes(book, 1, 3) == []
    assert network.asked == 0
    assert await sizes(book, 1, 3) == []
    network.needed = NEEDED
    assert await sizes(book, 1, 3) == [NEEDED]
    assert network.asked == 2
    # What is known already asks for nothing, and for no look.
    assert await sizes(book, 1, 3) == [NEEDED]
    assert rent.looks == []


async def test_a_price_that_is_too_high_is_asked_for_once_more_and_then_believed() -> None:
    network = Network()
    book = TemplateBook(cast(Chain, network))
    await sizes(book, 1, 3)
    assert book.doubt(OperationKind.HARVEST, 100)
    await sizes(book, 1, 3)
    assert network.asked == 2
    assert not book.doubt(OperationKind.HARVEST, 101)
    await sizes(book, 1, 3)
    assert network.asked == 2
    assert book.doubt(OperationKind.PLANT, 101)


async def test_a_price_stands_for_half_of_the_time_that_a_refusal_does() -> None:
    book = TemplateBook(cast(Chain, Network()))
    kind = OperationKind.HARVEST
    assert book.doubt(kind, 100)
    assert [book.doubt(kind, ledger) for ledger in (100, 129, 130, 131)] == [
        False,
        False,
        True,
        False,
    ]
    # A mark that a lie about the head has set far ahead does not count.
    assert book.doubt(kind, 50)


async def test_a_doubt_is_of_one_kind_only() -> None:
    network = Network()
    book = TemplateBook(cast(Chain, network))
    await sizes(book, 1, 27, 3)
    await sizes(book, 2, 27)
    await book.template(PLANTS, LOAD, source="G", block_index=2)
    asked = network.asked
    assert book.doubt(OperationKind.PLANT, 100)
    assert await sizes(book, 2, 27, 3) == [NEEDED] * 2
    assert network.asked == asked
    await book.template(PLANTS, LOAD, source="G", block_index=2)
    assert network.asked == asked + 1
    # What is doubted counts as changed, whatever size told otherwise before.
    assert book.doubt(OperationKind.HARVEST, 100)
    await sizes(book, 2, 27, 3)
    assert network.asked == asked + 3


async def test_what_comes_too_early_has_an_earlier_blocks_template() -> None:
    network = Network()
    book = TemplateBook(cast(Chain, network))
    network.error = ContractError(raiser="farm", code="HarvestNotReady")
    with pytest.raises(SimulationError):
        await sizes(book, 1, 0)
    network.error = None
    await sizes(book, 1, 0)
    network.error = ContractError(raiser="farm", code="HarvestNotReady")
    assert await sizes(book, 2, 0) == [NEEDED]
    # Another error is no question of time.
    network.error = ContractError(raiser="farm", code="PailMissing")
    with pytest.raises(SimulationError):
        await sizes(book, 2, 0)


async def test_the_first_block_whose_opening_is_derived_is_the_one_after_the_first() -> None:
    book = TemplateBook(cast(Chain, Network()))
    await book.template(PLANTS, LOAD, source="G", block_index=0)
    ahead = replace(PLANTS, opens=True)
    assert [book.known(ahead, block) is not None for block in (1, 2, 3)] == [False, True, True]


def test_a_key_that_says_nothing_of_a_size_is_of_a_single_call() -> None:
    assert HARVESTS.together == 0
    assert pack_of(HARVESTS, together(7)) == replace(HARVESTS, together=7, farmers=7, blocks=1)


async def test_calls_of_the_same_farmers_and_blocks_need_other_resources_than_as_many_others() -> (
    None
):
    one, other = (operation(), operation())
    shared = [one, replace(one, block_index=1), replace(one, block_index=2)]
    key = pack_of(HARVESTS, shared)
    assert (key.together, key.farmers, key.blocks) == (3, 1, 3)
    mixed = pack_of(HARVESTS, [one, other, replace(other, block_index=1)])
    assert (mixed.together, mixed.farmers, mixed.blocks) == (3, 2, 2)
    network = Network()
    book = TemplateBook(cast(Chain, network))
    for wanted in (key, mixed, pack_of(HARVESTS, together(3)), key, mixed):
        await book.template(wanted, LOAD, source="G", block_index=1)
    assert network.asked == 3
    # The network's answer for one of them is the same in the next block: so it is for the others.
    for wanted in (mixed, key, pack_of(HARVESTS, together(3))):
        await book.template(wanted, LOAD, source="G", block_index=2)
    assert network.asked == 4


async def test_without_rent_no_call_is_asked_for_it() -> None:
    assert not await TemplateBook(cast(Chain, Network())).carries_rent()
