"""Who plants with what stake."""

from collections.abc import Sequence

from libs.kale.amounts import stake_amount
from services.plant.domain.model import Candidate, PlannedPlant


def plan(candidates: Sequence[Candidate]) -> list[PlannedPlant]:
    """Stake is the farmer's part of its balance, rounded down; 0 is legal (KALE_CONTRACT 11)."""
    return [
        PlannedPlant(
            farmer_id=candidate.farmer_id,
            address=candidate.address,
            stake=stake_amount(candidate.balance, candidate.stake_bps),
        )
        for candidate in candidates
    ]
