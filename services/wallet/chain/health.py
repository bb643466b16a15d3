"""How one Stellar RPC endpoint is doing: a small state machine, its latency, its last ledger."""

import asyncio
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, unique

from libs.common.clock import Clock
from libs.common.log import get_logger
from services.wallet.chain.errors import (
    RpcBusyError,
    RpcRejectedError,
    RpcUnavailableError,
    UnknownMetaError,
)

log = get_logger(__name__)

#: Failures in a row after which an endpoint counts as away.
AWAY_AFTER = 3
#: Seconds between two probes of an endpoint that is in use, or only has to catch up.
PROBE_EVERY = 5.0
#: Seconds until the second probe of an endpoint that is away; doubles with each that fails.
FIRST_PAUSE = 1.0
#: Seconds between two probes at most.
LONGEST_PAUSE = 30.0
#: Seconds in which a slow answer's weight falls to a third.
_FORGETS_IN = 10.0


@unique
class EndpointState(Enum):
    """What may be asked of an endpoint: only HEALTHY ones are asked."""

    #: Nobody has asked yet which network it is on.
    UNVERIFIED = "unverified"
    #: On our network, and not behind.
    HEALTHY = "healthy"
    #: On our network, but behind a ledger that was seen elsewhere.
    LAGGING = "lagging"
    #: Gave no usable answer several times in a row.
    AWAY = "away"
    #: On another network: never used.
    WRONG_NETWORK = "wrong_network"


@unique
class EndpointSign(Enum):
    """What an endpoint showed of itself."""

    #: A probe found our network and a ledger that is new enough.
    CONFIRM = "confirm"
    #: An answer from a ledger that is too old.
    LAG = "lag"
    #: A probe found another passphrase.
    MISMATCH = "mismatch"
    #: The last of AWAY_AFTER failures in a row.
    FAIL = "fail"


_S, _G = EndpointState, EndpointSign

ENDPOINT_EDGES: Mapping[tuple[EndpointState, EndpointSign], EndpointState] = {
    (_S.UNVERIFIED, _G.CONFIRM): _S.HEALTHY,
    (_S.UNVERIFIED, _G.LAG): _S.LAGGING,
    (_S.UNVERIFIED, _G.MISMATCH): _S.WRONG_NETWORK,
    (_S.UNVERIFIED, _G.FAIL): _S.AWAY,
    (_S.HEALTHY, _G.CONFIRM): _S.HEALTHY,
    (_S.HEALTHY, _G.LAG): _S.LAGGING,
    # Every probe asks for the passphrase: another node may stand at the same address by now.
    (_S.HEALTHY, _G.MISMATCH): _S.WRONG_NETWORK,
    (_S.HEALTHY, _G.FAIL): _S.AWAY,
    (_S.LAGGING, _G.CONFIRM): _S.HEALTHY,
    (_S.LAGGING, _G.LAG): _S.LAGGING,
    (_S.LAGGING, _G.MISMATCH): _S.WRONG_NETWORK,
    (_S.LAGGING, _G.FAIL): _S.AWAY,
    (_S.AWAY, _G.CONFIRM): _S.HEALTHY,
    (_S.AWAY, _G.LAG): _S.LAGGING,
    (_S.AWAY, _G.MISMATCH): _S.WRONG_NETWORK,
    (_S.AWAY, _G.FAIL): _S.AWAY,
    # Only its passphrase brings it back. Silence does not: what comes after it is not known.
    (_S.WRONG_NETWORK, _G.CONFIRM): _S.HEALTHY,
    (_S.WRONG_NETWORK, _G.LAG): _S.LAGGING,
    (_S.WRONG_NETWORK, _G.MISMATCH): _S.WRONG_NETWORK,
    (_S.WRONG_NETWORK, _G.FAIL): _S.WRONG_NETWORK,
}


@dataclass(frozen=True, kw_only=True)
class EndpointStatus:
    """An endpoint as operators see it."""

    #: Host and port; the rest of the URL may be secret.
    host: str
    #: What may be asked of it.
    state: EndpointState
    #: Seconds that its answers take: rises at once, falls slowly.
    latency: float
    #: Failures in a row.
    failures: int
    #: The last ledger that it showed; 0 before the first.
    ledger: int
    #: Passphrase of its network, as it said; empty before it did.
    passphrase: str
    #: Why it is not asked, or what went wrong with its last answer; empty when all is well.
    reason: str
    #: Seconds for which it wants to be left alone.
    resting: float = 0.0


