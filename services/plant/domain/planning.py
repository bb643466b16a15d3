"""Choice of the stake of each farmer who plants."""

from collections.abc import Mapping, Sequence

from libs.common.ids import FarmerId
from libs.kale.amounts import stake_amount
from services.plant.domain.model import Candidate, PlannedPlant


def plan(candidates: Sequence[Candidate], stakes: Mapping[FarmerId, int]) -> list[PlannedPlant]:
    """Plan the stake of each farmer: the agreed part of its balance, rounded down.

    A farmer in `stakes` stakes that many stroops where they are less: a pooler may choose to stake
    less than was agreed, never more. A stake of 0 is legal (KALE_CONTRACT 11).
    """
    return [
        PlannedPlant(
            farmer_id=candidate.farmer_id,
            address=candidate.address,
            stake=_stake(candidate, stakes.get(candidate.farmer_id)),
        )
        for candidate in candidates
    ]


def _stake(candidate: Candidate, chosen: int | None) -> int:
    agreed = stake_amount(candidate.balance, candidate.stake_bps)
    return agreed if chosen is None else min(agreed, chosen)
