"""The wallet's way to Stellar against recordings of a real network, and envelopes that it signs."""

import asyncio
import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from stellar_sdk import (
    FeeBumpTransactionEnvelope,
    Keypair,
    StrKey,
    TransactionEnvelope,
    scval,
    xdr,
)

from localnet.ledger.results import TxCode, TxOutcome, fee_bump_result
from services.wallet.chain.build.calls import Farm
from services.wallet.chain.build.envelopes import (
    bid_in,
    raise_bid,
    replacing_bid,
    sign_bumped,
    sign_direct,
)
from services.wallet.chain.build.ledger_keys import block_key, code_key
from services.wallet.chain.build.loads import alone
from services.wallet.chain.build.onboarding import Newcomer, sign_onboarding
from services.wallet.chain.build.resource_templates import exactly
from services.wallet.chain.build.wire import Resources
from services.wallet.chain.errors import (
    FeeCapExceededError,
    NetworkMismatchError,
)
from services.wallet.chain.facade import Chain
from services.wallet.chain.networks import network_for, verify
from services.wallet.chain.node.fields import head_of
from services.wallet.chain.node.ledger_entries import Entry, Reader, entries_question
from services.wallet.chain.node.rpc import Rpc
from services.wallet.chain.node.transaction_results import send_result
from services.wallet.chain.read.account_bytes import read_account, read_trustline
from services.wallet.chain.read.entries import account_state, decode_block, decode_farm, decode_pail
from services.wallet.chain.read.readers import read_block
from services.wallet.chain.read.record_bytes import read_record
from services.wallet.chain.read.results import ResultReader
from services.wallet.domain.bids import Bid
from services.wallet.domain.chain_facts import (
    Outcome,
    OutcomeStatus,
    PailState,
    SendStatus,
    SignedEnvelope,
)
from services.wallet.keys.signer import SeedSigner

T = TypeVar("T")

RECORDINGS = Path(__file__).parents[2] / "vectors" / "recordings"
FARM = "CC2V3ZQ3FIBPRT5D5SL7NBH6JLLK3YENWIKN6GGMXEA2BKKA7V5HSID3"
PASSPHRASE = "Standalone Network ; February 2017"
NETWORK = network_for("localnet", passphrase=PASSPHRASE)


def recorded(name: str) -> dict[str, Any]:
    """The result in a recorded answer."""
    body = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    result: dict[str, Any] = body["response"]["result"]
    return result


def entry(name: str) -> dict[str, Any]:
    """The only ledger entry in a recorded answer."""
    (found,) = recorded(name)["entries"]
    result: dict[str, Any] = found
    return result


def data(name: str) -> xdr.LedgerEntryData:
    """That entry's data."""
    return xdr.LedgerEntryData.from_xdr(entry(name)["xdr"])


def pail(name: str) -> PailState:
    """A recorded pail."""
    found = entry(name)
    data, key = base64.b64decode(found["xdr"]), base64.b64decode(found["key"])
    return decode_pail(data, key=key, live_until=9)


def token() -> str:
    """Contract id of the recordings' token."""
    found = data("entries_sac_instance").contract_data
    assert found is not None
    assert found.contract.contract_id is not None
    return StrKey.encode_contract(found.contract.contract_id.contract_id.hash)


@pytest.fixture(scope="module")
def reader() -> ResultReader:
    return ResultReader(farm=FARM, token=token())


# Answers


def outcome_of(reader: ResultReader, answer: dict[str, Any], function: str = "plant") -> Outcome:
    """What a recorded answer of getTransaction says of a transaction with one call."""
    return reader.outcome(answer, head_of(answer), [function])


@pytest.mark.parametrize(
    ("name", "function", "value"),
    [
        ("get_tx_plant_success", "plant", None),
        ("get_tx_plant_first_of_block", "plant", None),
        ("get_tx_fee_bump_success", "plant", None),
        ("get_tx_work_success", "work", 112 - 108),
        ("get_tx_harvest_success", "harvest", 927_777_777),
    ],
)
def test_included_and_worked(
    reader: ResultReader, name: str, function: str, value: int | None
) -> None:
    answer = recorded(name)
    outcome = outcome_of(reader, answer, function)
    assert (outcome.status, outcome.error) == (OutcomeStatus.SUCCESS, None)
    assert outcome.ledger == answer["ledger"]
    assert outcome.head.sequence == answer["latestLedger"]
    result = xdr.TransactionResult.from_xdr(answer["resultXdr"])
    assert outcome.fee_charged == result.fee_charged.int64
    assert [result.value for result in outcome.results] == [value]


