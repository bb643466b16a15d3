"""The token, the router and the farm's upgrade, where no vector and no recording tells."""

import pytest
from stellar_sdk import StrKey, scval, xdr

from localnet.soroban.errors import describe
from localnet.soroban.model import Footprint, InvocationResult
from localnet.soroban.modules import HEAD_FARM_CODE, OLD_BUILD
from localnet.soroban.storage import code_key, instance_key
from localnet.soroban.values import symbol, vector
from tests.unit.localnet_soroban.genesis_world import (
    FARM,
    ISSUER,
    ROUTER,
    TOKEN,
    Contracts,
    keypair,
    plant_arguments,
)

ALICE, BOB = keypair("alice"), keypair("bob")
TITLE = f"KALE:{ISSUER}"


def failure(result: InvocationResult) -> str:
    """The error."""
    assert result.error is not None
    return describe(result.error)


def two_accounts(bob_flags: int = 1) -> Contracts:
    """Alice has 100, Bob nothing."""
    contracts = Contracts()
    contracts.add_trustline(ALICE, 100)
    contracts.add_trustline(BOB, 0, limit=50, flags=bob_flags)
    return contracts


def transfer(contracts: Contracts, sender: str, receiver: str, amount: int) -> InvocationResult:
    """transfer(sender, receiver, amount) by the sender."""
    arguments = [scval.to_address(sender), scval.to_address(receiver), scval.to_int128(amount)]
    return contracts.call(TOKEN, "transfer", arguments, source=sender)


def told(result: InvocationResult) -> list[object]:
    """Topics and data of the one event."""
    (event,) = result.events
    assert event.body.v0 is not None
    topics = [scval.to_native(topic) for topic in event.body.v0.topics]
    words = [getattr(topic, "address", topic) for topic in topics]
    return [*words, scval.to_native(event.body.v0.data)]


# ------------------------------------------------------------------ token


def test_transfer() -> None:
    contracts = two_accounts()
    result = transfer(contracts, ALICE.public_key, BOB.public_key, 30)
    assert (contracts.balance(ALICE), contracts.balance(BOB)) == (70, 30)
    assert told(result) == ["transfer", ALICE.public_key, BOB.public_key, TITLE, 30]


def test_what_the_issuer_sends_is_minted_and_what_it_gets_is_burnt() -> None:
    contracts = two_accounts()
    result = transfer(contracts, ISSUER, BOB.public_key, 5)
    assert told(result) == ["mint", BOB.public_key, TITLE, 5]
    result = transfer(contracts, ALICE.public_key, ISSUER, 7)
    assert told(result) == ["burn", ALICE.public_key, TITLE, 7]
    assert (contracts.balance(ALICE), contracts.balance(BOB)) == (93, 5)


def test_a_muxed_receiver_is_its_account() -> None:
    contracts = two_accounts()
    muxed = xdr.SCAddress(
        xdr.SCAddressType.SC_ADDRESS_TYPE_MUXED_ACCOUNT,
        muxed_account=xdr.MuxedEd25519Account(
            id=xdr.Uint64(77), ed25519=xdr.Uint256(BOB.raw_public_key())
        ),
    )
    receiver = xdr.SCVal(xdr.SCValType.SCV_ADDRESS, address=muxed)
    arguments = [scval.to_address(ALICE.public_key), receiver, scval.to_int128(30)]
    result = contracts.call(TOKEN, "transfer", arguments, source=ALICE.public_key)
    assert contracts.balance(BOB) == 30
    data = {"amount": 30, "to_muxed_id": 77}
    assert told(result) == ["transfer", ALICE.public_key, BOB.public_key, TITLE, data]


@pytest.mark.parametrize(
    ("amount", "flags", "error"),
    [(-1, 1, 8), (101, 1, 10), (51, 1, 10), (1, 0, 11), (2**63, 1, 12)],
    ids=["negative", "balance", "limit", "deauthorised", "too large"],
)
def test_transfers_that_fail(amount: int, flags: int, error: int) -> None:
    contracts = two_accounts(flags)
    result = transfer(contracts, ALICE.public_key, BOB.public_key, amount)
    assert failure(result) == f"Error(Contract, #{error})"
    assert not result.events
    assert (contracts.balance(ALICE), contracts.balance(BOB)) == (100, 0)


def test_a_receiver_without_a_trustline() -> None:
    result = transfer(two_accounts(), ALICE.public_key, keypair("nobody").public_key, 1)
    assert failure(result) == "Error(Contract, #13)"


def test_contracts_hold_balances_of_their_own() -> None:
    contracts = two_accounts()
    holder = StrKey.encode_contract(bytes(31) + b"\x01")
    assert transfer(contracts, ALICE.public_key, holder, 40).ok
    result = contracts.call(TOKEN, "balance", [scval.to_address(holder)])
    assert result.value == scval.to_int128(40)


def test_the_issuer_neither_burns_nor_gets_minted() -> None:
    contracts = Contracts()
    for name, source in (("burn", ISSUER), ("mint", FARM)):
        result = contracts.call(TOKEN, name, plant_arguments(ISSUER, 5), source=source)
        assert failure(result) == "Error(Contract, #2)"


def test_what_the_token_says_of_itself() -> None:
    contracts = Contracts()
    for name, value in (
        ("decimals", scval.to_uint32(7)),
        ("name", scval.to_string(TITLE)),
        ("symbol", scval.to_string("KALE")),
        ("admin", scval.to_address(FARM)),
    ):
        assert contracts.call(TOKEN, name, []).value == value


# ------------------------------------------------------------------ router


