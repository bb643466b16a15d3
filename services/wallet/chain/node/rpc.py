"""JSON-RPC of one Stellar node, with typed failures and a watch on its health and ledger age."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from libs.common.clock import Clock, SystemClock
from libs.common.errors import PoolError
from libs.common.local import address_of, in_brackets
from libs.common.singleflight import SingleFlight
from services.wallet.chain.errors import (
    NetworkMismatchError,
    RpcBusyError,
    RpcNoMethodError,
    RpcRejectedError,
    RpcUnavailableError,
    StaleAnswerError,
)
from services.wallet.chain.node.bodies import LARGE_AT_ONCE
from services.wallet.chain.node.fields import UNDECODABLE, Json, close_time_of, integer
from services.wallet.chain.node.health import PROBE_EVERY, EndpointState, EndpointStatus, Health
from services.wallet.chain.node.ledger_entries import MAX_KEYS, Reader, entries_question
from services.wallet.chain.node.lists import ListSize
from services.wallet.chain.node.questions import HEAD, HEALTH, IDENTITY, PASSPHRASE, Question
from services.wallet.chain.node.transaction_results import send_result
from services.wallet.chain.node.transport import ListRefusedError, Transport, open_transport
from services.wallet.domain.chain_facts import LedgerHead, SendResult
from services.wallet.domain.heights import Heights, Judgement, Standing

#: Requests of one `entries` at the same time.
_PARALLEL = 4
#: JSON-RPC's code of an internal error of the node; every other code is about the request.
_INTERNAL_ERROR, _NO_METHOD = -32603, -32601
#: Requests with envelopes at the same time; the other connections are left for reads.
_SENDS = 32

#: Characters of a node's words that are kept.
_KEPT_TEXT = 300

#: The judgement of an answer of a method that tells no ledger.
_NO_HEIGHT = Judgement(standing=Standing.FINE)

T = TypeVar("T")

#: The result of sendTransaction for an envelope, or the reason why there is none:
#: RpcUnavailableError means that the envelope may have been taken.
Sent = SendResult | PoolError


class Rpc:
    """One endpoint.

    The ledger of every answer is compared with the ledgers that all endpoints had shown before the
    question was asked.
    """

    def __init__(
        self,
        transport: Transport,
        host: str,
        *,
        passphrase: str,
        seen: Heights,
        position: int = 0,
        clock: Clock | None = None,
    ) -> None:
        """Create an endpoint.

        `position` is its own position among all endpoints; `seen` holds the heights of all of them.
        """
        self._clock = clock or SystemClock()
        self.health = Health(host, self._clock)
        self.position = position
        #: Additional check of a probe when the endpoint was set aside: whether it agrees again.
        self.recheck: Callable[[Rpc], Awaitable[None]] | None = None
        #: Time (monotonic) at which it last told a close time.
        self._timed = float("-inf")
        self._transport = transport
        self._passphrase = passphrase
        self._seen = seen
        self._ids = itertools.count(1)
        self._lists = ListSize(self._clock)
        self._sends = asyncio.Semaphore(_SENDS)
        self._probes: SingleFlight[None] = SingleFlight()

    # State -----------------------------------------------------------------------------------

    async def probe(self) -> None:
        """Ask which network the node is on and how far it is; update its health.

        Raises RpcUnavailableError, StaleAnswerError (it lags), or NetworkMismatchError.
        """
        await self._probes.run("probe", self._probe)

    async def ready(self) -> None:
        """Return when the endpoint may be asked; probe it first when it is not healthy.

        Raises the errors of `probe`, and RpcBusyError while the endpoint asks not to be called.
        """
        self.health.check_rest()
        if self.health.state is not EndpointState.HEALTHY:
            await self.probe()

    async def aclose(self) -> None:
        """End a probe that still runs."""
        await self._probes.aclose()

    def statuses(self) -> list[EndpointStatus]:
        """Return the status of this endpoint, as a list of one."""
        return [self.health.status()]

    @asynccontextmanager
    async def pinned(self) -> AsyncIterator["Rpc"]:
        """Yield this endpoint: it is only one."""
        yield self

    # Questions -------------------------------------------------------------------------------

    async def ask(self, question: Question[T]) -> T:
        """Return the facts in the endpoint's answer.

        Raises RpcUnavailableError also when the answer has no facts, or is from a ledger that no
        other node knows. Raises StaleAnswerError when the answer is from a ledger older than the
        one agreed on before the question.
        """
        floor, method = self._seen.floor, question.method
        request = self._request(method, question.parameters)

        def read(answer: Any) -> tuple[int | None, int | None, T]:
            result, height = self._result(answer, method, request["id"]), question.height
            if question.may_lack_height and height not in result:
                height = None
            with self._decoding(method):
                ledger = None if height is None else integer(result, height, low=1)
                return ledger, close_time_of(result), question.decode(result)

        self.health.check_rest()
        judgement = _NO_HEIGHT
        with self.health.watching():
            body = json.dumps(request).encode()
            ledger, close_time, facts = await self._transport.ask(method, body, read)
            if ledger is not None:
                judgement = self._judge(ledger, close_time, floor)
        if judgement.standing is Standing.BEHIND:
            reason = f"the Stellar node {self.health.host} {judgement.reason}"
            self.health.lag(reason)
            raise StaleAnswerError(reason, retry_after=1.0)
        return facts

    async def read(self, reading: Callable[["Rpc"], Awaitable[T]]) -> T:
        """Return this endpoint's answer to several questions that belong together."""
        return await reading(self)

    async def head(self) -> LedgerHead:
        """Return the latest ledger with its close time."""
        return await self.ask(HEAD)

    async def passphrase(self) -> str:
        """Return the network's passphrase."""
        return await self.ask(PASSPHRASE)

    async def entries(self, readers: Mapping[str, Reader[T]]) -> tuple[int, dict[str, T]]:
        """Return the ledger that was read and the readers' facts of its entries, by their keys.

        The keys are base64; missing entries are absent. More than 200 keys take several requests:
        then the ledger is the oldest one among the answers.
        """
        limit = asyncio.Semaphore(_PARALLEL)
        keys = list(readers)

        async def read(chunk: Sequence[str]) -> tuple[int, dict[str, T]]:
            async with limit:
                return await self.ask(entries_question({key: readers[key] for key in chunk}))

        chunks = [keys[start : start + MAX_KEYS] for start in range(0, len(keys), MAX_KEYS)]
        parts = await asyncio.gather(*(read(chunk) for chunk in chunks))
        found = {key: facts for _, part in parts for key, facts in part.items()}
        return min((ledger for ledger, _ in parts), default=0), found

    def parts(self, envelopes: Sequence[str]) -> Iterator[slice]:
        """Return the slices that cut envelopes into lists for `send`."""
        return self._lists.parts(envelopes)

    async def send(self, envelopes: Sequence[str], *, widely: bool = False) -> list[Sent]:
        """Return what sendTransaction says to each envelope.

        The envelopes go in one HTTP request, or in several when the node turns out not to take so
        many. `widely` has no effect: there is only one endpoint.
        """
        calls = [self._request("sendTransaction", {"transaction": text}) for text in envelopes]
        sent: list[Sent] = []
        try:
            async with self._sends:
                self.health.check_rest()
                with self.health.watching():
                    body = json.dumps(calls if len(calls) > 1 else calls[0]).encode()
                    sent = await self._transport.ask(
                        "sendTransaction",
                        body,
                        partial(self._sent, calls),
                        is_list=len(calls) > 1,
                    )
                    _check_any(sent)
        except ListRefusedError:
            self._lists.failed(len(calls))
            return await self._send_apart(envelopes)
        except RpcBusyError as error:
            return [error] * len(calls)  # the error says nothing of the list's length
        except PoolError as error:
            sent = sent or [error] * len(calls)
        if any(isinstance(item, PoolError) for item in sent):
            self._lists.failed(len(calls))
        else:
            self._lists.answered(len(calls))
        return sent

    async def _send_apart(self, envelopes: Sequence[str]) -> list[Sent]:
        parts = (self.send(envelopes[part]) for part in self.parts(envelopes))
        return [sent for part in await asyncio.gather(*parts) for sent in part]

    async def get(self, url: str) -> int:
        """Return the status of a plain GET, for friendbots."""
        return await self._transport.get(url)

    # Requests and answers --------------------------------------------------------------------

    async def _probe(self) -> None:
        identity = await self.ask(IDENTITY)
        self.health.passphrase = identity.passphrase
        self.health.hear_protocol(identity.protocol)
        if self.health.passphrase != self._passphrase:
            found, expected = self.health.passphrase, self._passphrase
            reason = f"the node {self.health.host} is on {found!r}, not on {expected!r}"
            self.health.mismatch(reason)
            raise NetworkMismatchError(reason, metadata={"expected": expected, "found": found})
        with suppress(RpcNoMethodError):  # the other questions tell, too
            await self.ask(HEALTH)
        if self._clock.monotonic() - self._timed > PROBE_EVERY / 2:
            await self.ask(HEAD)  # not every node version tells a close time with its health
        if self.health.state is EndpointState.SET_ASIDE and self.recheck is not None:
            await self.recheck(self)
        self.health.confirm()

    def _sent(self, calls: Sequence[Json], answers: Any) -> list[Sent]:
        """Return the answer to each call.

        Raises ListRefusedError, or the error that is wrong with the whole answer.
        """
        if len(calls) == 1:
            found = {calls[0]["id"]: answers}
        elif isinstance(answers, list):
            found = _by_id(answers)
        elif _is_refusal(answers):
            raise ListRefusedError
        else:
            raise self._transport.silent("sendTransaction", "an answer that is no list")
        return [self._sent_one(call["id"], found.get(call["id"])) for call in calls]

    def _sent_one(self, number: int, answer: Any) -> Sent:
        try:
            result = self._result(answer, "sendTransaction", number)
            with self._decoding("sendTransaction"):
                return send_result(result)
        except PoolError as error:
            return error

    def _judge(self, ledger: int, close_time: int | None, floor: int) -> Judgement:
        """Judge the height of the endpoint's answer.

        Raises RpcUnavailableError when no other node knows the height.
        """
        self.health.ledger, now = ledger, self._clock.monotonic()
        if close_time is not None:
            self._timed = now
        judgement = self._seen.claim(
            self.position, ledger, now=now, floor=floor, close_time=close_time
        )
        if judgement.standing is Standing.CONTRADICTED:
            self.health.contradict(judgement.reason)
        if judgement.standing in {Standing.AHEAD, Standing.CONTRADICTED}:
            reason = f"the Stellar node {self.health.host} {judgement.reason}"
            raise RpcUnavailableError(reason, retry_after=1.0)
        return judgement

    def _request(self, method: str, parameters: Json) -> Json:
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method}
        return {**request, "params": parameters} if parameters else request

    def _result(self, answer: Any, method: str, number: int) -> Json:
        if not isinstance(answer, dict):
            raise self._transport.silent(method, "an answer that is not JSON-RPC")
        # A request that cannot be parsed is refused without an id.
        if answer.get("id") != number and (answer.get("id") is not None or "error" not in answer):
            raise self._transport.silent(method, "the answer to another request")
        error, result = answer.get("error"), answer.get("result")
        if isinstance(error, dict):
            message = self._transport.clean(_words(error))
            if error.get("code") == _INTERNAL_ERROR:
                raise self._transport.silent(method, message)
            if error.get("code") == _NO_METHOD:
                raise RpcNoMethodError(f"{method}: {message}")
            raise RpcRejectedError(f"{method}: {message}")
        if not isinstance(result, dict):
            raise self._transport.silent(method, "an answer that is not JSON-RPC")
        return result

    @contextmanager
    def _decoding(self, method: str) -> Iterator[None]:
        """Treat an answer that no facts can be made of as no answer."""
        try:
            yield
        except UNDECODABLE as error:
            why = f"{type(error).__name__}: {error}"[:_KEPT_TEXT]
            raise self._transport.silent(method, f"an answer that cannot be read ({why})") from None


