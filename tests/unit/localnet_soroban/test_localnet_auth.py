"""Authorisation entries enforced: signatures, nonces, expirations, trees, and their rollback."""

from hashlib import sha256

import pytest
from stellar_sdk import Keypair, scval, xdr

from localnet.soroban.errors import describe
from localnet.soroban.model import AuthMode, Footprint, InvocationResult
from localnet.soroban.values import symbol, vector
from tests.support.contract_world import raised
from tests.unit.localnet_soroban.genesis_world import (
    FARM,
    ROUTER,
    TOKEN,
    Contracts,
    keypair,
    node_of,
    plant_arguments,
    plant_node,
    signed,
    unsigned,
)

OWNER = keypair("owner")
FARMER = OWNER.public_key
#: In the order of their public keys.
SIGNERS = sorted((keypair(f"signer {n}") for n in range(3)), key=Keypair.raw_public_key)
DENIED = "Error(Auth, InvalidAction)"


def contracts_with(owner: Keypair = OWNER, kale: int = 10**9) -> Contracts:
    """An account with KALE beside the contracts."""
    contracts = Contracts()
    contracts.add_account(owner)
    contracts.add_trustline(owner, kale)
    return contracts


def plant(
    contracts: Contracts,
    *entries: xdr.SorobanAuthorizationEntry,
    amount: int = 0,
    footprint: Footprint | None = None,
) -> InvocationResult:
    """The owner's plant, paid by somebody else."""
    arguments = plant_arguments(FARMER, amount)
    return contracts.call(
        FARM, "plant", arguments, mode="enforce", auth=entries, footprint=footprint
    )


def outcome(result: InvocationResult) -> str:
    """Either ok or the error."""
    return "ok" if result.error is None else describe(result.error)


@pytest.mark.parametrize("amount", [0, 5])
def test_a_signed_tree_is_granted(amount: int) -> None:
    contracts = contracts_with()
    entry = signed(unsigned(FARMER, plant_node(FARMER, amount)), OWNER)
    assert outcome(plant(contracts, entry, amount=amount)) == "ok"
    assert contracts.balance(OWNER) == 10**9 - amount


def test_no_entry_no_plant() -> None:
    assert outcome(plant(contracts_with())) == DENIED


def test_the_source_account_needs_no_signature_of_its_own() -> None:
    credentials = xdr.SorobanCredentials(
        xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT
    )
    entry = xdr.SorobanAuthorizationEntry(credentials, plant_node(FARMER))
    contracts = contracts_with()
    arguments = plant_arguments(FARMER)
    for source, expected in ((SIGNERS[0].public_key, DENIED), (FARMER, "ok")):
        result = contracts.call(
            FARM, "plant", arguments, source=source, mode="enforce", auth=[entry], keep=False
        )
        assert outcome(result) == expected


def test_a_stake_needs_the_burn_below_it() -> None:
    entry = signed(unsigned(FARMER, node_of(FARM, "plant", plant_arguments(FARMER, 5))), OWNER)
    assert outcome(plant(contracts_with(), entry, amount=5)) == DENIED


def test_a_signature_is_for_these_arguments_this_network_and_this_key() -> None:
    root = plant_node(FARMER, 5)
    other_network = sha256(b"another network").digest()
    for entry, amount in (
        (signed(unsigned(FARMER, root), OWNER), 6),
        (signed(unsigned(FARMER, root), OWNER, network_id=other_network), 5),
        (signed(unsigned(FARMER, root), SIGNERS[0]), 5),
        (signed(unsigned(SIGNERS[0].public_key, root), SIGNERS[0]), 5),
    ):
        assert outcome(plant(contracts_with(), entry, amount=amount)) == DENIED


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        (999, "Error(Auth, InvalidInput)"),
        (1000, "ok"),
        (1000 + 3_110_400 - 1, "ok"),
        (1000 + 3_110_400, "Error(Auth, InvalidInput)"),
    ],
)
def test_a_signature_expires(until: int, expected: str) -> None:
    entry = signed(unsigned(FARMER, plant_node(FARMER), until=until), OWNER)
    assert outcome(plant(contracts_with(), entry)) == expected


def test_a_nonce_lives_as_long_as_its_signature() -> None:
    entry = signed(unsigned(FARMER, plant_node(FARMER), until=1234), OWNER)
    changes = plant(contracts_with(), entry).changes
    assert [c.before for c in changes if c.after and c.after.live_until == 1234] == [None]


def test_a_nonce_is_spent_once() -> None:
    contracts = contracts_with()
    first = signed(unsigned(FARMER, plant_node(FARMER)), OWNER)
    assert outcome(plant(contracts, first)) == "ok"
    contracts.at(1050, 300)
    again = signed(unsigned(FARMER, plant_node(FARMER)), OWNER)
    assert outcome(plant(contracts, again)) == "Error(Auth, ExistingValue)"
    other = signed(unsigned(FARMER, plant_node(FARMER), nonce=8), OWNER)
    assert outcome(plant(contracts, other)) == "ok"