def through_router(
    contracts: Contracts, function: str, *calls: xdr.SCVal, footprint: Footprint | None = None
) -> InvocationResult:
    """exec or exec_each of some calls."""
    return contracts.call(ROUTER, function, [vector(*calls)], footprint=footprint, keep=False)


def call(contract: str, function: str, *arguments: xdr.SCVal) -> xdr.SCVal:
    """One entry of a router's list."""
    return vector(scval.to_address(contract), symbol(function), vector(*arguments))


def plants(count: int) -> list[xdr.SCVal]:
    """Plants of as many farmers."""
    farmers = [keypair(f"farmer {n}").public_key for n in range(count)]
    return [call(FARM, "plant", *plant_arguments(farmer)) for farmer in farmers]


DECIMALS = call(TOKEN, "decimals")
#: Calls that fail, and how.
FAILING = {
    "re-entry": (call(ROUTER, "exec_each", vector()), "Error(Context, InvalidAction)"),
    "reserved": (call(FARM, "__constructor"), "Error(Context, InvalidAction)"),
    "no function": (call(FARM, "nothing"), "Error(WasmVm, MissingValue)"),
    "no contract": (
        call(StrKey.encode_contract(bytes(32)), "nothing"),
        "Error(Storage, MissingValue)",
    ),
    "negative stake": (
        call(FARM, "plant", *plant_arguments(ALICE.public_key, -1)),
        "Error(Contract, #6)",
    ),
}


@pytest.mark.parametrize("why", FAILING)
def test_a_call_that_fails_leaves_the_others(why: str) -> None:
    failing, _ = FAILING[why]
    result = through_router(Contracts(), "exec_each", DECIMALS, failing, DECIMALS)
    assert result.value == vector(*map(scval.to_bool, (True, False, True)))


@pytest.mark.parametrize("why", FAILING)
def test_exec_fails_with_its_first_failure(why: str) -> None:
    failing, error = FAILING[why]
    assert failure(through_router(Contracts(), "exec", DECIMALS, failing, DECIMALS)) == error


def test_an_entry_outside_of_the_footprint_fails_the_whole_list() -> None:
    contracts = Contracts()
    known = through_router(contracts, "exec_each", DECIMALS).footprint
    result = through_router(contracts, "exec_each", DECIMALS, *plants(1), footprint=known)
    assert failure(result) == "Error(Storage, ExceededLimit)"


def test_memory_ends_before_the_twenty_eighth_plant() -> None:
    contracts = Contracts()
    assert through_router(contracts, "exec_each", *plants(27)).ok
    result = through_router(contracts, "exec_each", *plants(28))
    assert failure(result) == "Error(Budget, ExceededLimit)"


# ------------------------------------------------------------------ the farm's admin


def upgrade(contracts: Contracts, code: bytes) -> InvocationResult:
    """upgrade(code) by the issuer, who is the farm's admin."""
    return contracts.call(FARM, "upgrade", [scval.to_bytes(code)], source=ISSUER)


def code_of_farm(contracts: Contracts) -> bytes:
    """The hash of the farm's code."""
    data = contracts.entries[instance_key(FARM).raw].entry.data.contract_data
    assert data is not None
    assert data.val.instance is not None
    assert data.val.instance.executable.wasm_hash is not None
    return data.val.instance.executable.wasm_hash.hash


def test_only_an_upgrade_wakes_a_paused_farm_of_the_older_build() -> None:
    contracts = Contracts()
    assert contracts.call(FARM, "pause", [], source=ISSUER).ok
    assert failure(contracts.call(FARM, "unpause", [], source=ISSUER)) == "Error(Contract, #5)"
    assert upgrade(contracts, HEAD_FARM_CODE).ok
    assert code_of_farm(contracts) == HEAD_FARM_CODE
    assert failure(contracts.plant(ALICE.public_key)) == "Error(Contract, #4)"
    assert contracts.call(FARM, "unpause", [], source=ISSUER).ok
    assert contracts.plant(ALICE.public_key).ok


def test_an_upgrade_tells_and_renews() -> None:
    contracts = Contracts()
    contracts.at(1000 + 120_960, 5)
    result = upgrade(contracts, HEAD_FARM_CODE)
    (event,) = result.events
    assert event.type is xdr.ContractEventType.SYSTEM
    assert event.body.v0 is not None
    old, new = (
        vector(symbol("Wasm"), scval.to_bytes(code)) for code in (OLD_BUILD, HEAD_FARM_CODE)
    )
    assert event.body.v0.topics == [symbol("executable_update"), old, new]
    lives = {change.key: change.after.live_until for change in result.changes if change.after}
    longest = contracts.ledger.sequence + 3_110_400 - 1
    assert lives == {instance_key(FARM).raw: longest, code_key(HEAD_FARM_CODE).raw: longest}


def test_upgrades_that_fail() -> None:
    contracts = Contracts()
    assert failure(upgrade(contracts, bytes(32))) == "Error(Storage, MissingValue)"
    assert failure(upgrade(contracts, b"short")) == "Error(WasmVm, InvalidAction)"
    arguments = [scval.to_bytes(HEAD_FARM_CODE)]
    result = contracts.call(FARM, "upgrade", arguments, source=ISSUER, mode="enforce")
    assert failure(result) == "Error(Auth, InvalidAction)"
    assert code_of_farm(contracts) == OLD_BUILD


def test_the_build_can_be_chosen() -> None:
    contracts = Contracts(farm_code=HEAD_FARM_CODE)
    assert contracts.call(FARM, "pause", [], source=ISSUER).ok
    assert contracts.call(FARM, "unpause", [], source=ISSUER).ok