@pytest.mark.parametrize(
    ("name", "raiser", "code"),
    [
        ("get_tx_failed_pail_exists", "farm", "PailExists"),
        ("get_tx_plant_stale_footprint", "host", "Storage/ExceededLimit"),
        ("get_tx_failed_footprint", "host", "Storage/ExceededLimit"),
    ],
)
def test_included_and_failed(reader: ResultReader, name: str, raiser: str, code: str) -> None:
    outcome = outcome_of(reader, recorded(name))
    assert outcome.status is OutcomeStatus.FAILED
    assert outcome.error is not None
    assert (outcome.error.raiser, outcome.error.code) == (raiser, code)
    assert outcome.fee_charged > 0


@pytest.mark.parametrize("name", ["get_tx_not_found", "get_tx_pending_not_found"])
def test_not_seen(reader: ResultReader, name: str) -> None:
    outcome = outcome_of(reader, recorded(name))
    assert outcome.status is OutcomeStatus.NOT_FOUND
    assert outcome.head.oldest > 0


def test_an_unknown_meta_tells_the_ledger_and_the_price_and_nothing_else(
    reader: ResultReader,
) -> None:
    """A version that does not exist yet must never be taken for a failure."""
    answer = recorded("get_tx_work_success")
    known = outcome_of(reader, answer, "work")
    outcome = outcome_of(reader, answer | {"resultMetaXdr": "AAAAYw=="}, "work")
    assert outcome.status is OutcomeStatus.UNKNOWN
    assert (outcome.ledger, outcome.fee_charged) == (known.ledger, known.fee_charged)
    assert (outcome.results, outcome.error) == ((), None)
    assert "version of result meta" in outcome.unknown


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("send_pending", SendStatus.PENDING, None),
        ("send_duplicate", SendStatus.DUPLICATE, None),
        ("send_again_after_success", SendStatus.TRY_AGAIN_LATER, None),
        ("send_try_again_later", SendStatus.TRY_AGAIN_LATER, None),
        ("send_error_bad_seq", SendStatus.ERROR, "txBAD_SEQ"),
        ("send_error_too_late", SendStatus.ERROR, "txTOO_LATE"),
        ("send_error_queue_full_insufficient_fee", SendStatus.ERROR, "txINSUFFICIENT_FEE"),
        ("send_error_no_soroban_data", SendStatus.ERROR, "txMALFORMED"),
        ("send_error_resource_fee_low", SendStatus.ERROR, "txSOROBAN_INVALID"),
        ("send_error_no_account", SendStatus.ERROR, "txNO_ACCOUNT"),
    ],
)
def test_answers_of_a_send(name: str, status: SendStatus, code: str | None) -> None:
    result = send_result(recorded(name))
    assert (result.status, result.code) == (status, code)
    assert (result.required_fee is not None) == (code == "txINSUFFICIENT_FEE")


@pytest.mark.parametrize("code", [TxCode.txBAD_SEQ, TxCode.txTOO_LATE, TxCode.txINSUFFICIENT_FEE])
def test_a_refused_fee_bump_tells_what_is_wrong_inside(code: TxCode) -> None:
    """An own refusal of its fee is another thing: only that one asks for a higher bid."""
    text = base64.b64encode(
        fee_bump_result(300, TxOutcome(code=code), inner_hash=bytes(32), inner_fee=100)
    ).decode()
    result = send_result({"status": "ERROR", "errorResultXdr": text})
    assert (result.code, result.required_fee) == (code.name, None)


@pytest.mark.parametrize("answer", [{}, {"errorResultXdr": None}, {"errorResultXdr": "AAAA"}])
def test_a_refusal_that_cannot_be_read_stays_a_refusal(answer: dict[str, str | None]) -> None:
    result = send_result({"status": "ERROR", **answer})
    assert (result.status, result.code, result.required_fee) == (SendStatus.ERROR, None, None)


