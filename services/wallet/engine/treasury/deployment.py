"""The deployment of the multicall contract, step by step.

Each step is as durable as every other transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from libs.common.errors import DeadlineExceededError
from libs.common.log import get_logger
from services.wallet.chain import (
    RENEW,
    Chain,
    Deployment,
    DeploymentStep,
    SimulationError,
    multicall_deployment,
)
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.chain_facts import SignedEnvelope
from services.wallet.domain.errors import DeploymentRefusedError
from services.wallet.domain.trust import Decision
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.sender import Sender
from services.wallet.engine.sequence_sources import next_numbers
from services.wallet.engine.signers import Signers
from services.wallet.engine.treasury.commanded import LIFETIMES, LOOK_SECONDS, send_commanded
from services.wallet.engine.treasury_account import Treasury
from services.wallet.store.transactions import Draft, TransactionStore

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Deployer:
    """The deployer of our multicall contract on the network, from the treasury."""

    chain: Chain
    treasury: Treasury
    signers: Signers
    transactions: TransactionStore
    sender: Sender
    chain_view: ChainView
    limits: OperatorLimits

    def deployment(self) -> Deployment:
        """Return where the contract is, or will be."""
        return multicall_deployment(
            deployer=self.treasury.wallet.address,
            passphrase=self.chain.network.passphrase,
        )

    async def deploy(self, *, max_fee: int) -> bool:
        """Do the steps that are missing, a longer life included; tell whether there were any.

        `max_fee` (stroops) is for each transaction.

        Raises FeeCapExceededError, DeploymentRefusedError, SigningPausedError. Raises
        DeadlineExceededError when no ledger took a step for a long time. The call may be repeated
        after any of these errors.
        """
        deployment, chain_view = self.deployment(), self.chain_view
        until = chain_view.now() + LIFETIMES * self.limits.lifetime
        any_missing = False
        while True:
            seen = chain_view.changed.count
            step = _next_step(deployment, await self.chain.lives(deployment.entry_keys))
            if step is None:
                return any_missing
            any_missing = True
            if chain_view.now() > until:
                raise DeadlineExceededError(f"no ledger took the step {step.name}")
            await self._do(step, max_fee)
            await chain_view.changed.wait(seen, LOOK_SECONDS)

    async def _do(self, step: DeploymentStep, max_fee: int) -> None:
        """Send a step, unless the treasury has something in flight, which may be this very step."""
        chain_state, treasury = self.chain_view.current, self.treasury.wallet
        if await self.transactions.is_busy(treasury.address):
            return
        try:
            envelope = await self.signed(step, max_fee=max_fee)
        except SimulationError as error:
            raise DeploymentRefusedError(f"the step {step.name} would fail: {error}") from error
        if envelope is None:
            return
        ledger = chain_state.ledger.sequence
        draft = Draft(envelope=envelope, operation_ids=(), stakes_returned=())
        if await send_commanded(
            draft,
            transactions=self.transactions,
            sender=self.sender,
            ledger=ledger,
            cap=max_fee,
            paused="signing is paused, so nothing is deployed: resume it first",
        ):
            log.info("deploying", step=step.name, bid=envelope.fee_bid)

    async def signed(self, step: DeploymentStep, *, max_fee: int) -> SignedEnvelope | None:
        """Sign a step of the treasury's, after the number that nodes agree on.

        Return None while the treasury is not funded. Raises SimulationError, FeeCapExceededError.
        """
        chain_state, treasury = self.chain_view.current, self.treasury.wallet
        chain = self.chain.trusted(Decision.USE_NUMBER)
        ledger, read = await chain.sequences([treasury.address])
        if treasury.address not in read:
            return None
        numbers = await next_numbers(self.transactions, read, ledger)
        async with self.signers.open([treasury.id]) as (signer,):
            return await self.chain.sign_deployment(
                step,
                treasury=signer,
                sequence=numbers[treasury.address],
                max_time=chain_state.ledger.close_time + self.limits.lifetime,
                inclusion_fee=chain_state.inclusion_fee,
                max_fee=max_fee,
            )


def _next_step(deployment: Deployment, lives: Mapping[str, int]) -> DeploymentStep | None:
    """Return the first step to do; None when all is there and will be for a while."""
    missing = deployment.missing(lives)
    if missing:
        return missing[0]
    return deployment.extension() if min(lives.values()) < RENEW else None
