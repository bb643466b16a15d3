"""harvest's clients of wallet: what moved KALE or cost something, payouts, approvals, roots."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC
from uuid import UUID

import grpc
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import (
    approval_pb2,
    approval_pb2_grpc,
    data_entry_pb2,
    data_entry_pb2_grpc,
    payout_pb2,
    payout_pb2_grpc,
    wallet_pb2,
    wallet_pb2_grpc,
)

from libs.common.clock import micros_of, moment_of
from libs.common.grpc.client import call, stream
from libs.common.grpc.second_person import Order
from libs.common.ids import FarmerId, PoolerId
from services.harvest.domain.bookkeeping import (
    ASKED,
    FAILED,
    SUCCEEDED,
    Holding,
    Movement,
    PayoutParts,
    PoolPayment,
    Position,
)
from services.harvest.domain.payout_runs import Item, Settled
from services.harvest.domain.payouts import PayeeKind
from services.harvest.domain.statements import Written

#: Seconds for an answer.
_ANSWER = 10.0
#: How addresses begin that wallet pays miners at.
_ACCOUNT = "G"


class WalletMovements:
    """Reads wallet's movements; satisfies services.harvest.usecases.bookkeeping.Movements."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: wallet_pb2_grpc.WalletServiceAsyncStub = wallet_pb2_grpc.WalletServiceStub(
            channel
        )

    async def after(
        self, position: Position, limit: int
    ) -> tuple[list[Movement], Sequence[Position]]:
        """Return the movements after a place that wallet itself wrote, and the places of all."""
        request = wallet_pb2.ListMovementsRequest(
            after_micros=micros_of(position.at),
            # At the beginning no operation was read: nobody has that id.
            after_id=str(position.operation_id) if position.operation_id.int else "",
            page_size=limit,
        )
        response = await call(self._stub.ListMovements, request, timeout=_ANSWER)
        told = [
            _movement(one)
            for one in response.movements
            if one.operation.reason != common_pb2.FAILURE_REASON_TAMPERED
        ]
        return told, [_position(one) for one in response.movements]

    async def holdings(self, token: str) -> tuple[list[Holding], str]:
        """Return what some farmers' accounts hold on the chain, and the next page's token."""
        request = wallet_pb2.ListHoldingsRequest(page_token=token)
        response = await call(self._stub.ListHoldings, request, timeout=_ANSWER)
        return [_holding(one) for one in response.holdings], response.next_page_token


def _holding(holding: wallet_pb2.Holding) -> Holding:
    return Holding(
        farmer_id=FarmerId(UUID(holding.farmer_id)),
        pooler_id=PoolerId(UUID(holding.pooler_id)),
        kale=holding.kale,
        ledger=holding.ledger,
    )


class WalletRoots:
    """Has wallet write roots to the chain; satisfies services.harvest.usecases.closing.Roots."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: data_entry_pb2_grpc.DataEntryServiceAsyncStub = (
            data_entry_pb2_grpc.DataEntryServiceStub(channel)
        )

    async def account(self) -> str:
        """Return the address of the account whose data entry holds the newest root."""
        request = data_entry_pb2.GetDataEntryRequest()
        return (await call(self._stub.GetDataEntry, request, timeout=_ANSWER)).account

    async def publish(self, day: int, record: bytes) -> Written | None:
        """Have a day's root written; return None until a ledger has it."""
        request = data_entry_pb2.PublishRootRequest(day=day, root=record)
        entry = (await call(self._stub.PublishRoot, request, timeout=_ANSWER)).entry
        if entry.state != wallet_pb2.OPERATION_STATE_SUCCEEDED:
            return None
        return Written(transaction_hash=entry.transaction_hash, ledger=entry.ledger)


def _position(movement: wallet_pb2.Movement) -> Position:
    return Position(
        at=moment_of(movement.at_micros),
        operation_id=UUID(movement.operation.operation_id),
    )