@pytest.mark.parametrize(
    ("name", "raiser", "code"),
    [
        ("simulate_plant_err_pail_exists", "farm", "PailExists"),
        ("simulate_plant_err_paused", "farm", "FarmPaused"),
        ("simulate_work_err_hash_invalid", "farm", "HashInvalid"),
        ("simulate_work_err_pail_missing", "farm", "PailMissing"),
        ("simulate_work_next_after_plant", "farm", "GapCountTooLow"),
        ("simulate_harvest_err_not_ready", "farm", "HarvestNotReady"),
        ("simulate_harvest_err_work_missing_closed", "farm", "WorkMissing"),
        ("simulate_no_such_function", "host", "WasmVm/MissingValue"),
    ],
)
def test_refused_simulations(reader: ResultReader, name: str, raiser: str, code: str) -> None:
    error = reader.simulation_error(recorded(name))
    assert (error.raiser, error.code) == (raiser, code)


def test_a_refusal_without_events_is_read_from_its_words(reader: ResultReader) -> None:
    error = reader.simulation_error({"error": "HostError: Error(Storage, ExceededLimit)\n"})
    assert (error.raiser, error.code) == ("host", "Storage/ExceededLimit")


# Entries


def test_an_account_with_a_trustline() -> None:
    account = data("entries_account")
    line = read_trustline(data("entries_trustline").to_xdr_bytes())
    state = account_state("G", read_account(account.to_xdr_bytes()), line)
    assert account.account is not None
    assert (state.exists, state.has_trustline) == (True, True)
    assert state.xlm == account.account.balance.int64
    assert state.sequence == account.account.seq_num.sequence_number.int64


def test_what_does_not_exist() -> None:
    assert not account_state("G", None, None).exists
    half = account_state("G", read_account(data("entries_account").to_xdr_bytes()), None)
    assert (half.exists, half.has_trustline, half.kale) == (True, False, 0)


def test_the_farm_and_its_records() -> None:
    farm, index = decode_farm(data("entries_contract_instance"))
    assert farm.index == index
    assert farm.token == token()
    assert len(bytes.fromhex(farm.code_hash)) == 32
    block = decode_block(index, data("entries_block"), live_until=9, modified=8)
    assert len(block.entropy) == 32
    found = entry("entries_block")
    key, raw = base64.b64decode(found["key"]), base64.b64decode(found["xdr"])
    assert read_record(raw, key) is not None
    assert read_block(index, Entry(key=key, data=raw, modified=8, live_until=9)) == block
    assert block.max_gap >= block.min_gap
    planted, worked = pail("entries_pail_planted"), pail("entries_pail_worked")
    assert (planted.gap, planted.zeros) == (None, None)
    assert worked.gap == 112 - 108
    assert worked.zeros is not None
    assert worked.sequence == planted.sequence == 108


INSTANCE = "entries_contract_instance"


class Shown:
    """An endpoint that shows the recorded farm, with the recorded block as whichever is running."""

    def __init__(self) -> None:
        self.running = 0
        #: Keys of each request.
        self.asked: list[list[str]] = []

    async def entries(self, readers: Mapping[str, Reader[T]]) -> tuple[int, dict[str, T]]:
        """As an endpoint's."""
        self.asked.append(list(readers))
        await asyncio.sleep(0)  # others are asking meanwhile
        instance, block = entry(INSTANCE), entry("entries_block")
        running = xdr.LedgerEntryData.from_xdr(instance["xdr"])
        set_index(running, self.running)
        key = block_key(Farm(farm=FARM, token=token()), self.running)
        code_hash = decode_farm(running)[0].code_hash
        there = {
            instance["key"]: instance | {"xdr": running.to_xdr()},
            key: block | {"xdr": moved(block["xdr"], key)},
            code_key(code_hash): {
                "xdr": code_entry(code_hash),
                "lastModifiedLedgerSeq": 1,
                "liveUntilLedgerSeq": 777,
            },
        }
        found = [item | {"key": key} for key, item in there.items() if key in readers]
        return entries_question(readers).decode({"latestLedger": 120, "entries": found})


def code_entry(code_hash: str) -> str:
    """An entry of a contract's code, without the code."""
    code = xdr.ContractCodeEntry(
        ext=xdr.ContractCodeEntryExt(v=0), hash=xdr.Hash(bytes.fromhex(code_hash)), code=b""
    )
    kind = xdr.LedgerEntryType.CONTRACT_CODE
    return xdr.LedgerEntryData(kind, contract_code=code).to_xdr()


