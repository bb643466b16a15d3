"""A second operator agrees to a run once: what is recorded is asked for again by one alone."""

from dataclasses import dataclass, field

import pytest
from kalepool.harvest.v1 import payout_pb2

from libs.common.errors import FailedPreconditionError
from libs.common.grpc.identity import Caller, CallerKind
from libs.common.grpc.second_person import Order, SecondPerson
from libs.common.ids import FarmerId, new_id
from services.harvest.domain.payout_runs import name_of_now, name_of_run
from services.harvest.usecases.approvals import Approvals
from services.second_person import COVERED

ANN = Caller(kind=CallerKind.OPERATOR, name="ann", identity="spiffe://pool/operator/ann")
SERVICE = "/kalepool.harvest.v1.PayoutsService"
RUN, NOW, SWITCH = (f"{SERVICE}/{name}" for name in ("RunPayouts", "PayNow", "SetPayoutSwitch"))


async def nobody(_order: Order) -> None:
    raise FailedPreconditionError("nobody has approved it", reason="SECOND_PERSON")


@dataclass(kw_only=True)
class FakeRuns:
    """Runs that are recorded."""

    names: set[str] = field(default_factory=set)

    async def has_run(self, name: str) -> bool:
        return name in self.names


async def test_a_run_that_is_recorded_takes_no_other_second_operator() -> None:
    runs, farmer = FakeRuns(), FarmerId(new_id())
    person = SecondPerson(COVERED, Approvals(runs, nobody).use)
    run = payout_pb2.RunPayoutsRequest(request_id="a", max_amount=100)
    now = payout_pb2.PayNowRequest(request_id="a", farmer_id=str(farmer))
    for method, request in ((RUN, run), (NOW, now)):
        with pytest.raises(FailedPreconditionError):
            await person.check(method, ANN, request)
    runs.names.add(name_of_run("a"))
    await person.check(RUN, ANN, run)
    with pytest.raises(FailedPreconditionError):
        await person.check(NOW, ANN, now)
    runs.names.add(name_of_now(farmer, "a"))
    await person.check(NOW, ANN, now)
    now.farmer_id = str(farmer).upper()
    await person.check(NOW, ANN, now)


async def test_all_else_takes_one_each_time() -> None:
    runs = FakeRuns(names={name_of_run(""), name_of_run("a")})
    person = SecondPerson(COVERED, Approvals(runs, nobody).use)
    for method, request in (
        (SWITCH, payout_pb2.SetPayoutSwitchRequest(is_off=False, reason="a")),
        (RUN, payout_pb2.RunPayoutsRequest(request_id="b")),
        (NOW, payout_pb2.PayNowRequest(request_id="a", farmer_id=str(new_id()))),
        (NOW, payout_pb2.PayNowRequest(request_id="a", farmer_id="nobody")),
    ):
        with pytest.raises(FailedPreconditionError):
            await person.check(method, ANN, request)