def _movement(movement: wallet_pb2.Movement) -> Movement:
    operation = movement.operation
    return Movement(
        operation_id=UUID(operation.operation_id),
        kind=wallet_pb2.OperationKind.Name(operation.kind).removeprefix("OPERATION_KIND_").lower(),
        end=_end(movement),
        farmer_id=FarmerId(UUID(operation.farmer_id)) if operation.farmer_id else None,
        pooler_id=PoolerId(UUID(operation.pooler_id)) if operation.pooler_id else None,
        block_index=operation.block_index,
        ledger=operation.ledger,
        transaction_hash=operation.transaction_hash,
        at=_position(movement).at,
        amount=operation.amount,
        withdrawn_kale=movement.withdrawn_kale,
        fee=operation.fee_charged,
        payout=_parts(movement.payout) if movement.HasField("payout") else None,
        pool_payment=(
            PoolPayment(
                amount=movement.pool_payment.amount,
                destination=movement.pool_payment.destination,
                is_miner=movement.pool_payment.is_miner,
            )
            if movement.HasField("pool_payment")
            else None
        ),
    )


def _parts(parts: wallet_pb2.PayoutMovement) -> PayoutParts:
    return PayoutParts(
        amount=parts.amount, pooler=parts.pooler, miners=parts.miners, operator=parts.operator
    )


def _end(movement: wallet_pb2.Movement) -> str:
    if movement.is_request:
        return ASKED
    is_done = movement.operation.state == wallet_pb2.OPERATION_STATE_SUCCEEDED
    return SUCCEEDED if is_done else FAILED


class WalletPayouts:
    """Has wallet pay; satisfies services.harvest.usecases.payout_runner.Payer."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: payout_pb2_grpc.PayoutServiceAsyncStub = payout_pb2_grpc.PayoutServiceStub(
            channel
        )

    async def pay(
        self, request_id: str, items: Sequence[Item], *, timeout: float
    ) -> AsyncIterator[Sequence[Settled]]:
        """Pay the items of one chunk; yield what became of them as it is settled.

        The same request id pays the same items once, however often it is sent.
        """
        first = items[0]
        if first.kind is PayeeKind.FARMER:
            told = self._pay_farmers(request_id, items, timeout)
        elif first.address:
            told = self._pay_miners(request_id, items, timeout)
        else:
            told = self._pay_pooler(request_id, first, timeout)
        async for settled in told:
            yield settled

    async def _pay_farmers(
        self, request_id: str, items: Sequence[Item], timeout: float
    ) -> AsyncIterator[Sequence[Settled]]:
        names = {str(item.payee_id): item.item_id for item in items}
        request = payout_pb2.PayFarmersRequest(
            request_id=request_id,
            items=[
                payout_pb2.FarmerPayout(farmer_id=str(item.payee_id), amount=item.amount)
                for item in items
            ],
            by_name=items[0].by_name,
        )
        async for response in stream(self._stub.PayFarmers, request, timeout=timeout):
            yield _of_farmers(names, response.results)

    async def _pay_miners(
        self, request_id: str, items: Sequence[Item], timeout: float
    ) -> AsyncIterator[Sequence[Settled]]:
        names = {item.address: item.item_id for item in items}
        others = [item for item in items if not item.address.startswith(_ACCOUNT)]
        if others:
            yield [_not_payable(item) for item in others]
            items = [item for item in items if item not in others]
        if not items:
            return
        request = payout_pb2.PayMinersRequest(
            request_id=request_id,
            pooler_id=str(items[0].pooler_id),
            items=[
                payout_pb2.MinerPayment(address=item.address, amount=item.amount) for item in items
            ],
        )
        async for response in stream(self._stub.PayMiners, request, timeout=timeout):
            yield [
                _refused(names[one.address], one.refusal)
                if one.HasField("refusal")
                else _of_pool(names[one.address], one.payment)
                for one in response.results
                if not _is_tampered(one.payment.operation)
            ]

    async def _pay_pooler(
        self, request_id: str, item: Item, timeout: float
    ) -> AsyncIterator[Sequence[Settled]]:
        request = payout_pb2.PayPoolerRequest(
            request_id=request_id, pooler_id=str(item.pooler_id), amount=item.amount
        )
        found = await call(self._stub.PayPooler, request, timeout=timeout)
        if found.HasField("refusal"):
            yield [_refused(item.item_id, found.refusal)]
        elif not _is_tampered(found.payment.operation):
            yield [_of_pool(item.item_id, found.payment)]


class WalletApprovals:
    """Asks wallet whether a second operator has approved an order."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: approval_pb2_grpc.ApprovalServiceAsyncStub = (
            approval_pb2_grpc.ApprovalServiceStub(channel)
        )

    async def use(self, order: Order) -> None:
        """Return when an operator's order may be carried out; its approval is used up then.

        Raise FailedPreconditionError (SECOND_PERSON) while no other operator has approved it.
        """
        request = approval_pb2.UseApprovalRequest(
            method=order.method,
            digest=order.digest,
            request=order.request,
            asked_by=order.asked_by,
            actor=order.actor,
        )
        await call(self._stub.UseApproval, request, timeout=_ANSWER)