def shown_address(url: str) -> str:
    """Return host and port of a URL: the part that may be shown.

    Raises ValueError when the URL is no http(s) URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None  # the error's own message would show a part of the URL
    if not host or parts.scheme not in {"http", "https"}:
        raise ValueError("a Stellar RPC URL is http(s)://host[:port][/path]")
    return in_brackets(host) if port is None else address_of(host, port)


def _words(error: Json) -> str:
    """Return the text of an error; `data` has the reason where the message has only the kind."""
    parts = [error.get("message"), error.get("data")]
    return ": ".join(str(part)[:_KEPT_TEXT] for part in parts if isinstance(part, str) and part)


def _by_id(answers: Sequence[Any]) -> dict[int, Json]:
    """Return the answers to a list of calls, in whatever order, by the ids of the calls.

    Two answers to one call count as no answer.
    """
    found = [item for item in answers if isinstance(item, dict) and type(item.get("id")) is int]
    given = Counter(item["id"] for item in found)
    return {item["id"]: item for item in found if given[item["id"]] == 1}


def _is_refusal(answer: Any) -> bool:
    """Tell whether one answer to a list of calls says that the list is wrong.

    If so, no call of the list was carried out. An internal error of the server (-32603) does not
    say that the list is wrong.
    """
    error = answer.get("error") if isinstance(answer, dict) else None
    return isinstance(error, dict) and error.get("code") != _INTERNAL_ERROR


def _check_any(sent: Sequence[Sent]) -> None:
    """Raise the reason when there is no answer at all."""
    errors = [item for item in sent if isinstance(item, PoolError)]
    if len(errors) == len(sent):
        raise errors[0]


@asynccontextmanager
async def open_rpc(
    url: str,
    *,
    passphrase: str,
    timeout: float,
    seen: Heights,
    position: int = 0,
    room: asyncio.Semaphore | None = None,
) -> AsyncIterator[Rpc]:
    """Open the endpoint at a URL.

    `timeout` (s) is for one request; `room` limits the large answers of all endpoints.
    """
    host = shown_address(url)
    room = room or asyncio.Semaphore(LARGE_AT_ONCE)
    async with open_transport(url, host, timeout=timeout, room=room) as transport:
        rpc = Rpc(transport, host, passphrase=passphrase, seen=seen, position=position)
        try:
            yield rpc
        finally:
            await rpc.aclose()