def test_the_account_and_its_nonce_belong_into_the_footprint() -> None:
    entry = signed(unsigned(FARMER, plant_node(FARMER)), OWNER)
    full = plant(contracts_with(), entry).footprint
    assert outcome(plant(contracts_with(), entry, footprint=full)) == "ok"
    for left_out in (*full.read_only, *full.read_write):
        less = Footprint(
            read_only=tuple(k for k in full.read_only if k != left_out),
            read_write=tuple(k for k in full.read_write if k != left_out),
        )
        result = plant(contracts_with(), entry, footprint=less)
        assert outcome(result) == "Error(Storage, ExceededLimit)"


@pytest.mark.parametrize(
    ("signers", "expected"),
    [
        ((0,), DENIED),
        ((0, 1), "ok"),
        ((1, 0), DENIED),
        ((0, 0), DENIED),
        ((2,), "ok"),
        ((), DENIED),
    ],
)
def test_signers_weigh_up_to_the_medium_threshold(signers: tuple[int, ...], expected: str) -> None:
    """Weights 1, 1 and 2 where 2 is needed; in the order of the keys, each once."""
    contracts = Contracts()
    weights = {key.public_key: weight for key, weight in zip(SIGNERS, (1, 1, 2), strict=True)}
    contracts.add_account(OWNER, signers=weights, thresholds=b"\x00\x01\x02\x03")
    entry = unsigned(FARMER, plant_node(FARMER))
    assert outcome(plant(contracts, signed(entry, *(SIGNERS[n] for n in signers)))) == expected


def test_one_stranger_spoils_all_signatures() -> None:
    contracts = Contracts()
    known = SIGNERS[0]
    contracts.add_account(OWNER, signers={known.public_key: 1}, thresholds=b"\x00\x00\x01\x00")
    entry = unsigned(FARMER, plant_node(FARMER))
    assert outcome(plant(contracts, signed(entry, known, SIGNERS[1]))) == DENIED
    assert outcome(plant(contracts, signed(entry, known))) == "ok"


def test_a_master_key_without_weight_does_not_sign() -> None:
    contracts = Contracts()
    contracts.add_account(OWNER, thresholds=b"\x00\x00\x00\x00")
    assert outcome(plant(contracts, signed(unsigned(FARMER, plant_node(FARMER)), OWNER))) == DENIED


def test_a_contract_allows_what_it_calls_itself() -> None:
    """Only the farm, the token's admin, can mint: nobody signs for a contract."""
    result = contracts_with().call(TOKEN, "mint", plant_arguments(FARMER, 5), mode="enforce")
    assert outcome(result) == DENIED


# ------------------------------------------------------------------ below a router


def calls(*planted: tuple[str, int]) -> list[xdr.SCVal]:
    """exec_each's argument for some plants."""
    return [
        vector(
            *(
                vector(scval.to_address(FARM), symbol("plant"), vector(*plant_arguments(*one)))
                for one in planted
            )
        )
    ]


def answers(result: InvocationResult) -> list[bool]:
    """Which of the calls succeeded."""
    assert result.value is not None
    return [scval.from_bool(item) for item in scval.from_vec(result.value)]


def test_a_simulation_forgets_what_a_failed_call_asked_for() -> None:
    """Else the pool would ask for, and pay for, signatures that nothing needs."""
    contracts = contracts_with()
    late = keypair("late").public_key
    assert contracts.plant(FARMER).ok
    result = contracts.call(ROUTER, "exec_each", calls((FARMER, 0), (late, 0)), keep=False)
    assert answers(result) == [False, True]
    assert [one.root_invocation for one in result.auth] == [plant_node(late)]


def test_a_failed_call_gives_its_authorisation_back() -> None:
    """Neither plant can be paid; the second is the same call, allowed by the same entry."""
    contracts = contracts_with(kale=4)
    entry = signed(unsigned(FARMER, plant_node(FARMER, 5)), OWNER)
    twice = calls((FARMER, 5), (FARMER, 5))
    result = contracts.call(ROUTER, "exec_each", twice, mode="enforce", auth=[entry])
    assert answers(result) == [False, False]
    assert not [change for change in result.changes if change.before is None]
    # Both came as far as the token, which said that the balance is too low.
    assert numbers_of_failures(result) == [10, 10]


def numbers_of_failures(result: InvocationResult) -> list[int]:
    """Numbers that contracts failed with themselves, in order."""
    found = []
    for event in (diagnostic.event for diagnostic in result.diagnostics):
        if raised(event):
            assert event.body.v0 is not None
            error = event.body.v0.topics[1].error
            assert error is not None
            assert error.contract_code is not None
            found.append(error.contract_code.uint32)
    return found


def test_an_entry_is_for_one_call() -> None:
    entry = signed(unsigned(FARMER, plant_node(FARMER)), OWNER)
    twice = calls((FARMER, 0), (FARMER, 0))
    result = contracts_with().call(ROUTER, "exec_each", twice, mode="enforce", auth=[entry])
    assert answers(result) == [True, False]
    # The second was not allowed, and so never saw that there is a pail.
    assert numbers_of_failures(result) == []


def test_trees_below_the_root_must_be_asked_for() -> None:
    modes: dict[AuthMode, list[bool]] = {"record": [False], "record_allow_nonroot": [True]}
    for mode, expected in modes.items():
        result = contracts_with().call(ROUTER, "exec_each", calls((FARMER, 0)), mode=mode)
        assert answers(result) == expected
