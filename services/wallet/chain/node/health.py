"""The health of one Stellar RPC endpoint: a small state machine, its latency, its last ledger."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, unique

from libs.common.clock import Clock
from libs.common.log import get_logger
from libs.common.states import StateTable
from services.wallet.chain.errors import (
    RpcBusyError,
    RpcRejectedError,
    RpcUnavailableError,
    UnknownAnswerError,
)

log = get_logger(__name__)

#: The newest protocol of the network that this version of wallet was tested with.
NEWEST_PROTOCOL = 27
#: Failures in a row after which an endpoint counts as away.
AWAY_AFTER = 3
#: Seconds between two probes of an endpoint that is in use or lags.
PROBE_EVERY = 5.0
#: Seconds until the second probe of an endpoint that is away; doubles with each failed probe.
FIRST_PAUSE = 1.0
#: Seconds between two probes at most.
LONGEST_PAUSE = 30.0
#: Seconds for which an endpoint that others contradict is set aside; doubles each further time.
FIRST_BAN = 30.0
LONGEST_BAN = 3600.0
#: Seconds without a contradiction after which the next contradiction counts as the first.
_FORGIVEN_AFTER = 2 * LONGEST_BAN
#: Seconds in which the weight of a slow answer falls to a third.
_FORGETS_IN = 10.0


@unique
class EndpointState(Enum):
    """The state of an endpoint; only HEALTHY endpoints are asked."""

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
    #: Others contradicted it: not used until it has been left alone for a while and agrees again.
    SET_ASIDE = "set_aside"


@unique
class EndpointSign(Enum):
    """A sign that an endpoint shows, which may change its state."""

    #: A probe found our network and a ledger that is new enough.
    CONFIRM = "confirm"
    #: An answer from a ledger that is too old.
    LAG = "lag"
    #: A probe found another passphrase.
    MISMATCH = "mismatch"
    #: The last of AWAY_AFTER failures in a row.
    FAIL = "fail"
    #: It said something that most others say otherwise.
    CONTRADICT = "contradict"


_S, _G = EndpointState, EndpointSign

ENDPOINT_EDGES: StateTable[EndpointState, EndpointSign] = StateTable(
    initial=_S.UNVERIFIED,
    edges={
        (_S.UNVERIFIED, _G.CONFIRM): (_S.HEALTHY, "A probe found our network."),
        (_S.UNVERIFIED, _G.LAG): (_S.LAGGING, "It is behind."),
        (_S.UNVERIFIED, _G.MISMATCH): (
            _S.WRONG_NETWORK,
            "The first probe found another passphrase.",
        ),
        (_S.UNVERIFIED, _G.FAIL): (_S.AWAY, "It never gave a usable answer."),
        (_S.HEALTHY, _G.CONFIRM): (_S.HEALTHY, "A probe found all as before."),
        (_S.HEALTHY, _G.LAG): (_S.LAGGING, "It fell behind."),
        (_S.HEALTHY, _G.MISMATCH): (
            _S.WRONG_NETWORK,
            "Every probe asks for the passphrase: another node may stand at the same "
            "address by now.",
        ),
        (_S.HEALTHY, _G.FAIL): (_S.AWAY, "It failed several times in a row."),
        (_S.LAGGING, _G.CONFIRM): (_S.HEALTHY, "It caught up."),
        (_S.LAGGING, _G.LAG): (_S.LAGGING, "It is still behind."),
        (_S.LAGGING, _G.MISMATCH): (_S.WRONG_NETWORK, "Another node stands at the same address."),
        (_S.LAGGING, _G.FAIL): (_S.AWAY, "It failed several times in a row."),
        (_S.AWAY, _G.CONFIRM): (_S.HEALTHY, "It is back."),
        (_S.AWAY, _G.LAG): (_S.LAGGING, "It is back, and behind."),
        (_S.AWAY, _G.MISMATCH): (_S.WRONG_NETWORK, "Another node stands at the same address."),
        (_S.AWAY, _G.FAIL): (_S.AWAY, "It is still away."),
        (_S.WRONG_NETWORK, _G.CONFIRM): (_S.HEALTHY, "Only its passphrase brings it back."),
        (_S.WRONG_NETWORK, _G.LAG): (_S.LAGGING, "The passphrase is ours again, and it is behind."),
        (_S.WRONG_NETWORK, _G.MISMATCH): (_S.WRONG_NETWORK, "It is still on another network."),
        (_S.WRONG_NETWORK, _G.FAIL): (
            _S.WRONG_NETWORK,
            "Silence does not bring it back: what comes after it is not known.",
        ),
        (_S.UNVERIFIED, _G.CONTRADICT): (_S.SET_ASIDE, "Most others say otherwise."),
        (_S.HEALTHY, _G.CONTRADICT): (_S.SET_ASIDE, "Most others say otherwise."),
        (_S.LAGGING, _G.CONTRADICT): (_S.SET_ASIDE, "Most others say otherwise."),
        (_S.AWAY, _G.CONTRADICT): (_S.SET_ASIDE, "Most others say otherwise."),
        (_S.WRONG_NETWORK, _G.CONTRADICT): (_S.WRONG_NETWORK, "It is not used anyway."),
        (_S.SET_ASIDE, _G.CONFIRM): (
            _S.HEALTHY,
            "The time that it is set aside for is over, and a probe matches what the others say.",
        ),
        (_S.SET_ASIDE, _G.LAG): (
            _S.SET_ASIDE,
            "Lagging does not bring it back: a liar could choose to lag.",
        ),
        (_S.SET_ASIDE, _G.FAIL): (
            _S.SET_ASIDE,
            "Failing does not bring it back: a liar could choose to fail.",
        ),
        (_S.SET_ASIDE, _G.MISMATCH): (_S.WRONG_NETWORK, "A probe found another passphrase."),
        (_S.SET_ASIDE, _G.CONTRADICT): (
            _S.SET_ASIDE,
            "It is contradicted again, and set aside for longer.",
        ),
    },
)


@dataclass(frozen=True, kw_only=True)
class EndpointStatus:
    """The status of an endpoint as operators see it."""

    #: Host and port; the rest of the URL may be secret.
    host: str
    #: What may be asked of it.
    state: EndpointState
    #: Seconds that its answers take; the value rises at once and falls slowly.
    latency: float
    #: Failures in a row.
    failures: int
    #: The last ledger that it showed; 0 before the first.
    ledger: int
    #: Passphrase of its network, as it said; empty before it did.
    passphrase: str
    #: Why it is not asked, or what went wrong with its last answer; empty when all is well.
    reason: str
    #: Since when it is in this state.
    since: datetime
    #: Times that others contradicted it.
    contradictions: int
    #: Seconds for which it asks not to be called.
    resting: float = 0.0
    #: Protocol of its network, as it said; 0 before it did.
    protocol: int = 0

    @property
    def is_newer(self) -> bool:
        """Tell whether its network's protocol is newer than what wallet was tested with."""
        return self.protocol > NEWEST_PROTOCOL


