"""kalepool.wallet.v1.WalletService: request to use case to reply."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import grpc
from kalepool.wallet.v1 import wallet_pb2, wallet_pb2_grpc

from libs.common.grpc.validate import FieldChecks
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId
from libs.common.paging import encode_token
from libs.kale.address import account_address, raw_key
from services.wallet import messages
from services.wallet.domain.errors import OperationNotFoundError, WalletNotFoundError
from services.wallet.domain.model import Intent, Operation, OperationKind, Wallet
from services.wallet.usecases import UseCases

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Item = TypeVar("Item")
IntentOf = Callable[[FieldChecks, str, Item], Intent]

FULL_NAME = wallet_pb2.DESCRIPTOR.services_by_name["WalletService"].full_name
#: Called by other services: they have no rate limit.
UNLIMITED = (
    "CreateWallet",
    "GetWallet",
    "GetBalances",
    "Plant",
    "Work",
    "Harvest",
    "BatchPlant",
    "BatchWork",
    "BatchHarvest",
)
#: Methods that wait until operations are settled.
SETTLING = ("Plant", "Work", "Harvest", "BatchPlant", "BatchWork", "BatchHarvest")


class WalletServicer(wallet_pb2_grpc.WalletServiceServicer):
    """Thin: what a field may be is here, everything else is in the use cases."""

    def __init__(self, use_cases: UseCases, *, max_farmers: int) -> None:
        self._use_cases = use_cases
        self._max_farmers = max_farmers

    async def CreateWallet(
        self, request: wallet_pb2.CreateWalletRequest, context: Context
    ) -> wallet_pb2.CreateWalletResponse:
        """See wallet.proto."""
        checks = FieldChecks()
        checks.request_id(request.request_id)
        farmer_id = FarmerId(checks.uuid("farmer_id", request.farmer_id))
        pooler_id = PoolerId(checks.uuid("pooler_id", request.pooler_id))
        payout = request.payout_address
        if payout:
            checks.parsed("payout_address", payout, account_address, "")
        checks.done()
        wallet = await self._use_cases.create_wallet(farmer_id, pooler_id, payout_address=payout)
        return wallet_pb2.CreateWalletResponse(wallet=messages.wallet_message(wallet))

    async def GetWallet(
        self, request: wallet_pb2.GetWalletRequest, context: Context
    ) -> wallet_pb2.GetWalletResponse:
        """See wallet.proto."""
        wallet = await self._find_wallet(request)
        if wallet is None or wallet.farmer_id is None:
            raise WalletNotFoundError(f"there is no wallet with this {request.WhichOneof('by')}")
        return wallet_pb2.GetWalletResponse(wallet=messages.wallet_message(wallet))

    async def _find_wallet(self, request: wallet_pb2.GetWalletRequest) -> Wallet | None:
        checks, store = FieldChecks(), self._use_cases.wallets
        match request.WhichOneof("by"):
            case "wallet_id":
                wallet_id = WalletId(checks.uuid("wallet_id", request.wallet_id))
                checks.done()
                return await store.by_id(wallet_id)
            case "farmer_id":
                farmer_id = FarmerId(checks.uuid("farmer_id", request.farmer_id))
                checks.done()
                return await store.by_farmer(farmer_id)
            case "address":
                checks.parsed("address", request.address, raw_key, b"")
                checks.done()
                return await store.by_address(request.address)
        checks.fail("by", "one of wallet_id, farmer_id and address is required")
        checks.done()
        return None

    async def ListWallets(
        self, request: wallet_pb2.ListWalletsRequest, context: Context
    ) -> wallet_pb2.ListWalletsResponse:
        """See wallet.proto."""
        checks = FieldChecks()
        pooler_id = checks.optional_uuid("pooler_id", request.pooler_id)
        size = checks.page_size(request.page_size)
        after = _cursor(checks, request.page_token)
        checks.done()
        wallets = await self._use_cases.wallets.page(
            pooler_id=None if pooler_id is None else PoolerId(pooler_id),
            after=after,
            limit=size + 1,
        )
        return wallet_pb2.ListWalletsResponse(
            wallets=[messages.wallet_message(wallet) for wallet in wallets[:size]],
            next_page_token=_next(wallets, size),
        )

    async def GetBalances(
        self, request: wallet_pb2.GetBalancesRequest, context: Context
    ) -> wallet_pb2.GetBalancesResponse:
        """See wallet.proto."""
        checks = FieldChecks()
        checks.size("farmer_ids", request.farmer_ids, high=self._max_farmers)
        ids = [
            (f"farmer_ids[{number}]", FarmerId(checks.uuid(f"farmer_ids[{number}]", value)))
            for number, value in enumerate(request.farmer_ids)
        ]
        checks.unique(ids)
        checks.done()
        balances = await self._use_cases.balances([farmer_id for _, farmer_id in ids])
        return wallet_pb2.GetBalancesResponse(
            balances=[messages.balances_message(wallet, item) for wallet, item in balances]
        )

    async def Plant(
        self, request: wallet_pb2.PlantRequest, context: Context
    ) -> wallet_pb2.PlantResponse:
        """See wallet.proto."""
        operation = await self._one(OperationKind.PLANT, request, messages.plant_intent)
        return wallet_pb2.PlantResponse(operation=messages.operation_message(operation))

    async def Work(
        self, request: wallet_pb2.WorkRequest, context: Context
    ) -> wallet_pb2.WorkResponse:
        """See wallet.proto."""
        operation = await self._one(OperationKind.WORK, request, messages.work_intent)
        return wallet_pb2.WorkResponse(operation=messages.operation_message(operation))

    async def Harvest(
        self, request: wallet_pb2.HarvestRequest, context: Context
    ) -> wallet_pb2.HarvestResponse:
        """See wallet.proto."""
        operation = await self._one(OperationKind.HARVEST, request, messages.harvest_intent)
        return wallet_pb2.HarvestResponse(operation=messages.operation_message(operation))

    async def BatchPlant(
        self, request: wallet_pb2.BatchPlantRequest, context: Context
    ) -> AsyncIterator[wallet_pb2.BatchPlantResponse]:
        """See wallet.proto."""
        async for operation in self._batch(OperationKind.PLANT, request, messages.plant_intent):
            yield wallet_pb2.BatchPlantResponse(operation=messages.operation_message(operation))

    async def BatchWork(
        self, request: wallet_pb2.BatchWorkRequest, context: Context
    ) -> AsyncIterator[wallet_pb2.BatchWorkResponse]:
        """See wallet.proto."""
        async for operation in self._batch(OperationKind.WORK, request, messages.work_intent):
            yield wallet_pb2.BatchWorkResponse(operation=messages.operation_message(operation))

    async def BatchHarvest(
        self, request: wallet_pb2.BatchHarvestRequest, context: Context
    ) -> AsyncIterator[wallet_pb2.BatchHarvestResponse]:
        """See wallet.proto."""
        intent_of = messages.harvest_intent
        async for operation in self._batch(OperationKind.HARVEST, request, intent_of):
            yield wallet_pb2.BatchHarvestResponse(operation=messages.operation_message(operation))

    async def _one(
        self, kind: OperationKind, request: Any, intent_of: "IntentOf[Any]"
    ) -> Operation:
        checks = FieldChecks()
        request_id = checks.request_id(request.request_id)
        block_index = messages.block_index(checks, request.block_index)
        intent = intent_of(checks, "operation", request.operation)
        checks.done()
        ids = await self._use_cases.submit(
            kind, request_id=request_id, block_index=block_index, intents=[intent]
        )
        return await anext(self._use_cases.settled(ids))

    async def _batch(
        self, kind: OperationKind, request: Any, intent_of: "IntentOf[Any]"
    ) -> AsyncIterator[Operation]:
        checks = FieldChecks()
        request_id = checks.request_id(request.request_id, required=True)
        block_index = messages.block_index(checks, request.block_index)
        checks.size("operations", request.operations, high=self._max_farmers)
        fields = [f"operations[{number}]" for number in range(len(request.operations))]
        intents = [
            intent_of(checks, field, item)
            for field, item in zip(fields, request.operations, strict=True)
        ]
        checks.unique(
            (f"{field}.farmer_id", intent.farmer_id)
            for field, intent in zip(fields, intents, strict=True)
        )
        checks.done()
        ids = await self._use_cases.submit(
            kind, request_id=request_id, block_index=block_index, intents=intents
        )
        async for operation in self._use_cases.settled(ids):
            yield operation

    async def GetOperation(
        self, request: wallet_pb2.GetOperationRequest, context: Context
    ) -> wallet_pb2.GetOperationResponse:
        """See wallet.proto."""
        checks = FieldChecks()
        operation_id = OperationId(checks.uuid("operation_id", request.operation_id))
        checks.done()
        operation = await self._use_cases.operations.by_id(operation_id)
        if operation is None:
            raise OperationNotFoundError(f"there is no operation {operation_id}")
        return wallet_pb2.GetOperationResponse(operation=messages.operation_message(operation))

    async def ListOperations(
        self, request: wallet_pb2.ListOperationsRequest, context: Context
    ) -> wallet_pb2.ListOperationsResponse:
        """See wallet.proto."""
        checks = FieldChecks()
        farmer_id = checks.optional_uuid("farmer_id", request.farmer_id)
        if request.state not in {0, *messages.STATES}:
            checks.fail("state", f"has no value {request.state}")
        if request.kind not in {0, *messages.KINDS}:
            checks.fail("kind", f"has no value {request.kind}")
        size = checks.page_size(request.page_size)
        before = _cursor(checks, request.page_token)
        checks.done()
        operations = await self._use_cases.operations.page(
            farmer_id=None if farmer_id is None else FarmerId(farmer_id),
            state=messages.STATES.get(request.state),
            kind=messages.KINDS.get(request.kind),
            before=before,
            limit=size + 1,
        )
        return wallet_pb2.ListOperationsResponse(
            operations=[messages.operation_message(item) for item in operations[:size]],
            next_page_token=_next(operations, size),
        )

    async def GetBlock(
        self, request: wallet_pb2.GetBlockRequest, context: Context
    ) -> wallet_pb2.GetBlockResponse:
        """See wallet.proto."""
        index = _optional_index(request, "index")
        block, head = await self._use_cases.block(index)
        return wallet_pb2.GetBlockResponse(
            block=None if block is None else messages.block_message(block, head),
            head=messages.head_message(head),
        )

    async def WatchBlocks(
        self, request: wallet_pb2.WatchBlocksRequest, context: Context
    ) -> AsyncIterator[wallet_pb2.WatchBlocksResponse]:
        """See wallet.proto."""
        after_index = _optional_index(request, "after_index")
        async for block, head in self._use_cases.watch_blocks(after_index):
            yield wallet_pb2.WatchBlocksResponse(
                block=None if block is None else messages.block_message(block, head),
                head=messages.head_message(head),
            )

    async def GetTreasury(
        self, request: wallet_pb2.GetTreasuryRequest, context: Context
    ) -> wallet_pb2.GetTreasuryResponse:
        """See wallet.proto."""
        wallet, balances = await self._use_cases.treasury()
        return wallet_pb2.GetTreasuryResponse(
            address=wallet.address,
            is_funded=balances.is_funded,
            xlm_stroops=balances.xlm,
            reserved_stroops=messages.reserved_stroops(balances),
            ledger=balances.ledger,
        )


def _optional_index(request: Any, field: str) -> int | None:
    if not request.HasField(field):
        return None
    checks = FieldChecks()
    value: int = getattr(request, field)
    checks.number(field, value, low=0, high=messages.MAX_BLOCK_INDEX)
    checks.done()
    return value


def _cursor(checks: FieldChecks, token: str) -> UUID | None:
    """The id in a page token."""
    key = checks.page_token(token, [UUID])
    return None if key is None else key[0]


def _next(items: Sequence[Wallet] | Sequence[Operation], size: int) -> str:
    return encode_token([items[size - 1].id]) if len(items) > size else ""