class Health:
    """Judges one endpoint by what becomes of its requests. Probes promote, answers only demote."""

    def __init__(self, host: str, clock: Clock) -> None:
        self.host = host
        self.state = EndpointState.UNVERIFIED
        #: Seconds that answers take: the worst of late, fading.
        self.latency = 0.0
        #: Failures in a row.
        self.failures = 0
        #: The last ledger that it showed.
        self.ledger = 0
        #: Passphrase that it said.
        self.passphrase = ""
        self._clock = clock
        self._measured = clock.monotonic()
        self._reason = ""
        self._pause = FIRST_PAUSE
        self._rests_until = float("-inf")
        self._rest_reason = ""
        self._last_failure = ""

    @property
    def resting(self) -> float:
        """Seconds for which it still wants to be left alone; 0 when it does not."""
        return max(0.0, self._rests_until - self._clock.monotonic())

    def check_rest(self) -> None:
        """Raises RpcBusyError while it wants to be left alone."""
        resting = self.resting
        if resting > 0:
            raise RpcBusyError(self._rest_reason, retry_after=resting)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Counts what becomes of the one request that the block makes."""
        started = self._clock.monotonic()
        try:
            yield
        except RpcBusyError as error:
            self._rest(error)
            raise
        except RpcUnavailableError as error:
            self._failed(str(error))
            raise
        except (RpcRejectedError, UnknownMetaError):
            self.failures = 0  # both are answers, too
            raise
        else:
            self.failures = 0
        finally:
            # Also when another endpoint's answer overtook it: one waits here at least so long.
            self._measure(self._clock.monotonic() - started)

    def confirm(self) -> None:
        """A probe found our network and a ledger that is new enough."""
        self._pause = FIRST_PAUSE
        self._become(EndpointSign.CONFIRM, "")

    def lag(self, reason: str) -> None:
        """An answer came from a ledger that is too old."""
        self._become(EndpointSign.LAG, reason)

    def mismatch(self, reason: str) -> None:
        """A probe found another network."""
        self._become(EndpointSign.MISMATCH, reason)

    def next_pause(self) -> float:
        """Seconds until the next probe; each one in vain doubles them."""
        if self.resting:
            return self.resting
        if self.state in {EndpointState.HEALTHY, EndpointState.LAGGING}:
            return PROBE_EVERY
        pause, self._pause = self._pause, min(LONGEST_PAUSE, self._pause * 2)
        return pause

    async def pause(self) -> None:
        """Waits until the next probe is due; a node that goes away meanwhile is soon looked for: it
        may just have been restarted."""
        before, end = self.state, self._clock.monotonic() + self.next_pause()
        while (left := end - self._clock.monotonic()) > 0:
            await asyncio.sleep(min(left, FIRST_PAUSE))
            if self.state is EndpointState.AWAY is not before:
                return

    def status(self) -> EndpointStatus:
        """As operators see it."""
        return EndpointStatus(
            host=self.host,
            state=self.state,
            latency=self.latency,
            failures=self.failures,
            ledger=self.ledger,
            passphrase=self.passphrase,
            reason=self._why(),
            resting=self.resting,
        )

    def _why(self) -> str:
        if self.resting and not self._reason:
            return self._rest_reason
        return self._reason or (self._last_failure if self.failures else "")

    def _rest(self, error: RpcBusyError) -> None:
        rest = error.retry_after or FIRST_PAUSE
        self._rests_until = max(self._rests_until, self._clock.monotonic() + rest)
        self._rest_reason = str(error)
        log.info("stellar endpoint rests", host=self.host, seconds=rest, reason=str(error))

    def _failed(self, reason: str) -> None:
        self.failures += 1
        self._last_failure = reason
        if self.failures >= AWAY_AFTER:
            self._become(EndpointSign.FAIL, reason)

    def _measure(self, seconds: float) -> None:
        """Peak-sensitive mean: one slow answer counts at once, fast ones make it fade with time."""
        now = self._clock.monotonic()
        if seconds >= self.latency:
            self.latency = seconds
        else:
            weight = math.exp((self._measured - now) / _FORGETS_IN)
            self.latency = self.latency * weight + seconds * (1 - weight)
        self._measured = now

    def _become(self, sign: EndpointSign, reason: str) -> None:
        before, self.state = self.state, ENDPOINT_EDGES[self.state, sign]
        self._reason = "" if self.state is EndpointState.HEALTHY else reason
        if before is not self.state:
            fine = self.state is EndpointState.HEALTHY
            (log.info if fine else log.warning)(
                "stellar endpoint",
                host=self.host,
                before=before.value,
                now=self.state.value,
                reason=reason,
            )
