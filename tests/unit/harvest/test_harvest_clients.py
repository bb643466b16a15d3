"""What harvest asks wallet for: requests that wallet's rules take, and answers that are read."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import grpc
import pytest
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import wallet_pb2

from libs.common.ids import new_id
from libs.common.rules.book import RuleBook
from libs.common.rules.fields import Surroundings
from libs.kale.formats import FORMATS
from services.harvest.clients import WalletMovements
from services.harvest.domain.bookkeeping import Position

MOMENT = datetime(2026, 11, 30, 12, 0, 0, 7, tzinfo=UTC)


async def movements_of(*told: wallet_pb2.Movement) -> tuple[WalletMovements, list[Any]]:
    """A client of a wallet that checks what it is asked, and tells these; what it was asked."""
    book = RuleBook(Surroundings(formats=FORMATS, settings={"MAX_FARMERS": 1000}))
    book.learn(wallet_pb2.DESCRIPTOR.services_by_name["WalletService"])
    asked = list[Any]()

    async def answer(request: Any, **_options: object) -> wallet_pb2.ListMovementsResponse:
        book.check(request)
        asked.append(request)
        return wallet_pb2.ListMovementsResponse(movements=told)

    client = WalletMovements(grpc.aio.insecure_channel("localhost:1"))  # nothing goes over it
    cast(Any, client)._stub = SimpleNamespace(ListMovements=answer)
    return client, asked


@pytest.mark.parametrize("operation", [UUID(int=0), new_id()])
async def test_wallet_takes_the_request_from_the_beginning_and_from_a_place(
    operation: UUID,
) -> None:
    """At the beginning nothing was read yet: no operation names the place."""
    client, asked = await movements_of()
    found = await client.after(Position(at=MOMENT, operation_id=operation), 1000)
    assert found == ([], [])
    (request,) = asked
    assert request.after_id == (str(operation) if operation.int else "")
    assert request.after_micros == 1_796_040_000_000_007


async def test_what_wallet_did_not_write_is_passed_over_and_its_place_is_not() -> None:
    name = str(new_id())
    tampered = wallet_pb2.Operation(
        operation_id=name,
        kind=wallet_pb2.OPERATION_KIND_PLANT,
        reason=common_pb2.FAILURE_REASON_TAMPERED,
    )
    client, _ = await movements_of(wallet_pb2.Movement(operation=tampered, at_micros=5))
    told, places = await client.after(Position(at=MOMENT, operation_id=UUID(int=0)), 1000)
    assert told == []
    assert [str(place.operation_id) for place in places] == [name]
