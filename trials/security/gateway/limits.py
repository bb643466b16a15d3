"""Limits of callers without a token, and what lies about their address change."""

from collections.abc import Sequence

from devstack.stack import Stack
from libs.common.names import GATEWAY
from trials.security.gateway.ways import Answer, Caller

#: Wrong tokens and public requests in a minute that an address may send in this trial.
_WRONG, _PUBLIC = 20, 40
_INFO, _LIST = "/v1/info", "/v1/poolers?pageSize=1"


async def lies(stack: Stack, caller: Caller, token: str) -> list[str]:
    """Return where a lie about an address gets a caller more than its own limit, in words."""
    limits = {"WRONG_TOKEN_LIMIT": str(_WRONG), "PUBLIC_RATE_LIMIT": str(_PUBLIC)}
    await stack.restart(GATEWAY, environment=limits)
    found = await _alone(caller, token)
    proxied = {**limits, "TRUSTED_PROXIES": "127.0.0.0/8"}
    await stack.restart(GATEWAY, environment=proxied)
    found += await _behind_a_proxy(caller)
    await stack.restart(GATEWAY)
    return found


async def _alone(caller: Caller, token: str) -> list[str]:
    """Try the gateway with nobody before it: all requests are one address's, whatever they say."""
    found = []
    known = await caller.ask("GET", _LIST, token=token)
    guesses = [
        await caller.ask("GET", _LIST, token=f"kp_{number:043}", headers=_lie(number))
        for number in range(3 * _WRONG)
    ]
    found += _judged("wrong tokens", guesses, wanted=401, most=_WRONG)
    # Whoever was here before goes on: its token is not looked up anew.
    again = await caller.ask("GET", _LIST, token=token)
    if (known.status, again.status) != (200, 200):
        found.append(f"a token that is known is answered {known.status}, then {again.status}")
    asked = [await caller.ask("GET", _INFO, headers=_lie(number)) for number in range(3 * _PUBLIC)]
    found += _judged("public requests", asked, wanted=200, most=_PUBLIC)
    return found


async def _behind_a_proxy(caller: Caller) -> list[str]:
    """Try the gateway behind a proxy: the last address that the proxy did not write counts."""

    async def ask(number: int, last: str) -> Answer:
        forged = f"198.51.100.{number % 250}, {last}"
        return await caller.ask("GET", _INFO, headers={"X-Forwarded-For": forged})

    asked = [await ask(number, "203.0.113.7") for number in range(3 * _PUBLIC)]
    found = _judged("public requests behind a proxy", asked, wanted=200, most=_PUBLIC)
    other = await ask(0, "203.0.113.8")
    if other.status != 200:
        found.append(f"another address behind the same proxy is answered {other.status}")
    return found


def _lie(number: int) -> dict[str, str]:
    address = f"198.51.100.{number % 250}"
    return {
        "X-Forwarded-For": f"{address}, 192.0.2.1",
        "Forwarded": f"for={address}",
        "X-Real-IP": address,
        "X-Client-IP": address,
        "True-Client-IP": address,
    }


def _judged(what: str, answers: Sequence[Answer], *, wanted: int, most: int) -> list[str]:
    statuses = [answer.status for answer in answers]
    found = []
    # The bucket fills while the requests are made: twice the limit is generous.
    if statuses.count(wanted) > 2 * most or 429 not in statuses:
        found.append(f"of {len(statuses)} {what} {statuses.count(wanted)} were answered {wanted}")
    strange = sorted(set(statuses) - {wanted, 429})
    if strange:
        found.append(f"{what} were answered {strange}")
    if any("retry-after" not in one.headers for one in answers if one.status == 429):
        found.append(f"{what}: 429 without Retry-After")
    return found
