"""Choice of the stake of each farmer who plants."""

from collections.abc import Sequence

from libs.kale.amounts import stake_amount
from services.plant.domain.model import Candidate, PlannedPlant


def plan(candidates: Sequence[Candidate]) -> list[PlannedPlant]:
    """Plan the stake of each farmer: its part of its balance, rounded down.

    A stake of 0 is legal (KALE_CONTRACT 11).
    """
    return [
        PlannedPlant(
            farmer_id=candidate.farmer_id,
            address=candidate.address,
            stake=stake_amount(candidate.balance, candidate.stake_bps),
        )
        for candidate in candidates
    ]
