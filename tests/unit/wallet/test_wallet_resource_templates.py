"""Shapes learned from recorded simulations, and results found in recorded metas."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from stellar_sdk import Address, Keypair, StrKey, scval, xdr

from services.wallet.chain.build.calls import Farm, FarmCall
from services.wallet.chain.build.resource_templates import (
    FIRST_ALIKE,
    RESOURCE_FEE_MARGIN,
    CarriedCall,
    ResourceTemplate,
    Role,
    TemplateReader,
    UnderivableError,
    exactly,
    opening_template,
)
from services.wallet.chain.errors import UnknownAnswerError
from services.wallet.chain.read.return_values import _decoded, returned
from services.wallet.domain.chain_facts import CallResult

RECORDINGS = Path(__file__).parents[2] / "vectors" / "recordings"
FARM_ID = "CC2V3ZQ3FIBPRT5D5SL7NBH6JLLK3YENWIKN6GGMXEA2BKKA7V5HSID3"


def recorded(name: str) -> dict[str, Any]:
    """The result in a recorded answer."""
    body = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    result: dict[str, Any] = body["response"]["result"]
    return result


def trustline() -> xdr.LedgerKeyTrustLine:
    """The recordings' KALE trustline."""
    (entry,) = recorded("entries_trustline")["entries"]
    found = xdr.LedgerKey.from_xdr(entry["key"]).trust_line
    assert found is not None
    return found


def farm() -> Farm:
    """The recordings' farm; the token's id does not matter here."""
    return Farm(farm=FARM_ID, token=StrKey.encode_contract(bytes(32)))


def reader() -> TemplateReader:
    """For the recordings' farm and asset."""
    return TemplateReader(farm(), asset=trustline().asset.to_xdr_bytes())


def simulated(name: str) -> tuple[xdr.SorobanTransactionData, int]:
    """Footprint, resources and fee of a recorded simulation."""
    answer = recorded(name)
    data = xdr.SorobanTransactionData.from_xdr(answer["transactionData"])
    return data, int(answer["minResourceFee"])


def carried(name: str) -> xdr.SorobanTransactionData:
    """The resources that a recorded transaction declared."""
    body = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    envelope = xdr.TransactionEnvelope.from_xdr(body["response"]["result"]["envelopeXdr"])
    assert envelope.v1 is not None
    assert envelope.v1.tx.ext.soroban_data is not None
    return envelope.v1.tx.ext.soroban_data


def farmers_in(data: xdr.SorobanTransactionData) -> list[str]:
    """Whose pails a footprint names, in order."""
    pails = [
        key.contract_data.key.vec.sc_vec
        for key in data.resources.footprint.read_write
        if key.contract_data is not None and key.contract_data.key.vec is not None
    ]
    return [
        Address.from_xdr_sc_address(item[1].address).address
        for item in pails
        if item[0] == scval.to_symbol("Pail") and item[1].address is not None
    ]


def nonces_in(data: xdr.SorobanTransactionData) -> dict[bytes, int]:
    """Nonces of the authorisations by the account's raw key."""
    found = {}
    for key in data.resources.footprint.read_write:
        entry = key.contract_data
        if entry is not None and entry.key.nonce_key is not None and entry.contract.account_id:
            raw = entry.contract.account_id.account_id.ed25519
            assert raw is not None
            found[raw.uint256] = entry.key.nonce_key.nonce.int64
    return found


def call(name: str, farmer: str, index: int) -> FarmCall:
    """A call of the kind that a recording is about."""
    if "work" in name:
        return farm().work(farmer=farmer, index=index, work_hash=bytes(32), nonce=1)
    if "harvest" in name:
        return farm().harvest(farmer=farmer, index=index)
    return farm().plant(farmer=farmer, index=index, stake=5)


def carried_calls_of(name: str, data: xdr.SorobanTransactionData) -> list[CarriedCall]:
    """The calls of a recorded simulation; all recordings are about block 1."""
    nonces = nonces_in(data)
    calls = [call(name, farmer, 1) for farmer in farmers_in(data)]
    return [CarriedCall(call=item, nonce=nonces.get(item.key)) for item in calls]


