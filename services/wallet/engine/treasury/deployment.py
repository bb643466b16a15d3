"""Deploys the multicall contract, step by step, each as durable as every other transaction."""

from collections.abc import Mapping

from libs.common.errors import DeadlineExceededError
from libs.common.failpoints import failpoint
from libs.common.log import get_logger
from services.wallet.chain import (
    RENEW,
    Deployment,
    DeploymentStep,
    SimulationError,
    multicall_deployment,
)
from services.wallet.domain.chain_facts import SignedEnvelope
from services.wallet.domain.errors import DeploymentRefusedError
from services.wallet.domain.trust import Decision
from services.wallet.engine.parts import EngineParts
from services.wallet.engine.sender import Outgoing
from services.wallet.engine.sequence_sources import next_numbers
from services.wallet.store.transactions import Draft

log = get_logger(__name__)

#: Seconds after which the chain is looked at again even if no ledger was heard of.
_LOOK = 2.0
#: Envelope lifetimes that a step is waited for.
_PATIENCE = 4


class Deployer:
    """Brings our multicall onto the network, from the treasury."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts

    def deployment(self) -> Deployment:
        """Where it is, or will be."""
        return multicall_deployment(
            deployer=self._parts.treasury.wallet.address,
            passphrase=self._parts.chain.network.passphrase,
        )

    async def deploy(self, *, max_fee: int) -> bool:
        """Does what is missing, a longer life included; whether anything was.

        `max_fee` (stroops) is for each transaction.

        Raises FeeCapExceededError, DeploymentRefusedError; DeadlineExceededError when no
        ledger took a step for a long time. It may be repeated after any of them.
        """
        deployment, watch = self.deployment(), self._parts.watch
        until = watch.now() + _PATIENCE * self._parts.limits.lifetime
        any_missing = False
        while True:
            seen = watch.changed.rings
            step = _next_step(deployment, await self._parts.chain.lives(deployment.entry_keys))
            if step is None:
                return any_missing
            any_missing = True
            if watch.now() > until:
                raise DeadlineExceededError(f"no ledger took the step {step.name}")
            await self._do(step, max_fee)
            await watch.changed.wait(seen, _LOOK)

    async def _do(self, step: DeploymentStep, max_fee: int) -> None:
        """Sends a step, unless the treasury has something in flight: perhaps this very step."""
        parts, sight = self._parts, self._parts.watch.current
        treasury = parts.treasury.wallet
        if await parts.transactions.is_busy(treasury.address):
            return
        try:
            envelope = await self.signed(step, max_fee=max_fee)
        except SimulationError as error:
            raise DeploymentRefusedError(f"the step {step.name} would fail: {error}") from error
        if envelope is None:
            return
        ledger = sight.ledger.sequence
        draft = Draft(envelope=envelope, operation_ids=(), stakes_returned=())
        if (await parts.transactions.commit_signed([draft], ledger=ledger)).recorded:
            await failpoint("wallet.transaction.signed")
            log.info("deploying", step=step.name, bid=envelope.fee_bid)
            outgoing = Outgoing(id=draft.id, envelope=envelope.xdr, max_fee=max_fee)
            await parts.sender.send([outgoing], ledger=ledger)

    async def signed(self, step: DeploymentStep, *, max_fee: int) -> SignedEnvelope | None:
        """Sign a step of the treasury's, after the number that nodes agree on; None while the
        treasury is not funded. Raises SimulationError, FeeCapExceededError."""
        parts, sight, treasury = self._parts, self._parts.watch.current, self._parts.treasury.wallet
        chain = parts.chain.trusted(Decision.USE_NUMBER)
        ledger, read = await chain.sequences([treasury.address])
        if treasury.address not in read:
            return None
        numbers = await next_numbers(parts.transactions, read, ledger)
        async with parts.keyring.signers([treasury.id]) as (signer,):
            return await parts.chain.sign_deployment(
                step,
                treasury=signer,
                sequence=numbers[treasury.address],
                max_time=sight.ledger.close_time + parts.limits.lifetime,
                inclusion_fee=sight.inclusion_fee,
                max_fee=max_fee,
            )


def _next_step(deployment: Deployment, lives: Mapping[str, int]) -> DeploymentStep | None:
    """What is to be done first; None when all is there and will be for a while."""
    missing = deployment.missing(lives)
    if missing:
        return missing[0]
    return deployment.extension() if min(lives.values()) < RENEW else None