def moved(text: str, key: str) -> str:
    """An entry of a contract's under another key of it."""
    data, place = xdr.LedgerEntryData.from_xdr(text), xdr.LedgerKey.from_xdr(key)
    assert data.contract_data is not None
    assert place.contract_data is not None
    data.contract_data.key = place.contract_data.key
    return data.to_xdr()


def set_index(instance: xdr.LedgerEntryData, index: int) -> None:
    """Makes the farm's running block another one."""
    assert instance.contract_data is not None
    assert instance.contract_data.val.instance is not None
    storage = instance.contract_data.val.instance.storage
    assert storage is not None
    name = scval.to_vec([scval.to_symbol("FarmIndex")])
    others = [item for item in storage.sc_map if item.key != name]
    storage.sc_map = [*others, xdr.SCMapEntry(name, scval.to_uint32(index))]


async def test_the_farm_and_its_block_are_of_one_answer() -> None:
    shown = Shown()
    chain = Chain(network_for("localnet", farm=FARM), cast(Rpc, shown))
    for running, requests in ((0, 2), (0, 1), (1, 2), (1, 1), (7, 2)):
        shown.running, shown.asked = running, []
        farm = await chain.farm()
        assert farm is not None
        assert farm.block is not None
        assert farm.index == farm.block.index == running
        # With the lives of both, as whoever calls the farm may have to pay for them.
        assert (farm.instance_until, farm.code_until) == (
            entry(INSTANCE)["liveUntilLedgerSeq"],
            777,
        )
        # The block that was running before is the best guess, and the code is what it was.
        assert len(shown.asked) == requests


async def test_two_who_read_the_farm_while_a_block_begins() -> None:
    shown = Shown()
    chain = Chain(network_for("localnet", farm=FARM), cast(Rpc, shown))
    shown.running = 3
    found = await asyncio.gather(*(chain.farm() for _ in range(5)))
    assert [farm and farm.block and farm.block.index for farm in found] == [3] * 5


def test_verify_names_the_difference() -> None:
    network = network_for("localnet", farm=FARM)
    farm, _ = decode_farm(data("entries_contract_instance"))
    for passphrase, found in (("other", farm), (network.passphrase, None)):
        with pytest.raises(NetworkMismatchError):
            verify(network, passphrase=passphrase, farm=found)
    with pytest.raises(NetworkMismatchError, match="pays in token"):
        verify(network, passphrase=network.passphrase, farm=farm)


# Envelopes


def signer() -> SeedSigner:
    """A fresh key."""
    return SeedSigner(Keypair.random().raw_secret_key())


def a_bid(*, max_fee: int = 1_000_000) -> Bid:
    """An ordinary one."""
    return Bid(max_time=1234, inclusion_fee=200, max_fee=max_fee)


def needed() -> Resources:
    """Those of a recorded simulation."""
    answer = recorded("simulate_plant_farmer_source")
    data = xdr.SorobanTransactionData.from_xdr(answer["transactionData"])
    return exactly(data, int(answer["minResourceFee"]))


def signed_plant(
    farmer: SeedSigner, payer: SeedSigner, *, sequence: int = 3, max_fee: int = 1_000_000
) -> SignedEnvelope:
    """A plant of 5 stroops under a fee bump."""
    call = Farm(farm=FARM, token=token()).plant(farmer=farmer.address, index=1, stake=5)
    return sign_bumped(
        alone(call),
        needed(),
        network=NETWORK,
        source=farmer,
        treasury=payer,
        sequence=sequence,
        bid=a_bid(max_fee=max_fee),
    )


def test_a_call_is_a_fee_bump_of_the_farmers_transaction() -> None:
    farmer, treasury = signer(), signer()
    signed = signed_plant(farmer, treasury, sequence=77)
    outer = FeeBumpTransactionEnvelope.from_xdr(signed.xdr, PASSPHRASE)
    inner = outer.transaction.inner_transaction_envelope
    assert (outer.hash_hex(), inner.hash_hex()) == (signed.hash, signed.inner_hash)
    assert outer.transaction.fee_source.account_id == treasury.address
    assert outer.transaction.fee == signed.fee_bid == 2 * 200 + needed().fee
    assert (inner.transaction.source.account_id, inner.transaction.sequence) == (farmer.address, 77)
    assert (signed.source, signed.sequence, signed.max_time) == (farmer.address, 77, 1234)
    for envelope, address in ((outer, treasury.address), (inner, farmer.address)):
        (signature,) = envelope.signatures
        Keypair.from_public_key(address).verify(envelope.hash(), signature.signature)


