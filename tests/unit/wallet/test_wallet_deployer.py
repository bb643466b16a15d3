"""The deployment of the multicall, step by step: what is missing, once each, and not for ever."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libs.common.errors import DeadlineExceededError
from services.wallet.chain import DeploymentStep, FeeCapExceededError, SimulationError
from services.wallet.domain.chain_facts import ContractError, SignedEnvelope
from services.wallet.domain.errors import DeploymentRefusedError, SigningPausedError
from services.wallet.domain.trust import Decision
from services.wallet.engine.treasury.deployment import Deployer
from services.wallet.store.transactions import Committed, Draft
from tests.support.payment_world import TREASURY
from tests.support.signing import (
    CLOSE_TIME,
    LEDGER,
    LIMITS,
    NETWORK,
    FakeSender,
    FakeSigners,
    chain_state,
)

#: The treasury's last number on the chain, and on record; and stroops for each transaction.
NUMBER, RECORDED, CAP = 41, 44, 77_000
#: Ledgers that a fresh entry lives for, and from which on it is to live longer.
LIFE, RENEW = 2_073_600, 518_400
NOTHING = Committed(recorded=[], unpaid=frozenset(), spared=frozenset())


@dataclass
class World:
    """A deployer over stand-ins; each ledger does what was sent, unless told otherwise."""

    lives: dict[str, int] = field(default_factory=dict)
    is_busy: bool = False
    is_funded: bool = True
    is_working: bool = True
    seconds_per_wait: int = 5
    error: Exception | None = None
    committed: Committed | None = None

    def __post_init__(self) -> None:
        self.network, self.signers, self.sender = NETWORK, FakeSigners(), FakeSender()
        self.signed: list[tuple[DeploymentStep, dict[str, Any]]] = []
        self.drafts: list[tuple[Draft, int]] = []
        self.decisions: list[Decision] = []
        self.seconds, self.count = 1000.0, 0
        wallet = SimpleNamespace(id=TREASURY, address=self.signers.key(TREASURY).address)
        store = SimpleNamespace(
            is_busy=self._is_busy, last_sequences=self._numbers, commit_signed=self._commit
        )
        view = SimpleNamespace(now=lambda: self.seconds, current=chain_state(), changed=self)
        self.deployer = Deployer(
            chain=cast(
                Any,
                SimpleNamespace(
                    **{
                        name: getattr(self, name)
                        for name in ("network", "trusted", "sequences", "sign_deployment")
                    },
                    lives=self._lives,
                ),
            ),
            treasury=cast(Any, SimpleNamespace(wallet=wallet)),
            signers=cast(Any, self.signers),
            transactions=cast(Any, store),
            sender=cast(Any, self.sender),
            chain_view=cast(Any, view),
            limits=LIMITS,
        )

    async def deploy(self) -> bool:
        """Deploy; tell whether anything was missing."""
        return await self.deployer.deploy(max_fee=CAP)

    @property
    def steps(self) -> list[str]:
        """Return the names of the steps that were signed."""
        return [step.name for step, _ in self.signed]

    def live(self, ledgers: int, *, steps: int = 2) -> None:
        """Have the entries of the first steps live for so many ledgers."""
        for step in self.deployer.deployment().steps[:steps]:
            self.lives |= dict.fromkeys(step.entries, ledgers)

    # The chain's

    def trusted(self, decision: Decision) -> "World":
        """As the chain's."""
        self.decisions.append(decision)
        return self

    async def _lives(self, keys: Sequence[str]) -> dict[str, int]:
        return {key: self.lives[key] for key in keys if key in self.lives}

    async def sequences(self, addresses: Sequence[str]) -> tuple[int, dict[str, int]]:
        """As the chain's."""
        return LEDGER, dict.fromkeys(addresses, NUMBER) if self.is_funded else {}

    async def sign_deployment(self, step: DeploymentStep, **rest: Any) -> SignedEnvelope:
        """As the chain's."""
        if self.error is not None:
            raise self.error
        self.signed.append((step, rest))
        return cast(SignedEnvelope, SimpleNamespace(fee_bid=5))

    # The stores', and the wakeup's

    async def _is_busy(self, address: str) -> bool:
        assert address == self.signers.key(TREASURY).address
        return self.is_busy

    async def _numbers(self, addresses: Sequence[str], *, after: int) -> dict[str, int]:
        assert after == LEDGER
        return dict.fromkeys(addresses, RECORDED)

    async def _commit(self, drafts: Sequence[Draft], *, ledger: int) -> Committed:
        self.drafts += [(item, ledger) for item in drafts]
        return self.committed or replace(NOTHING, recorded=list(drafts))

    async def wait(self, seen: int, seconds: float) -> None:
        """Let a ledger close, which does what was sent."""
        assert (seen, seconds) == (self.count, 2.0)
        self.count += 1
        self.seconds += self.seconds_per_wait
        if self.is_working and self.sender.sent:
            step, _ = self.signed[-1]
            self.lives |= dict.fromkeys(step.entries, LIFE)