def _of_farmers(
    names: Mapping[str, UUID], results: Iterable[payout_pb2.FarmerPayoutResult]
) -> list[Settled]:
    return [
        _refused(names[one.farmer_id], one.refusal)
        if one.HasField("refusal")
        else _of_farmer(names[one.farmer_id], one.payout)
        for one in results
        if not _is_tampered(one.payout.operation)
    ]


def _is_tampered(operation: wallet_pb2.Operation) -> bool:
    """Tell whether nobody knows how it ended: its item stays open then, and is not paid again."""
    return operation.reason == common_pb2.FAILURE_REASON_TAMPERED


def _of_farmer(item_id: UUID, payout: payout_pb2.Payout) -> Settled:
    fees = payout.fees
    parts = PayoutParts(
        amount=payout.amount, pooler=fees.pooler, miners=fees.miners, operator=fees.operator
    )
    return _settled(
        item_id,
        payout.operation,
        kind="payout",
        farmer_id=payout.farmer_id,
        pooler_id=payout.pooler_id,
        address=payout.destination,
        parts=parts,
    )


def _of_pool(item_id: UUID, payment: payout_pb2.PoolPayment) -> Settled:
    return _settled(
        item_id,
        payment.operation,
        kind="pool_payment",
        farmer_id="",
        pooler_id=payment.pooler_id,
        address=payment.destination,
        payment=PoolPayment(
            amount=payment.amount, destination=payment.destination, is_miner=payment.is_miner
        ),
    )


def _settled(
    item_id: UUID,
    operation: wallet_pb2.Operation,
    *,
    kind: str,
    farmer_id: str,
    pooler_id: str,
    address: str,
    parts: PayoutParts | None = None,
    payment: PoolPayment | None = None,
) -> Settled:
    """Return what became of an item that wallet has recorded, with what is to be booked of it."""
    is_done = operation.state == wallet_pb2.OPERATION_STATE_SUCCEEDED
    reason = common_pb2.FailureReason.Name(operation.reason).removeprefix("FAILURE_REASON_")
    moved = (
        parts
        if is_done and parts is not None
        else PayoutParts(amount=0, pooler=0, miners=0, operator=0)
    )
    return Settled(
        item_id=item_id,
        state="paid" if is_done else "failed",
        address=address,
        pooler_fee=moved.pooler + moved.miners,
        operator_fee=moved.operator,
        reason="" if is_done else reason,
        message=operation.error_message,
        operation_id=UUID(operation.operation_id),
        transaction_hash=operation.transaction_hash if is_done else "",
        ledger=operation.ledger,
        movement=Movement(
            operation_id=UUID(operation.operation_id),
            kind=kind,
            end=SUCCEEDED if is_done else FAILED,
            farmer_id=FarmerId(UUID(farmer_id)) if farmer_id else None,
            pooler_id=PoolerId(UUID(pooler_id)) if pooler_id else None,
            block_index=0,
            ledger=operation.ledger,
            transaction_hash=operation.transaction_hash,
            at=operation.settled_at.ToDatetime(UTC),
            amount=0,
            withdrawn_kale=0,
            fee=operation.fee_charged,
            payout=parts,
            pool_payment=payment,
        ),
    )


def _not_payable(item: Item) -> Settled:
    return Settled(
        item_id=item.item_id,
        state="refused",
        reason="DESTINATION_NOT_PAYABLE",
        message="miners are paid at accounts (G...) only",
    )


def _refused(item_id: UUID, refusal: payout_pb2.PayoutRefusal) -> Settled:
    return Settled(item_id=item_id, state="refused", reason=refusal.reason, message=refusal.message)
