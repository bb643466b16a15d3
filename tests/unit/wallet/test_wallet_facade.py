"""The chain's reads: whose word each takes, what is absent, and which farm is known."""

from dataclasses import replace
from typing import Any, cast

import pytest
from stellar_sdk import Keypair, xdr

from libs.common.errors import UnavailableError
from services.wallet.chain.build import ledger_keys
from services.wallet.chain.build.loads import alone
from services.wallet.chain.build.payments import memo_key
from services.wallet.chain.build.resource_templates import exactly
from services.wallet.chain.errors import (
    DisagreementError,
    NetworkMismatchError,
    RpcRejectedError,
    SimulationError,
    StaleAnswerError,
    UnknownAnswerError,
)
from services.wallet.chain.essence import essence
from services.wallet.chain.facade import Chain
from services.wallet.chain.networks import Network, network_for, verify
from services.wallet.chain.node.health import NEWEST_PROTOCOL, Health
from services.wallet.chain.node.questions import LEAST_BID
from services.wallet.chain.node.rpc import Rpc
from services.wallet.chain.opening import open_chain
from services.wallet.chain.read.account_bytes import AccountFields
from services.wallet.chain.read.readers import FarmEntry, read_live_until
from services.wallet.chain.read.results import Refusal
from services.wallet.chain.read.simulations import Simulation
from services.wallet.domain.chain_facts import (
    BlockState,
    ContractError,
    FarmState,
    LedgerHead,
    NumberState,
    PailState,
)
from services.wallet.domain.logins import AccountSigners
from services.wallet.domain.trust import TRUST, Decision, Needed
from tests.support.clock import FakeClock
from tests.support.farm_facts import BLOCK
from tests.support.told_nodes import AWAY, TAKEN, Nodes

NETWORK = network_for("localnet")
INSTANCE = ledger_keys.instance_key(NETWORK.farm)
CODE = "ab" * 32
HERE, GONE = (Keypair.from_raw_ed25519_seed(letter * 32).public_key for letter in (b"h", b"g"))
ENTRY = AccountFields(
    balance=5,
    sequence=11,
    used_ledger=90,
    reserves=0,
    obeys=True,
    obeys_fully=True,
    buying=0,
    selling=0,
)
FARM = FarmState(
    index=7, timestamp=900, paused=False, token=NETWORK.token, code_hash=CODE, block=None
)


