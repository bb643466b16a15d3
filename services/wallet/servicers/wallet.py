"""kalepool.wallet.v1.WalletService: mapping of requests to use cases, and of results to replies."""

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import grpc
from kalepool.wallet.v1 import wallet_pb2, wallet_pb2_grpc

from libs.common.grpc.identity import caller
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId
from libs.common.paging import encode_token, id_after, size_of, token_after
from services.wallet.domain.agreements import Giver, Joining
from services.wallet.domain.errors import OperationNotFoundError, WalletNotFoundError
from services.wallet.domain.model import Intent, Operation, OperationKind, Wallet
from services.wallet.engine.reconcile.holdings import Holdings
from services.wallet.engine.settled_feed import SettledFeed
from services.wallet.servicers import messages
from services.wallet.servicers.agreements import proof_of, terms_of
from services.wallet.store.operations import OperationStore
from services.wallet.store.wallets import WalletStore
from services.wallet.usecases.wallet import UseCases

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Item = TypeVar("Item")
IntentOf = Callable[[Item], Intent]

FULL_NAME = wallet_pb2.DESCRIPTOR.services_by_name["WalletService"].full_name
#: Called by other services: the public rate limit is not for them.
INTERNAL = (
    "CreateWallet",
    "GetWallet",
    "GetBalances",
    "Plant",
    "Work",
    "Harvest",
    "BatchPlant",
    "BatchWork",
    "BatchHarvest",
    "JudgeOperations",
    "ListMovements",
    "ListHoldings",
)
#: Methods that wait until operations are settled.
SETTLING = ("Plant", "Work", "Harvest", "BatchPlant", "BatchWork", "BatchHarvest")