def test_no_bid_exceeds_the_cap() -> None:
    """Not by a stroop, whichever the carrier."""
    bid = 2 * 200 + needed().fee
    assert signed_plant(signer(), signer(), max_fee=bid).fee_bid == bid
    # What is bid for inclusion is what the cap leaves: by a node's word nothing is given up.
    assert signed_plant(signer(), signer(), max_fee=bid - 1).fee_bid == bid - 2
    with pytest.raises(FeeCapExceededError):
        signed_plant(signer(), signer(), max_fee=2 * 100 + needed().fee - 1)
    work = Farm(farm=FARM, token=token()).work(
        farmer=signer().address, index=1, work_hash=bytes(32), nonce=0
    )
    with pytest.raises(FeeCapExceededError):
        sign_direct(
            alone(work),
            needed(),
            network=NETWORK,
            source=signer(),
            sequence=1,
            bid=a_bid(max_fee=100 + needed().fee - 1),
        )


def test_a_raised_bid_keeps_the_inner_transaction() -> None:
    treasury = signer()
    old = signed_plant(signer(), treasury)

    def raised(fee: int, max_fee: int = 1_000_000) -> Any:
        return raise_bid(old.xdr, network=NETWORK, treasury=treasury, fee=fee, max_fee=max_fee)

    new = raised(old.fee_bid + 1)
    assert new is not None
    assert new.inner_hash == old.inner_hash
    assert new.hash != old.hash
    assert (new.fee_bid, new.max_time, new.sequence) == (old.fee_bid + 1, 1234, 3)
    assert raised(old.fee_bid) is None
    with pytest.raises(FeeCapExceededError):
        raised(old.fee_bid + 1, max_fee=old.fee_bid)


def test_an_envelope_bids_for_its_own_transaction_alone() -> None:
    treasury = signer()
    mine, other = signed_plant(signer(), treasury), signed_plant(signer(), treasury)
    assert mine.inner_hash is not None

    def bid(envelope: str) -> int | None:
        return bid_in(envelope, network=NETWORK, inner_hash=mine.inner_hash or "")

    assert bid(mine.xdr) == mine.fee_bid
    assert bid(other.xdr) is None
    for broken in ("", "AAAA", "no base64", mine.xdr[:-40], "é"):
        assert bid(broken) is None


def test_what_replaces_a_stuck_envelope() -> None:
    """Ten times the bid per operation, with the fee bump as one more operation."""
    treasury, channel, resources = signer(), signer(), needed()
    bumped = signed_plant(signer(), treasury)
    wanted = resources.fee + 10 * 200 * 2
    assert replacing_bid(bumped.xdr, network=NETWORK) == wanted
    work = Farm(farm=FARM, token=token()).work(
        farmer=signer().address, index=1, work_hash=bytes(32), nonce=0
    )
    direct = sign_direct(
        alone(work), resources, network=NETWORK, source=channel, sequence=1, bid=a_bid()
    )
    assert replacing_bid(direct.xdr, network=NETWORK) == wanted
    raised = raise_bid(direct.xdr, network=NETWORK, treasury=treasury, fee=wanted, max_fee=wanted)
    assert raised is not None
    assert (raised.inner_hash, raised.source) == (direct.hash, channel.address)


def test_an_onboarding_is_signed_by_all_of_its_farmers() -> None:
    treasury, farmers = signer(), [signer() for _ in range(19)]
    newcomers = [Newcomer(signer=item, has_account=False) for item in farmers]
    signed = sign_onboarding(newcomers, treasury=treasury, sequence=5, network=NETWORK, bid=a_bid())
    envelope = TransactionEnvelope.from_xdr(signed.xdr, PASSPHRASE)
    assert len(envelope.signatures) == 20
    assert len(envelope.transaction.operations) == 4 * 19
    assert signed.inner_hash is None
    raised = raise_bid(signed.xdr, network=NETWORK, treasury=treasury, fee=10**6, max_fee=10**7)
    assert raised is not None
    assert raised.inner_hash == signed.hash
    with pytest.raises(ValueError, match="1 to 19"):
        sign_onboarding(
            [*newcomers, newcomers[0]], treasury=treasury, sequence=5, network=NETWORK, bid=a_bid()
        )
