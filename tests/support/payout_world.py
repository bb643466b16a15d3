"""Farmers with terms who have harvested, and calls of PayoutService, against a running wallet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kalepool.wallet.v1 import (
    agreement_pb2,
    agreement_pb2_grpc,
    payout_pb2,
    payout_pb2_grpc,
    wallet_pb2,
)

from libs.common.grpc.client import open_channel
from libs.common.ids import new_id
from libs.kale.fees import Split, Terms, split
from tests.support.payers import Outside
from tests.support.wallet_world import PATIENCE, WalletWorld, eventually

#: A fee of 10 % for the pooler, half of it its miners', and of 1 % for the operator.
TERMS = Terms(pooler_bps=1_000, operator_bps=100, miners_bps=5_000)
#: Settings under which such terms count from the next block on.
SETTINGS: dict[str, Any] = {
    "AGREEMENT_NOTICE_SECONDS": "0",
    "OPERATOR_FEE_BPS": str(TERMS.operator_bps),
}


@dataclass(kw_only=True)
class PayoutWorld:
    """Farmers of one pooler, and the pooler's custodial account."""

    world: WalletWorld
    outside: Outside
    #: The pooler, and its own address.
    pooler_id: str = field(default_factory=lambda: str(new_id()))
    pooler_address: str = ""
    #: Its custodial account.
    account: str = ""
    #: Farmers' accounts and payout addresses, by farmer.
    farmers: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    #: From this second on, by the chain's clock, all of their terms count.
    agreed_until: int = 0
    #: What the chain minted to each.
    rewards: dict[str, int] = field(default_factory=dict)

    async def open_pooler(self) -> None:
        """Make the pooler's custodial account, and wait until it is on the chain."""
        self.pooler_address = await self.outside.account()
        request = payout_pb2.CreatePoolerWalletRequest(
            pooler_id=self.pooler_id, pooler_address=self.pooler_address
        )
        async with open_channel(self.world.target) as channel:
            stub = payout_pb2_grpc.PayoutServiceStub(channel)
            # It says where its farmers' money goes.
            agreements = agreement_pb2_grpc.AgreementServiceStub(channel)
            mark = agreement_pb2.MarkPoolerRequest(pooler_id=self.pooler_id, farms_for_itself=True)
            await agreements.MarkPooler(mark, timeout=PATIENCE)
            made = await stub.CreatePoolerWallet(request, timeout=PATIENCE)
            assert made == await stub.CreatePoolerWallet(request, timeout=PATIENCE)
        self.account = made.address
        assert made.pooler_address == self.pooler_address

        async def ready() -> bool:
            return (await self.pooler_fees()).is_ready

        await eventually(ready, "the pooler's account is not there", self.world.wallet)

    async def add_farmers(self, count: int, terms: Terms | None = TERMS) -> list[str]:
        """Make farmers with payout addresses, terms and a little KALE."""
        made = list[str]()
        for _ in range(count):
            address = await self.outside.account()
            request = wallet_pb2.CreateWalletRequest(
                farmer_id=str(new_id()), pooler_id=self.pooler_id, payout_address=address
            )
            wallet = (await self.world.stub.CreateWallet(request)).wallet
            self.farmers[wallet.farmer_id] = wallet.address
            self.addresses[wallet.farmer_id] = address
            self.rewards[wallet.farmer_id] = 0
            made.append(wallet.farmer_id)
            if terms is not None:
                await self.agree(wallet.farmer_id, terms)
        await self.world.wait_until_ready(made, pooler_id=self.pooler_id)
        return made

    async def agree(self, farmer: str, terms: Terms) -> None:
        """Give a farmer these terms."""
        request = agreement_pb2.SetAgreementRequest(
            farmer_id=farmer,
            terms=agreement_pb2.AgreedTerms(
                stake_percentage="1",
                pooler_fee=f"{terms.pooler_bps / 10_000:.4f}",
                miners_part=f"{terms.miners_bps / 10_000:.4f}",
                payout_threshold=0,
                payout_interval_seconds=86_400,
                harvest_blocks=1,
            ),
        )
        async with open_channel(self.world.target) as channel:
            stub = agreement_pb2_grpc.AgreementServiceStub(channel)
            made = (await stub.SetAgreement(request, timeout=PATIENCE)).agreement
        self.agreed_until = max(self.agreed_until, made.effective_at.seconds + 1)

    async def farm(self, farmers: Sequence[str], *, name: str) -> None:
        """Plant, work and harvest a block for these farmers."""
        world = self.world

        async def agreed() -> bool:
            # The chain's clock may be behind: a block that opens by then knows no terms yet.
            return (await world.block()).head.close_time.seconds >= self.agreed_until

        await eventually(agreed, "the chain's clock stands still", world.wallet)
        block = await world.next_block()
        await world.plant(f"plant {name}", block, dict.fromkeys(farmers, 0))
        await world.work(f"work {name}", block, dict.fromkeys(farmers, 7), self.farmers)
        await world.wait_for_plantable(block + 1)
        await world.plant(f"next {name}", block + 1, {farmers[0]: 0})
        for harvest in await world.harvest(f"harvest {name}", block, farmers):
            assert harvest.amount > 0, harvest
            self.rewards[harvest.farmer_id] += harvest.amount

    def agreed(self, farmer: str) -> Split:
        """Return how the rewards of a farmer who harvested once are divided."""
        return split(self.rewards[farmer], TERMS)

    async def pay(
        self, request_id: str, amounts: Mapping[str, int]
    ) -> dict[str, payout_pb2.FarmerPayoutResult]:
        """Call PayFarmers to its end; each farmer comes once."""
        request = payout_pb2.PayFarmersRequest(
            request_id=request_id,
            items=[
                payout_pb2.FarmerPayout(farmer_id=farmer, amount=amount)
                for farmer, amount in amounts.items()
            ],
        )
        async with open_channel(self.world.target) as channel:
            stub = payout_pb2_grpc.PayoutServiceStub(channel)
            replies = [
                item
                async for reply in stub.PayFarmers(request, timeout=2 * PATIENCE)
                for item in reply.results
            ]
        found = {item.farmer_id: item for item in replies}
        assert len(found) == len(replies) == len(amounts)
        return found

    async def pay_miners(
        self, request_id: str, amounts: Mapping[str, int]
    ) -> dict[str, payout_pb2.MinerPaymentResult]:
        """Call PayMiners to its end; each miner comes once."""
        request = payout_pb2.PayMinersRequest(
            request_id=request_id,
            pooler_id=self.pooler_id,
            items=[
                payout_pb2.MinerPayment(address=address, amount=amount)
                for address, amount in amounts.items()
            ],
        )
        async with open_channel(self.world.target) as channel:
            stub = payout_pb2_grpc.PayoutServiceStub(channel)
            replies = [
                item
                async for reply in stub.PayMiners(request, timeout=2 * PATIENCE)
                for item in reply.results
            ]
        found = {item.address: item for item in replies}
        assert len(found) == len(replies) == len(amounts)
        return found

    async def pay_pooler(self, request_id: str, amount: int) -> payout_pb2.PayPoolerResponse:
        """Call PayPooler."""
        request = payout_pb2.PayPoolerRequest(
            request_id=request_id, pooler_id=self.pooler_id, amount=amount
        )
        async with open_channel(self.world.target) as channel:
            stub = payout_pb2_grpc.PayoutServiceStub(channel)
            return await stub.PayPooler(request, timeout=2 * PATIENCE)

    async def fees(self, farmer: str) -> payout_pb2.GetFeeStateResponse:
        """Read the fees of a farmer."""
        async with open_channel(self.world.target) as channel:
            stub = payout_pb2_grpc.PayoutServiceStub(channel)
            request = payout_pb2.GetFeeStateRequest(farmer_id=farmer)
            return await stub.GetFeeState(request, timeout=PATIENCE)

    async def pooler_fees(self) -> payout_pb2.GetPoolerFeesResponse:
        """Read what the pooler's account received and paid."""
        async with open_channel(self.world.target) as channel:
            stub = payout_pb2_grpc.PayoutServiceStub(channel)
            request = payout_pb2.GetPoolerFeesRequest(pooler_id=self.pooler_id)
            return await stub.GetPoolerFees(request, timeout=PATIENCE)