def keys(data: xdr.SorobanTransactionData) -> tuple[set[bytes], set[bytes]]:
    """What is read and what is written."""
    footprint = data.resources.footprint
    return (
        {key.to_xdr_bytes() for key in footprint.read_only},
        {key.to_xdr_bytes() for key in footprint.read_write},
    )


NAMES = (
    "simulate_plant_first_of_block_farmer_source",
    "simulate_plant_stake_farmer_source",
    "simulate_work_pool_pays",
    "simulate_harvest_pool_pays",
    "simulate_router_plant_25_enforcing",
    "simulate_router_work_25",
    "simulate_router_harvest_25",
)


def learned(name: str) -> tuple[ResourceTemplate, list[CarriedCall], xdr.SorobanTransactionData]:
    """The template of a recording."""
    data, fee = simulated(name)
    carried_calls = carried_calls_of(name, data)
    assert carried_calls
    return reader().learn(data, fee, carried_calls), carried_calls, data


@pytest.mark.parametrize("name", NAMES)
def test_a_shape_gives_back_what_it_was_learned_from(name: str) -> None:
    template, carried_calls, data = learned(name)
    resources = reader().apply(template, carried_calls)
    read, written = keys(data)
    assert (set(resources.read_only), set(resources.read_write)) == (read, written)
    assert (len(resources.read_only), len(resources.read_write)) == (len(read), len(written))
    assert resources.fee == simulated(name)[1] + RESOURCE_FEE_MARGIN
    assert resources.instructions == data.resources.instructions.uint32
    assert resources.write_bytes == exactly(data, 0).write_bytes


@pytest.mark.parametrize("name", NAMES)
def test_other_farmers_and_another_block_change_their_entries_only(name: str) -> None:
    template, carried_calls, data = learned(name)
    others = [
        CarriedCall(
            call=call(name, Keypair.random().public_key, 8),
            nonce=None if carried_call.nonce is None else carried_call.nonce + 1,
        )
        for carried_call in carried_calls
    ]
    resources = reader().apply(template, others)
    before, after = set().union(*keys(data)), {*resources.read_only, *resources.read_write}
    kept = before & after
    mine = [carried_call.call.key for carried_call in carried_calls]
    assert not any(key in entry for entry in after for key in mine)
    slots = {*template.read_only, *template.read_write}
    assert kept == {slot.key for slot in slots if slot.role is Role.FIXED}
    assert len(after) == len(before)


def test_the_opening_plant_reads_the_block_before() -> None:
    template, _, _ = learned("simulate_plant_first_of_block_farmer_source")
    assert Role.PREVIOUS_BLOCK in {slot.role for slot in template.read_only}
    assert Role.BLOCK in {slot.role for slot in template.read_write}


def test_what_opens_a_block_is_derived_as_the_network_has_it() -> None:
    """Of the recordings, one plant is for block 3, and one opens block 4."""
    found, fee = simulated("simulate_plant_first_of_block")
    plain = carried("get_tx_plant_stale_footprint")
    expected = reader().learn(
        found, fee, [CarriedCall(call=call("plant", farmers_in(found)[0], 4))]
    )
    carried_call = CarriedCall(call=call("plant", farmers_in(plain)[0], 3))
    derived = opening_template(
        reader().learn(plain, simulated("simulate_plant")[1], [carried_call])
    )
    assert set(derived.read_only) == set(expected.read_only)
    assert set(derived.read_write) == set(expected.read_write)
    assert 0 <= derived.instructions - expected.instructions < 1_000
    assert derived.write_bytes == expected.write_bytes
    # What the opening one pays, without the margin that both have.
    assert derived.resource_fee >= fee


def test_an_entry_of_the_farmers_that_no_rule_explains() -> None:
    """Derived it would be wrong for everybody else."""
    data, fee = simulated("simulate_plant_stake_farmer_source")
    (farmer,) = farmers_in(data)
    carried_call = CarriedCall(
        call=call("plant", farmer, 2)
    )  # the pail of block 1 is not this call's
    with pytest.raises(UnderivableError):
        reader().learn(data, fee, [carried_call])