class WalletServicer(wallet_pb2_grpc.WalletServiceServicer):
    """Thin servicer: the proto limits the fields, everything else is in the use cases."""

    def __init__(
        self,
        use_cases: UseCases,
        *,
        wallets: WalletStore,
        operations: OperationStore,
        settled: SettledFeed,
        holdings: Holdings,
    ) -> None:
        self._use_cases = use_cases
        self._wallets = wallets
        self._operations = operations
        self._settled = settled
        self._holdings = holdings

    async def CreateWallet(
        self, request: wallet_pb2.CreateWalletRequest, context: Context
    ) -> wallet_pb2.CreateWalletResponse:
        """See wallet.proto."""
        wallet = await self._use_cases.create_wallet(
            FarmerId(UUID(request.farmer_id)),
            PoolerId(UUID(request.pooler_id)),
            stake_bps=messages.stake_bps(request.stake_percentage),
            joining=_joining(request),
        )
        return wallet_pb2.CreateWalletResponse(wallet=messages.wallet_message(wallet))

    async def SetStakeLimit(
        self, request: wallet_pb2.SetStakeLimitRequest, context: Context
    ) -> wallet_pb2.SetStakeLimitResponse:
        """See wallet.proto."""
        wallet = await self._use_cases.set_stake_limit(
            FarmerId(UUID(request.farmer_id)),
            messages.stake_bps(request.stake_percentage),
            actor=caller().identity,
        )
        return wallet_pb2.SetStakeLimitResponse(wallet=messages.wallet_message(wallet))

    async def GetWallet(
        self, request: wallet_pb2.GetWalletRequest, context: Context
    ) -> wallet_pb2.GetWalletResponse:
        """See wallet.proto."""
        wallet = await self._find_wallet(request)
        if wallet is None or wallet.farmer_id is None:
            raise WalletNotFoundError(f"there is no wallet with this {request.WhichOneof('by')}")
        return wallet_pb2.GetWalletResponse(wallet=messages.wallet_message(wallet))

    async def _find_wallet(self, request: wallet_pb2.GetWalletRequest) -> Wallet | None:
        store = self._use_cases.wallets
        match request.WhichOneof("by"):
            case "wallet_id":
                return await store.by_id(WalletId(UUID(request.wallet_id)))
            case "farmer_id":
                return await store.by_farmer(FarmerId(UUID(request.farmer_id)))
            case _:
                return await store.by_address(request.address)

    async def ListWallets(
        self, request: wallet_pb2.ListWalletsRequest, context: Context
    ) -> wallet_pb2.ListWalletsResponse:
        """See wallet.proto."""
        size = size_of(request.page_size)
        wallets = await self._wallets.page(
            pooler_id=PoolerId(UUID(request.pooler_id)) if request.pooler_id else None,
            after=id_after(request.page_token),
            limit=size + 1,
        )
        return wallet_pb2.ListWalletsResponse(
            wallets=[messages.wallet_message(wallet) for wallet in wallets[:size]],
            next_page_token=token_after([item.id for item in wallets], size),
        )

    async def GetBalances(
        self, request: wallet_pb2.GetBalancesRequest, context: Context
    ) -> wallet_pb2.GetBalancesResponse:
        """See wallet.proto."""
        ids = [FarmerId(UUID(value)) for value in request.farmer_ids]
        balances = await self._use_cases.balances(ids)
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
        async for one, others in self._batch(OperationKind.PLANT, request, messages.plant_intent):
            yield wallet_pb2.BatchPlantResponse(operation=one, others=others)

    async def BatchWork(
        self, request: wallet_pb2.BatchWorkRequest, context: Context
    ) -> AsyncIterator[wallet_pb2.BatchWorkResponse]:
        """See wallet.proto."""
        async for one, others in self._batch(OperationKind.WORK, request, messages.work_intent):
            yield wallet_pb2.BatchWorkResponse(operation=one, others=others)

    async def BatchHarvest(
        self, request: wallet_pb2.BatchHarvestRequest, context: Context
    ) -> AsyncIterator[wallet_pb2.BatchHarvestResponse]:
        """See wallet.proto."""
        intent_of = messages.harvest_intent
        async for one, others in self._batch(OperationKind.HARVEST, request, intent_of):
            yield wallet_pb2.BatchHarvestResponse(operation=one, others=others)

    async def _one(
        self, kind: OperationKind, request: Any, intent_of: "IntentOf[Any]"
    ) -> Operation:
        ids = await self._use_cases.submit(
            kind,
            request_id=request.request_id,
            block_index=request.block_index,
            intents=[intent_of(request.operation)],
        )
        return await self._settled.one(ids[0])

    async def _batch(
        self, kind: OperationKind, request: Any, intent_of: "IntentOf[Any]"
    ) -> AsyncIterator[tuple[wallet_pb2.Operation, list[wallet_pb2.Operation]]]:
        ids = await self._use_cases.submit(
            kind,
            request_id=request.request_id,
            block_index=request.block_index,
            intents=[intent_of(item) for item in request.operations],
        )
        async for settled in self._settled.of(ids):
            one, *others = map(messages.operation_message, settled)
            yield one, others

    async def JudgeOperations(
        self, request: wallet_pb2.JudgeOperationsRequest, context: Context
    ) -> wallet_pb2.JudgeOperationsResponse:
        """See wallet.proto."""
        ids = [OperationId(UUID(value)) for value in request.operation_ids]
        settled = await self._use_cases.judged(ids)
        return wallet_pb2.JudgeOperationsResponse(
            operations=map(messages.operation_message, settled)
        )

    async def ListMovements(
        self, request: wallet_pb2.ListMovementsRequest, context: Context
    ) -> wallet_pb2.ListMovementsResponse:
        """See wallet.proto."""
        after = (
            messages.place_after(request.after_micros),
            UUID(request.after_id) if request.after_id else UUID(int=0),
        )
        found = await self._operations.movements(after, size_of(request.page_size))
        return wallet_pb2.ListMovementsResponse(movements=map(messages.movement_message, found))

    async def ListHoldings(
        self, request: wallet_pb2.ListHoldingsRequest, context: Context
    ) -> wallet_pb2.ListHoldingsResponse:
        """See wallet.proto."""
        after = id_after(request.page_token)
        held, last = await self._holdings.page(
            after=None if after is None else WalletId(after), limit=size_of(request.page_size)
        )
        return wallet_pb2.ListHoldingsResponse(
            holdings=map(messages.holding_message, held),
            next_page_token="" if last is None else encode_token([last]),
        )

    async def GetOperation(
        self, request: wallet_pb2.GetOperationRequest, context: Context
    ) -> wallet_pb2.GetOperationResponse:
        """See wallet.proto."""
        operation_id = OperationId(UUID(request.operation_id))
        operation = await self._operations.by_id(operation_id)
        if operation is None:
            raise OperationNotFoundError(f"there is no operation {operation_id}")
        return wallet_pb2.GetOperationResponse(operation=messages.operation_message(operation))

    async def ListOperations(
        self, request: wallet_pb2.ListOperationsRequest, context: Context
    ) -> wallet_pb2.ListOperationsResponse:
        """See wallet.proto."""
        size = size_of(request.page_size)
        operations = await self._operations.page(
            farmer_id=FarmerId(UUID(request.farmer_id)) if request.farmer_id else None,
            state=messages.STATES.get(request.state),
            kind=messages.KINDS.get(request.kind),
            before=id_after(request.page_token),
            limit=size + 1,
        )
        return wallet_pb2.ListOperationsResponse(
            operations=[messages.operation_message(item) for item in operations[:size]],
            next_page_token=token_after([item.id for item in operations], size),
        )

    async def GetBlock(
        self, request: wallet_pb2.GetBlockRequest, context: Context
    ) -> wallet_pb2.GetBlockResponse:
        """See wallet.proto."""
        index = request.index if request.HasField("index") else None
        block, head = await self._use_cases.block(index)
        return wallet_pb2.GetBlockResponse(
            block=None if block is None else messages.block_message(block, head),
            head=messages.head_message(head),
        )

    async def WatchBlocks(
        self, request: wallet_pb2.WatchBlocksRequest, context: Context
    ) -> AsyncIterator[wallet_pb2.WatchBlocksResponse]:
        """See wallet.proto."""
        after_index = request.after_index if request.HasField("after_index") else None
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


def _joining(request: wallet_pb2.CreateWalletRequest) -> Joining:
    """Return what a farmer's registration says besides its pooler and its stake."""
    given_by = request.given_by or caller().identity
    return Joining(
        payout_address=request.payout_address,
        owner_account=request.owner_account,
        terms=terms_of(request.terms) if request.HasField("terms") else None,
        giver=Giver(given_by=given_by, proof=proof_of(request.proof)),
    )