async def test_the_code_is_uploaded_and_then_the_contract_is_made() -> None:
    world = World()
    assert await world.deploy()
    assert world.steps == ["upload", "create"]
    assert world.decisions == [Decision.USE_NUMBER] * 2
    assert world.signers.opened == [[TREASURY]] * 2
    for _, asked in world.signed:
        assert asked == {
            "treasury": world.signers.key(TREASURY),
            "sequence": RECORDED + 1,
            "max_time": CLOSE_TIME + LIMITS.lifetime,
            "inclusion_fee": chain_state().inclusion_fee,
            "max_fee": CAP,
        }
    (draft, ledger), _ = world.drafts
    assert (ledger, draft.operation_ids, draft.stakes_returned) == (LEDGER, (), ())
    assert world.sender.caps == [CAP, CAP]


@pytest.mark.parametrize(
    ("ledgers", "steps"), [(LIFE, []), (RENEW, []), (RENEW - 1, ["extend"]), (1, ["extend"])]
)
async def test_what_is_there_lives_longer_when_thirty_days_are_left(
    ledgers: int, steps: list[str]
) -> None:
    world = World()
    world.live(ledgers)
    assert await world.deploy() is bool(steps)
    assert world.steps == steps


async def test_one_entry_that_is_about_to_expire_is_enough() -> None:
    world = World()
    world.live(RENEW - 1)
    world.live(LIFE, steps=1)
    assert await world.deploy()
    assert world.steps == ["extend"]


async def test_only_the_missing_step_is_done() -> None:
    world = World()
    world.live(LIFE, steps=1)
    assert await world.deploy()
    assert world.steps == ["create"]


@pytest.mark.parametrize(("is_busy", "is_funded"), [(True, True), (False, False)])
async def test_a_step_waits_while_the_treasury_is_busy_or_not_there(
    is_busy: bool, is_funded: bool
) -> None:
    world = World(is_busy=is_busy, is_funded=is_funded, seconds_per_wait=60)
    with pytest.raises(DeadlineExceededError, match="no ledger took the step upload"):
        await world.deploy()
    # Four lifetimes of 30 s.
    assert (world.drafts, world.count) == ([], 3)


@pytest.mark.parametrize(("seconds", "waits"), [(120, 2), (121, 1)])
async def test_a_step_that_no_ledger_takes_is_given_up(seconds: int, waits: int) -> None:
    world = World(is_working=False, seconds_per_wait=seconds)
    with pytest.raises(DeadlineExceededError):
        await world.deploy()
    assert world.count == len(world.drafts) == waits


async def test_a_step_that_would_fail_is_refused() -> None:
    world = World(error=SimulationError(ContractError(raiser="host", code="x"), "no"))
    with pytest.raises(DeploymentRefusedError, match="the step upload would fail"):
        await world.deploy()


async def test_a_step_above_the_cap_is_told() -> None:
    world = World(error=FeeCapExceededError("too dear"))
    with pytest.raises(FeeCapExceededError):
        await world.deploy()


async def test_nothing_is_deployed_while_signing_is_paused() -> None:
    world = World(committed=replace(NOTHING, is_paused=True))
    with pytest.raises(SigningPausedError):
        await world.deploy()
    assert world.sender.sent == []


async def test_what_was_not_recorded_is_not_sent() -> None:
    world = World(committed=NOTHING, seconds_per_wait=200)
    with pytest.raises(DeadlineExceededError):
        await world.deploy()
    assert (len(world.drafts), world.sender.sent) == (1, [])