class Health:
    """The judgement of one endpoint by the results of its requests.

    Probes promote the endpoint, answers only demote it.
    """

    def __init__(self, host: str, clock: Clock) -> None:
        self.host = host
        self.state = EndpointState.UNVERIFIED
        #: Seconds that answers take: the longest recent time, which fades.
        self.latency = 0.0
        #: Failures in a row.
        self.failures = 0
        #: The last ledger that it showed.
        self.ledger = 0
        #: Passphrase and protocol that it said.
        self.passphrase = ""
        self.protocol = 0
        #: Times that others contradicted it.
        self.contradictions = 0
        #: By the monotonic clock: since when it is in its state.
        self.since = clock.monotonic()
        self._since = clock.now()
        self._clock = clock
        self._measured = clock.monotonic()
        self._reason = ""
        self._pause = FIRST_PAUSE
        self._ban = 0.0
        self._contradicted = float("-inf")
        self._rests_from = self._rests_until = float("-inf")
        self._rest_reason = ""
        self._last_failure = ""

    @property
    def resting(self) -> float:
        """Return the seconds for which the endpoint still asks not to be called, or 0."""
        return max(0.0, self._rests_until - self._clock.monotonic())

    @property
    def lost(self) -> float:
        """Return the time since which the endpoint cannot be asked (monotonic s).

        The value is meaningful only when the endpoint cannot be asked.
        """
        return max(self.since, self._rests_from) if self.resting else self.since

    def check_rest(self) -> None:
        """Raise RpcBusyError while the endpoint asks not to be called."""
        resting = self.resting
        if resting > 0:
            raise RpcBusyError(self._rest_reason, retry_after=resting)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count the result of the one request that the block makes."""
        started = self._clock.monotonic()
        try:
            yield
        except RpcBusyError as error:
            self._rest(error)
            raise
        except RpcUnavailableError as error:
            self._failed(str(error))
            raise
        except (RpcRejectedError, UnknownAnswerError):
            self.failures = 0  # both are answers, too
            raise
        else:
            self.failures = 0
        finally:
            # Measure also when another endpoint answered sooner: this one takes at least so long.
            self._measure(self._clock.monotonic() - started)

    @property
    def is_banned(self) -> bool:
        """Tell whether the endpoint is set aside and not even a probe brings it back yet."""
        return self.state is EndpointState.SET_ASIDE and self._ban_left() > 0

    def hear_protocol(self, protocol: int) -> None:
        """Note the protocol of the node's network; log once that it is newer than what is known."""
        if protocol != self.protocol and protocol > NEWEST_PROTOCOL:
            log.warning("newer protocol", host=self.host, protocol=protocol, known=NEWEST_PROTOCOL)
        self.protocol = protocol

    def confirm(self) -> None:
        """Record that a probe found our network and a ledger that is new enough."""
        if self.is_banned:
            return
        self._pause = FIRST_PAUSE
        self._become(EndpointSign.CONFIRM, "")

    def lag(self, reason: str) -> None:
        """Record that an answer came from a ledger that is too old."""
        self._become(EndpointSign.LAG, reason)

    def mismatch(self, reason: str) -> None:
        """Record that a probe found another network."""
        self._become(EndpointSign.MISMATCH, reason)

    def contradict(self, reason: str) -> None:
        """Record that most other endpoints say otherwise, and set the endpoint aside.

        `reason` says what they say. Each time the endpoint is set aside for longer.
        """
        if self.is_banned:
            return
        now = self._clock.monotonic()
        is_first = now - self._contradicted > _FORGIVEN_AFTER
        self._ban = FIRST_BAN if is_first else min(LONGEST_BAN, 2 * self._ban)
        self._contradicted = now
        self.contradictions += 1
        self._become(EndpointSign.CONTRADICT, reason)

    def _ban_left(self) -> float:
        return self._contradicted + self._ban - self._clock.monotonic()

    def next_pause(self) -> float:
        """Return the seconds until the next probe; each failed probe doubles them."""
        if self.is_banned:
            # A banned endpoint is only probed: the height that it tells may be of use.
            return min(LONGEST_PAUSE, max(FIRST_PAUSE, self._ban_left()))
        if self.resting:
            return self.resting
        if self.state in {EndpointState.HEALTHY, EndpointState.LAGGING}:
            return PROBE_EVERY
        pause, self._pause = self._pause, min(LONGEST_PAUSE, self._pause * 2)
        return pause

    async def pause(self) -> None:
        """Wait until the next probe is due.

        When the endpoint goes away meanwhile, the wait ends early: the node may just have been
        restarted.
        """
        before, end = self.state, self._clock.monotonic() + self.next_pause()
        while (left := end - self._clock.monotonic()) > 0:
            await asyncio.sleep(min(left, FIRST_PAUSE))
            if self.state is EndpointState.AWAY is not before:
                return

    def status(self) -> EndpointStatus:
        """Return the status as operators see it."""
        return EndpointStatus(
            host=self.host,
            state=self.state,
            latency=self.latency,
            failures=self.failures,
            ledger=self.ledger,
            passphrase=self.passphrase,
            reason=self._why(),
            since=self._since,
            contradictions=self.contradictions,
            resting=self.resting,
            protocol=self.protocol,
        )

    def _why(self) -> str:
        if self.resting and not self._reason:
            return self._rest_reason
        return self._reason or (self._last_failure if self.failures else "")

    def _rest(self, error: RpcBusyError) -> None:
        rest = error.retry_after or FIRST_PAUSE
        if not self.resting:
            self._rests_from = self._clock.monotonic()
        self._rests_until = max(self._rests_until, self._clock.monotonic() + rest)
        self._rest_reason = str(error)
        log.info("stellar endpoint rests", host=self.host, seconds=rest, reason=str(error))

    def _failed(self, reason: str) -> None:
        self.failures += 1
        self._last_failure = reason
        if self.failures >= AWAY_AFTER:
            self._become(EndpointSign.FAIL, reason)

    def _measure(self, seconds: float) -> None:
        """Update the peak-sensitive mean of answer times.

        One slow answer counts at once; fast answers make it fade with time.
        """
        now = self._clock.monotonic()
        if seconds >= self.latency:
            self.latency = seconds
        else:
            weight = math.exp((self._measured - now) / _FORGETS_IN)
            self.latency = self.latency * weight + seconds * (1 - weight)
        self._measured = now

    def _become(self, sign: EndpointSign, reason: str) -> None:
        before, self.state = self.state, ENDPOINT_EDGES[self.state, sign]
        if self.state is EndpointState.HEALTHY:
            self._reason = ""
        elif self.state is not EndpointState.SET_ASIDE or sign is EndpointSign.CONTRADICT:
            self._reason = reason
        if before is not self.state:
            self.since, self._since = self._clock.monotonic(), self._clock.now()
            fine = self.state is EndpointState.HEALTHY
            (log.info if fine else log.warning)(
                "stellar endpoint",
                host=self.host,
                before=before.value,
                now=self.state.value,
                reason=reason,
            )
