"""A ledger full of plants must not take longer than a ledger lasts."""

from base64 import b64decode, b64encode
from typing import Any

from stellar_sdk import Keypair

from tests.support.counting import counted_calls
from tests.support.localnet_chain import Chain
from tests.support.localnet_farm import call_farm, farm_envelope, plant_arguments, simulate_call

#: Calls of functions that a plant may cost when its ledger closes: a third more than were counted.
CALLS = 14_000


def test_a_plant_costs_the_same_in_a_full_ledger() -> None:
    few, many = _cost(20), _cost(200)
    assert many < 1.1 * few
    assert many < CALLS


def _cost(plants: int) -> float:
    """Calls per plant to close a ledger with so many of them."""
    chain = Chain()
    farmers = [Keypair.random() for _ in range(plants + 1)]
    chain.fund(*farmers, xlm="10")
    assert call_farm(chain, farmers[0], "plant", plant_arguments(farmers[0], 0)).ok
    first = farmers[1]
    simulated = simulate_call(chain, first, "plant", plant_arguments(first, 0))
    for farmer in farmers[1:]:
        answer = _for_farmer(simulated, first, farmer)
        envelope = farm_envelope(
            chain, farmer, "plant", plant_arguments(farmer, 0), simulated=answer
        )
        assert chain.send(envelope).status == "PENDING"
    with counted_calls() as calls:
        ledger = chain.close()
    assert [item.ok for item in ledger.transactions] == [True] * plants
    return calls.count / plants


def _for_farmer(simulated: dict[str, Any], first: Keypair, farmer: Keypair) -> dict[str, Any]:
    """The first farmer's simulation with another farmer's key in it."""

    def moved(text: str) -> str:
        packed = b64decode(text).replace(first.raw_public_key(), farmer.raw_public_key())
        return b64encode(packed).decode()

    auth = [moved(a) for a in simulated["results"][0]["auth"]]
    data = moved(simulated["transactionData"])
    return {**simulated, "transactionData": data, "results": [{"auth": auth}]}
