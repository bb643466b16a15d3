"""schemathesis before a whole pool: what /openapi.json allows, and what it does not allow."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from devstack.stack import StackConfig, open_stack
from libs.common.names import SERVICES
from trials.security.tokens import gateway, make_bearer

pytestmark = pytest.mark.e2e

#: Requests of each operation that the document allows, and as many that it does not allow.
EXAMPLES = 12
#: A stream without an end, which schemathesis would wait for.
STREAMS = ("/v1/blocks:watch",)
#: Seconds of one request; a sound one may wait for the chain.
PATIENCE = 120.0
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


class Attack:
    """Requests made from the document, and what is wrong with the answers."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._headers = {"Authorization": f"Bearer {token}"}
        #: Answers by status.
        self.statuses: Counter[int] = Counter()
        #: Operations that were asked, with a method of HTTP.
        self.asked: set[str] = set()
        #: What is wrong, in words.
        self.failures: list[str] = []

    def run(self) -> None:
        """Ask every operation."""
        schema = schemathesis.openapi.from_url(f"{self._url}/openapi.json")
        found: Any
        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.path in STREAMS:
                continue
            for mode in GenerationMode:
                self._ask(operation, mode)

    def _ask(self, operation: Any, mode: GenerationMode) -> None:
        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            self.asked.add(operation.label)
            answer = case.call(
                self._url, self._session, self._headers, timeout=PATIENCE, allow_redirects=False
            )
            self.statuses[answer.status_code] += 1
            try:
                case.validate_response(answer, checks=CHECKS, headers=self._headers)
            except FailureGroup as group:
                self.failures += [f"{operation.label}: {one}" for one in group.exceptions]

        try:
            ask()
        except hypothesis.errors.Unsatisfiable:
            # Nothing can be wrong with a request that has no fields.
            if mode is GenerationMode.POSITIVE:
                raise


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    """urllib3 logs every request."""
    logger = logging.getLogger("urllib3")
    before, logger.level = logger.level, logging.WARNING
    yield
    logger.level = before


async def test_the_document_holds(tmp_path: Path) -> None:
    no_limit = {"API_RATE_LIMIT": "0"}
    config = StackConfig(
        directory=tmp_path / "stack",
        ledger_seconds=0.5,
        block_seconds=20,
        gateway=True,
        environment=dict.fromkeys(SERVICES, no_limit),
    )
    async with open_stack(config) as stack:
        async with gateway(stack) as through:
            bearer = await make_bearer(stack, "operator", through)
        attack = Attack(stack.gateway_url, bearer.text)
        await asyncio.to_thread(attack.run)
        stack.check()
    assert attack.failures == []
    assert attack.statuses[200] > 100
    assert attack.statuses[400] > 300
    assert len(attack.asked) > 50