class Shown:
    """One node that shows facts by key at ledger 100, and notes the keys."""

    def __init__(self, facts: dict[str, Any] | None = None) -> None:
        self.facts = facts or {}
        self.asked: list[list[str]] = []
        self.gets: dict[str, int] = {}
        self.says: Any = None
        self.health = Health("node", FakeClock())
        self.name = NETWORK.passphrase

    async def entries(self, readers: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """As an endpoint's."""
        self.asked.append(list(readers))
        return 100, {
            key: self._shown(key, reader) for key, reader in readers.items() if key in self.facts
        }

    def _shown(self, key: str, reader: Any) -> Any:
        fact = self.facts[key]
        is_whole = reader is not read_live_until or isinstance(fact, int)
        return fact if is_whole else fact.live_until

    async def ask(self, question: Any) -> Any:
        """As an endpoint's."""
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    def statuses(self) -> list[Any]:
        """As an endpoint's."""
        return [self.health.status()]

    async def read(self, reading: Any) -> Any:
        """As an endpoint's."""
        return await reading(self)

    async def passphrase(self) -> str:
        """As an endpoint's."""
        return self.name

    async def get(self, url: str) -> int:
        """As an endpoint's."""
        return self.gets[url]


def chain_of(shown: Shown, network: Network = NETWORK) -> Chain:
    """The chain through this node alone."""
    return Chain(network, cast(Rpc, shown))


def farm_facts(state: FarmState = FARM, block: BlockState | None = BLOCK) -> dict[str, Any]:
    """The farm's entries."""
    calls = chain_of(Shown()).farm_calls
    facts: dict[str, Any] = {
        INSTANCE: FarmEntry(state=state, index=state.index, live_until=500),
        ledger_keys.code_key(CODE): 600,
    }
    if block is not None:
        facts[ledger_keys.block_key(calls, block.index)] = block
    return facts


# Whose word


def test_one_node_is_everybody() -> None:
    for chain in (chain_of(Shown()), Chain(NETWORK, Nodes(1).endpoints)):
        assert chain.agreed is chain
        assert (chain.configured, chain.witnessed) == (1, 1)
        for decision in Decision:
            assert chain.trusted(decision) is chain
    alone_here = chain_of(Shown())
    assert alone_here.witnesses() == [alone_here]


@pytest.mark.parametrize("count", [2, 3])
async def test_of_several_nodes_as_many_are_asked_as_a_decision_needs(count: int) -> None:
    nodes = Nodes(count)
    chain = Chain(NETWORK, nodes.endpoints)
    assert chain.configured == count
    assert chain.agreed is not chain
    for decision in Decision:
        is_one_word = TRUST[decision] is Needed.ONE_WORD
        assert (chain.trusted(decision) is chain) is is_one_word
    agreed = chain.agreed
    assert await agreed.outcome("ab" * 32, []) == cast("Any", "the truth")
    assert (nodes.asked, agreed.witnessed, chain.witnessed) == ([1, 1, 0][:count], 2, 1)
    assert agreed.configured == count


async def test_each_usable_node_is_a_witness() -> None:
    nodes = Nodes(3)
    nodes[1].lost()
    for node in nodes.all:
        node.answers = [node.health.host]
    views = Chain(NETWORK, nodes.endpoints).witnesses()
    found: list[Any] = [await view.has_transaction("ab" * 32) for view in views]
    assert found == ["node0", "node2"]


# Fees


@pytest.mark.parametrize(
    ("told", "fee"),
    [
        ([1000, 1, 1], 1000),
        ([1001, 700, 1], 700),
        ([5000, 9000, 1], 5000),
        ([5000, AWAY, 1], 5000),
    ],
)
async def test_only_for_an_extraordinary_fee_a_second_node_is_asked(
    told: list[Any], fee: int
) -> None:
    nodes = Nodes(3)
    for node, answer in zip(nodes.all, told, strict=True):
        node.answers = [answer]
    assert await Chain(NETWORK, nodes.endpoints).inclusion_fee() == fee
    assert nodes.asked == ([1, 0, 0] if told[0] == 1000 else [2, 1, 0])


@pytest.mark.parametrize("error", [UnknownAnswerError("moved"), RpcRejectedError("no such method")])
async def test_fees_that_are_not_understood_are_the_least(error: Exception) -> None:
    shown = Shown()
    shown.says = error
    chain = chain_of(shown)
    assert await chain.inclusion_fee() == LEAST_BID == 100
    (warning,) = chain.agreed.warnings
    assert "the fees of others" in warning
    assert str(error) in warning


async def test_fees_that_nobody_tells_are_waited_for() -> None:
    shown = Shown()
    shown.says = UnavailableError("away")
    with pytest.raises(UnavailableError):
        await chain_of(shown).inclusion_fee()


def test_a_newer_protocol_is_told_by_its_node() -> None:
    shown = Shown()
    chain = chain_of(shown)
    shown.health.hear_protocol(NEWEST_PROTOCOL)
    assert chain.warnings == []
    shown.health.hear_protocol(99)
    (warning,) = chain.warnings
    assert "the Stellar node node is on protocol 99" in warning
    assert f"was tested with {NEWEST_PROTOCOL}" in warning


async def test_a_simulation_that_is_not_understood_is_told_and_waited_for() -> None:
    shown = Shown()
    shown.says = UnknownAnswerError("a footprint of another version")
    chain = chain_of(shown)
    load = alone(chain.farm_calls.plant(farmer=HERE, index=1, stake=0))
    with pytest.raises(UnknownAnswerError):
        await chain.simulate(load, source=HERE)
    (warning,) = chain.warnings
    assert "simulations" in warning


async def test_the_only_nodes_fee_counts() -> None:
    nodes = Nodes(1)
    nodes[0].answers = [5000]
    assert await Chain(NETWORK, nodes.endpoints).inclusion_fee() == 5000
    assert nodes.asked == [1]


# The farm


async def test_the_farm_is_read_with_its_block_and_the_lives_of_both() -> None:
    chain = chain_of(Shown(farm_facts()))
    assert await chain.farm() == replace(FARM, block=BLOCK, instance_until=500, code_until=600)
    assert not chain.is_known(await chain.farm())


async def test_a_farm_without_a_block_or_a_known_life_of_its_code() -> None:
    facts = farm_facts(block=None)
    del facts[ledger_keys.code_key(CODE)]
    farm = await chain_of(Shown(facts)).farm()
    assert farm == replace(FARM, instance_until=500, code_until=0)


async def test_a_farm_whose_code_is_not_told() -> None:
    shown = Shown(farm_facts(replace(FARM, code_hash="", index=0), block=None))
    farm = await chain_of(shown).farm()
    assert farm is not None
    assert (farm.code_until, farm.block) == (0, None)
    assert len(shown.asked) == 1


async def test_where_there_is_no_farm_there_is_none() -> None:
    assert await chain_of(Shown()).farm() is None


async def test_a_farm_is_known_once_several_nodes_have_shown_it() -> None:
    nodes = Nodes(3)
    for node in nodes.all:
        node.answers = [(100, farm_facts())]
    chain = Chain(NETWORK, nodes.endpoints)
    farm = await chain.farm()
    assert farm is not None
    assert not chain.is_known(farm)
    assert await chain.agreed.farm() == farm
    assert chain.is_known(replace(farm, instance_until=1, block=replace(BLOCK, staked_total=99)))
    assert not chain.is_known(replace(farm, paused=True))
    assert not chain.is_known(None)


async def known_chain(nodes: Nodes) -> Chain:
    """A chain whose nodes have shown the farm."""
    for node in nodes.all:
        node.answers = [(100, farm_facts())]
    chain = Chain(NETWORK, nodes.endpoints)
    await chain.agreed.farm()
    return chain


LATER = replace(FARM, index=8, timestamp=901)


@pytest.mark.parametrize(
    ("facts", "is_fine"),
    [
        (farm_facts(), True),
        (farm_facts(block=replace(BLOCK, staked_total=99)), True),
        (farm_facts(LATER, replace(BLOCK, index=8)), True),
        (farm_facts(replace(FARM, index=6), replace(BLOCK, index=6)), False),
        (farm_facts(replace(FARM, paused=True)), False),
        (farm_facts(block=replace(BLOCK, entropy=bytes([1]) * 32)), False),
        ({}, False),
    ],
)
async def test_a_node_that_was_set_aside_has_to_show_the_farm_that_others_show(
    facts: dict[str, Any], is_fine: bool
) -> None:
    nodes = Nodes(3)
    chain = await known_chain(nodes)
    nodes[2].answers = [(100, facts)]
    if is_fine:
        await chain.recheck(cast(Rpc, nodes[2]))
    else:
        with pytest.raises(DisagreementError, match="another farm than the other nodes"):
            await chain.recheck(cast(Rpc, nodes[2]))


async def test_before_any_farm_is_known_every_node_may_come_back() -> None:
    nodes = Nodes(2)
    nodes[0].answers = [(100, {})]
    await Chain(NETWORK, nodes.endpoints).recheck(cast(Rpc, nodes[0]))


async def test_nodes_that_were_set_aside_are_rechecked() -> None:
    network = network_for("localnet", rpc_url="http://127.0.0.1:1,http://127.0.0.1:2")
    async with open_chain(network, timeout=1.0) as chain:
        assert chain._endpoints is not None
        nodes = chain._endpoints.candidates()
        assert {node.recheck for node in nodes} == {chain.recheck}


# The network


async def test_the_right_network_is_verified() -> None:
    shown = Shown(farm_facts())
    await chain_of(shown).verify()
    shown.name = "another"
    with pytest.raises(NetworkMismatchError, match="the node is on 'another'") as caught:
        await chain_of(shown).verify()
    assert caught.value.metadata == {"expected": NETWORK.passphrase, "found": "another"}


def test_another_token_is_named() -> None:
    verify(NETWORK, passphrase=NETWORK.passphrase, farm=FARM)
    with pytest.raises(NetworkMismatchError, match="pays in token") as caught:
        verify(NETWORK, passphrase=NETWORK.passphrase, farm=replace(FARM, token="C"))
    assert caught.value.metadata == {"expected": NETWORK.token, "found": "C"}
    with pytest.raises(NetworkMismatchError, match="there is no farm"):
        verify(NETWORK, passphrase=NETWORK.passphrase, farm=None)


@pytest.mark.parametrize(
    ("name", "urls", "friendbot"),
    [
        ("localnet", ("http://127.0.0.1:8000",), "http://127.0.0.1:8000/friendbot"),
        ("testnet", ("https://soroban-testnet.stellar.org",), "https://friendbot.stellar.org"),
    ],
)
def test_what_a_network_has_where_nothing_is_said(
    name: str, urls: tuple[str, ...], friendbot: str
) -> None:
    network = network_for(name)
    assert (network.rpc_urls, network.friendbot_url) == (urls, friendbot)
    assert network.asset.code == "KALE"
    assert network.farm
    assert network.passphrase


def test_what_is_said_of_a_network_replaces_all_of_it() -> None:
    network = network_for(
        "testnet",
        farm="C1",
        asset=f"BEET:{HERE}",
        passphrase="mine",
        rpc_url="http://a , http://b,, http://a",
        friendbot_url="http://f",
    )
    assert (network.farm, network.passphrase, network.friendbot_url) == ("C1", "mine", "http://f")
    assert (network.asset.code, network.asset.issuer) == ("BEET", HERE)
    assert network.rpc_urls == ("http://a", "http://b")
    assert "http://a" not in repr(network)


def test_mainnet_has_neither_a_url_nor_a_friendbot() -> None:
    with pytest.raises(ValueError, match="STELLAR_RPC_URLS or STELLAR_RPC_URL is required"):
        network_for("mainnet")
    assert network_for("mainnet", rpc_url="http://a").friendbot_url is None
    with pytest.raises(ValueError, match="URL"):
        network_for("mainnet", rpc_url="http://a,nonsense")


# Accounts


async def test_accounts_come_in_their_order_also_those_that_do_not_exist() -> None:
    shown = Shown({ledger_keys.account_key(HERE): ENTRY})
    ledger, states = await chain_of(shown).accounts([GONE, HERE])
    assert ledger == 100
    assert [(state.address, state.exists) for state in states] == [(GONE, False), (HERE, True)]
    assert len(shown.asked[0]) == 4


async def test_only_accounts_that_exist_have_numbers() -> None:
    shown = Shown({ledger_keys.account_key(HERE): ENTRY._replace(obeys=False)})
    chain = chain_of(shown)
    assert await chain.sequences([GONE, HERE]) == (100, {HERE: 11})
    expected = NumberState(sequence=11, obeys=False)
    assert await chain.numbers([GONE, HERE]) == (100, {HERE: expected})


async def test_who_signs_for_an_account_is_read_where_it_is_there() -> None:
    signers = AccountSigners(address=HERE, weights={HERE: 1}, medium=2)
    shown = Shown({ledger_keys.account_key(HERE): signers})
    chain = chain_of(shown)
    assert (await chain.signers(HERE), await chain.signers(GONE)) == (signers, None)
    assert shown.asked == [[ledger_keys.account_key(HERE)], [ledger_keys.account_key(GONE)]]


def test_nodes_agree_on_who_signs_whatever_the_order_in_which_they_tell() -> None:
    one = AccountSigners(address=HERE, weights={HERE: 1, GONE: 2}, medium=2)
    same = AccountSigners(address=HERE, weights={GONE: 2, HERE: 1}, medium=2)
    assert essence((100, {"key": one})) == essence((101, {"key": same}))
    for other in (
        replace(one, medium=1),
        replace(one, weights={HERE: 1}),
        replace(one, weights={HERE: 1, GONE: 1}),
    ):
        assert essence((100, {"key": one})) != essence((100, {"key": other}))
    assert hash(essence((100, {"key": one}))) is not None


async def test_a_destination_wants_a_memo_where_its_account_says_so() -> None:
    shown = Shown({ledger_keys.account_key(HERE): ENTRY, memo_key(HERE): True})
    found = await chain_of(shown).destinations([HERE, GONE])
    assert {key: item.wants_memo for key, item in found.items()} == {HERE: True, GONE: False}
    assert [found[key].account.exists for key in (HERE, GONE)] == [True, False]


@pytest.mark.parametrize(
    ("sequence", "used", "number", "expected"),
    [
        # The account's number and its ledger, the envelope's number, and the ledger of the use.
        (11, 90, 12, None),
        (11, 90, 11, 90),
        (11, 0, 11, 100),
        (12, 95, 11, 100),
    ],
)
async def test_the_ledger_that_used_a_number(
    sequence: int, used: int, number: int, expected: int | None
) -> None:
    entry = ENTRY._replace(sequence=sequence, used_ledger=used)
    chain = chain_of(Shown({ledger_keys.account_key(HERE): entry}))
    head = LedgerHead(sequence=100, close_time=1)
    assert await chain.ledger_of_use(source=HERE, sequence=number, head=head) == expected
    assert await chain.ledger_of_use(source=GONE, sequence=0, head=head) is None


async def test_a_number_read_at_an_older_ledger_proves_nothing() -> None:
    chain = chain_of(Shown({ledger_keys.account_key(HERE): ENTRY}))
    head = LedgerHead(sequence=101, close_time=1)
    with pytest.raises(StaleAnswerError, match="ledger 100 was read, 101 was shown before"):
        await chain.ledger_of_use(source=HERE, sequence=12, head=head)


@pytest.mark.parametrize(("status", "is_funded"), [(200, True), (201, False), (400, False)])
async def test_a_friendbot_funds_or_refuses(status: int, is_funded: bool) -> None:
    shown = Shown()
    shown.gets = {f"{NETWORK.friendbot_url}?addr={HERE}": status}
    assert await chain_of(shown).fund_by_friendbot(HERE) is is_funded


async def test_without_a_friendbot_nobody_is_funded() -> None:
    assert not await chain_of(Shown(), replace(NETWORK, friendbot_url=None)).fund_by_friendbot(HERE)


# Entries that live for a while


@pytest.mark.parametrize(("until", "is_there"), [(99, False), (100, True), (101, True)])
async def test_what_has_expired_is_not_there(until: int, is_there: bool) -> None:
    calls = chain_of(Shown()).farm_calls
    pail = PailState(sequence=9, stake=5, gap=None, zeros=None, live_until=until)
    shown = Shown(
        {
            ledger_keys.block_key(calls, 7): replace(BLOCK, live_until=until),
            ledger_keys.pail_key(calls, HERE, 7): pail,
        }
    )
    chain = chain_of(shown)
    assert (await chain.block(7) is not None) is is_there
    assert await chain.block(8) is None
    expected = {(HERE, 7): pail} if is_there else {}
    assert await chain.pails([(HERE, 7), (GONE, 7)]) == expected
    assert await chain.pails_at([(HERE, 7)]) == (100, expected)
    assert await chain.pail(HERE, 7) == expected.get((HERE, 7))


async def test_the_ledgers_left_to_entries() -> None:
    shown = Shown({"a": 99, "b": 100, "c": 130})
    assert await chain_of(shown).lives(["a", "b", "c", "d"]) == {"b": 0, "c": 30}
    assert await chain_of(shown).ends(["a", "d"]) == {"a": 99}


async def test_the_last_ledgers_of_farm_and_code() -> None:
    shown = Shown(farm_facts())
    chain = chain_of(shown)
    assert await chain.farm_ends() == (100, 500, 0)
    assert shown.asked[-1] == [INSTANCE]
    await chain.farm()
    assert await chain.farm_ends() == (100, 500, 600)
    shown.facts = {}
    assert await chain.farm_ends() == (100, 0, 0)


# Simulations and sending

CALL = chain_of(Shown()).farm_calls.harvest(farmer=HERE, index=7)
REFUSED = Refusal(
    error=ContractError(raiser="farm", code="PailMissing"), message="no pail", position=3
)


async def test_a_refusal_of_a_simulation_is_an_error_or_an_answer() -> None:
    shown = Shown()
    shown.says = REFUSED
    chain = chain_of(shown)
    assert await chain.refusal(alone(CALL), source=HERE) == REFUSED.error
    with pytest.raises(SimulationError, match="no pail") as caught:
        await chain.simulate_exactly(alone(CALL), source=HERE)
    assert (caught.value.error, caught.value.position) == (REFUSED.error, 3)


def needs(fee: int) -> Simulation:
    """What a call needs, for this fee."""
    resources = xdr.SorobanResources(
        xdr.LedgerFootprint([], []), xdr.Uint32(1000), xdr.Uint32(10), xdr.Uint32(10)
    )
    data = xdr.SorobanTransactionData(xdr.SorobanTransactionDataExt(0), resources, xdr.Int64(fee))
    return Simulation(data=data, fee=fee)


async def test_what_works_has_no_refusal() -> None:
    shown = Shown()
    shown.says = needs(10)
    assert await chain_of(shown).refusal(alone(CALL), source=HERE) is None


@pytest.mark.parametrize(
    ("fees", "expected"), [([10, 10, 10], 10), ([90, 10, 10], 10), ([10, 90, 10], 10)]
)
async def test_the_cost_of_a_call_is_not_one_nodes_word(fees: list[int], expected: int) -> None:
    nodes = Nodes(3)
    for node, fee in zip(nodes.all, fees, strict=True):
        node.answers = [needs(fee)]
    chain = Chain(NETWORK, nodes.endpoints)
    found = await chain.simulate_exactly(alone(CALL), source=HERE)
    assert found == exactly(needs(expected).data, expected)
    assert sum(nodes.asked) >= 3


async def test_of_two_nodes_each_counts() -> None:
    nodes = Nodes(2)
    for node in nodes.all:
        node.answers = [needs(10)]
    await Chain(NETWORK, nodes.endpoints).simulate_exactly(alone(CALL), source=HERE)
    assert nodes.asked == [2, 1]


async def test_the_only_node_is_asked_once_for_a_calls_needs() -> None:
    nodes = Nodes(1)
    nodes[0].answers = [needs(10)]
    await Chain(NETWORK, nodes.endpoints).simulate_exactly(alone(CALL), source=HERE)
    assert nodes.asked == [1]


async def test_envelopes_go_to_one_node_unless_widely() -> None:
    nodes = Nodes(2)
    chain = Chain(NETWORK, nodes.endpoints)
    assert await chain.send(["e"]) == [TAKEN]
    assert [len(node.lists) for node in nodes.all] == [1, 0]
    assert await chain.send(["e"], widely=True) == [TAKEN]
    assert [len(node.lists) for node in nodes.all] == [2, 1]