@pytest.mark.parametrize(
    ("name", "function", "count"),
    [
        ("get_tx_plant_success", "plant", 1),
        ("get_tx_work_success", "work", 1),
        ("get_tx_work_pool_pays_success", "work", 1),
        ("get_tx_harvest_success", "harvest", 1),
        ("get_tx_fee_bump_success", "plant", 1),
    ],
)
def test_results_are_found_where_they_are_decoded(name: str, function: str, count: int) -> None:
    answer = recorded(name)
    whole = _decoded(base64.b64decode(answer["resultMetaXdr"]), [function] * count)
    assert returned(answer, [function] * count) == whole
    # Without the events' lengths it cannot be found at the end, and is decoded as a whole.
    assert returned({**answer, "events": {}}, [function] * count) == whole


def test_an_error_in_a_list_of_results() -> None:
    """A multicall's list with a token's error for a plant: the others stand."""
    error = xdr.SCVal(
        xdr.SCValType.SCV_ERROR,
        error=xdr.SCError(xdr.SCErrorType.SCE_CONTRACT, contract_code=xdr.Uint32(10)),
    )
    void = xdr.SCVal(xdr.SCValType.SCV_VOID)
    meta = xdr.TransactionMeta.from_xdr(recorded("get_tx_plant_success")["resultMetaXdr"])
    assert meta.v4 is not None
    assert meta.v4.soroban_meta is not None
    meta.v4.soroban_meta.return_value = xdr.SCVal(
        xdr.SCValType.SCV_VEC, vec=xdr.SCVec([void, error])
    )
    answer = {**recorded("get_tx_plant_success"), "resultMetaXdr": meta.to_xdr()}
    good, bad = returned(answer, ["plant", "plant"])
    assert good == CallResult()
    assert bad.error is not None
    assert (bad.error.raiser, bad.error.code) == ("token", "BalanceError")
    # A harvest may end in the farm's number, too; but what is carried together was worked, and an
    # end for good ("not worked") must not rest on a number that two contracts have.
    (_, harvest) = returned(answer, ["plant", "harvest"])
    assert harvest.error is not None
    assert (harvest.error.raiser, harvest.error.code) == ("token", "BalanceError")


def test_no_calls_and_no_words() -> None:
    assert returned(recorded("get_tx_success"), []) == ()
    with pytest.raises(UnknownAnswerError):
        returned({"resultMetaXdr": "AAAAYw=="}, ["plant"])


def test_the_margins_are_those_that_were_measured() -> None:
    data, fee = simulated("simulate_plant")
    assert exactly(data, fee).fee == fee + 15_000
    template, _, _ = learned("simulate_work_pool_pays")
    assert opening_template(template).instructions == template.instructions + 33_000
    # Before block 2 the farm's instance is shorter.
    assert FIRST_ALIKE == 2


@pytest.mark.parametrize("role", Role)
def test_roles_are_named_for_people(role: Role) -> None:
    assert role.value == role.name.lower().replace("_", " ")


def test_a_template_with_a_nonce_does_not_serve_a_call_without_one() -> None:
    template, carried_calls, _ = learned("simulate_router_plant_25_enforcing")
    bare = [CarriedCall(call=item.call) for item in carried_calls]
    with pytest.raises(UnderivableError, match=f"nonce of {bare[0].call.farmer}"):
        reader().apply(template, bare)


@pytest.mark.parametrize("index", [0, 1])
def test_the_first_block_has_none_before_it(index: int) -> None:
    """A call of block 0 knows no entry of a block before; one of block 1 does."""
    data, fee = simulated("simulate_plant")
    before = xdr.LedgerKey.from_xdr_bytes(farm().block_key(0))
    data.resources.footprint = xdr.LedgerFootprint(read_only=[before], read_write=[])
    carried_call = CarriedCall(call=call("plant", Keypair.random().public_key, index))
    (slot,) = reader().learn(data, fee, [carried_call]).read_only
    assert slot.role is (Role.PREVIOUS_BLOCK if index else Role.BLOCK)


def test_an_entry_of_any_of_several_farmers_needs_a_rule() -> None:
    data, fee = simulated("simulate_plant_stake_farmer_source")
    (farmer,) = farmers_in(data)
    other = CarriedCall(call=call("plant", Keypair.random().public_key, 2))
    mine = CarriedCall(call=call("plant", farmer, 2))  # the recorded pail is of block 1
    for carried_calls in ([mine, other], [other, mine]):
        with pytest.raises(UnderivableError):
            reader().learn(data, fee, carried_calls)
