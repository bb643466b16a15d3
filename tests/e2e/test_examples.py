"""The examples farm a block on localnet, each as the README says; then records equal the chain."""

import asyncio
import json
import os
import re
import shutil
import signal
import sys
import sysconfig
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

import client
from devstack.chain_view import read_chain
from devstack.check import settled_verdict
from devstack.farmers import pooler_config, settle
from devstack.stack import OPERATOR, Stack, StackConfig, open_stack
from devstack.wallet_calls import wait_until
from libs.common.grpc.identity import CallerKind
from libs.common.names import SERVICES
from tests.support.commands import said_by

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
FARMERS = 2
#: Seconds for making stubs and building, and for farming two blocks.
BUILD_SECONDS, FARM_SECONDS = 600.0, 240.0
#: What makes stubs, in a copy of an example.
GENERATE = ("buf", "generate", f"{ROOT}/protos", "--path", f"{ROOT}/protos/kalepool")
#: The oldest Node.js that the pinned packages take.
OLDEST_NODE = (20, 19)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A pool that farms, and what its farmers were given."""

    #: The running pool.
    stack: Stack
    #: Stroops by address.
    funded: dict[str, int] = field(default_factory=dict)

    async def new_pooler(self) -> dict[str, str]:
        """Register a pooler with farmers who have KALE; return the variables of an example."""
        config = pooler_config(self.stack, FARMERS, 1)
        config, funded = await settle(self.stack, config, lambda _event: None, lambda _text: None)
        self.funded.update(funded)
        assert config.tls is not None
        return {
            "POOLER_ID": str(config.pooler_id),
            "BLOCKS": "1",
            **config.tls.environment,
            **{f"{name.upper()}_TARGET": self.stack.target(name) for name in SERVICES},
        }


@pytest.fixture(scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """One pool for all examples."""
    folder = tmp_path_factory.mktemp("examples") / "stack"
    # harvest's own sweep is faster than the example now and then: what it has paid counts, too.
    environment = {"harvest": {"HARVEST_SWEEP_SECONDS": "1"}}
    config = StackConfig(
        directory=folder, ledger_seconds=1.0, block_seconds=25, environment=environment
    )
    async with open_stack(config) as stack:
        yield Pool(stack=stack)
        stack.check()


async def start(
    command: Sequence[str], folder: Path, variables: Mapping[str, str] = {}
) -> asyncio.subprocess.Process:
    """Start a command."""
    scripts = sysconfig.get_path("scripts")
    return await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(
    command: Sequence[str], folder: Path, seconds: float, variables: Mapping[str, str] = {}
) -> tuple[int | None, str, str]:
    """The exit status of a command, and what it has said."""
    process = await start(command, folder, variables)
    output, errors = await said_by(process, seconds)
    return process.returncode, output, errors


async def output_of(
    command: Sequence[str], folder: Path, seconds: float, variables: Mapping[str, str] = {}
) -> str:
    """What a command prints; fails with all that it said when it fails."""
    status, output, errors = await ended(command, folder, seconds, variables)
    assert status == 0, output + errors
    return output


def copy(name: str, folder: Path) -> Path:
    """An example's own files in a folder of their own, without what somebody has built there."""
    ignored = shutil.ignore_patterns("gen", "dist", "node_modules", "pooler")
    return Path(shutil.copytree(EXAMPLES / name, folder / name, ignore=ignored))


def needs(*commands: str) -> None:
    """Skips where a command is missing; CI has all of them."""
    for command in commands:
        if shutil.which(command) is None:
            if os.environ.get("CI"):
                pytest.fail(f"CI needs {command}")
            pytest.skip(f"{command} is not installed")


async def farms_a_block(
    pool: Pool, command: Sequence[str], folder: Path, variables: Mapping[str, str] = {}
) -> None:
    """An example farms a block and is paid for it, and the records are what is on the chain."""
    environment = {**await pool.new_pooler(), **variables}
    printed = await output_of(command, folder, FARM_SECONDS, environment)
    first, second = (json.loads(line) for line in printed.splitlines())
    for line in (first, second):
        assert (line["planted"], line["worked"]) == (FARMERS, FARMERS)
    assert second["block"] > first["block"]
    assert (first["rewards"], second["rewards"] > 0) == (0, True)
    verdict = await settled_verdict(
        pool.stack, pool.funded, partial(read_chain, pool.stack.rpc_url)
    )
    assert verdict.equal, verdict.differences


#: The example in Python: command, folder, variables.
IN_PYTHON = (
    (sys.executable, str(EXAMPLES / "python" / "pooler.py")),
    ROOT,
    {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "gen")))},
)


async def test_the_one_in_python_farms_a_block(pool: Pool) -> None:
    await farms_a_block(pool, *IN_PYTHON)


#: What is wrong with the variables, and the variable that has to be named.
WRONG = {
    "no pooler": ({"POOLER_ID": ""}, "POOLER_ID"),
    "another id": ({"POOLER_ID": "mine"}, "POOLER_ID"),
    "no number": ({"BLOCKS": "many"}, "BLOCKS"),
    "no file": ({"TLS_CA_FILE": "/nowhere"}, "/nowhere"),
}


async def names_what_is_wrong(
    pool: Pool, command: Sequence[str], folder: Path, variables: Mapping[str, str] = {}
) -> None:
    """An example ends at once and names the variable, or the file, that is wrong."""
    files = pool.stack.certificates(CallerKind.OPERATOR, OPERATOR).environment
    sound = {"POOLER_ID": "0190a5f0-0000-7000-8000-000000000001", "BLOCKS": "1", **files}
    for name, (wrong, said) in WRONG.items():
        status, _, errors = await ended(command, folder, 60, {**sound, **variables, **wrong})
        assert (status, said in errors) == (1, True), (name, errors)
        assert "Traceback" not in errors, name
        assert errors.count("\n") <= 2, errors


async def test_the_one_in_python_names_what_is_wrong(pool: Pool) -> None:
    await names_what_is_wrong(pool, *IN_PYTHON)


async def says_that_nobody_answers(
    pool: Pool,
    said: str,
    command: Sequence[str],
    folder: Path,
    variables: Mapping[str, str] = {},
) -> asyncio.subprocess.Process:
    """An example tells who does not answer while it waits; then Ctrl-C ends it."""
    files = pool.stack.certificates(CallerKind.OPERATOR, OPERATOR).environment
    pooler = {"POOLER_ID": "0190a5f0-0000-7000-8000-000000000001", "WALLET_TARGET": "127.0.0.1:1"}
    process = await start(command, folder, {**files, **variables, **pooler})
    assert process.stderr is not None
    async with asyncio.timeout(60):
        line = (await process.stderr.readline()).decode()
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert said in line
    return process


async def test_the_one_in_python_says_that_nobody_answers(pool: Pool) -> None:
    process = await says_that_nobody_answers(pool, "GetBlock: failed to connect", *IN_PYTHON)
    assert process.returncode == 130


async def test_the_one_in_python_heeds_ctrl_c_while_it_mines(pool: Pool) -> None:
    command, folder, paths = IN_PYTHON
    variables = {**await pool.new_pooler(), **paths}
    process = await start(command, folder, variables)
    targets, operator = client.Targets.of_environment(variables), pool.stack.operator()
    async with client.open_client(targets, operator) as asked:
        pooler = client.PoolerId(UUID(variables["POOLER_ID"]))

        async def is_planted() -> bool:
            assert process.returncode is None, await process.communicate()
            block = (await asked.block()).head.current_block
            return bool([one async for one in asked.planted(pooler, block)])

        await wait_until(is_planted, "nothing is planted", seconds=FARM_SECONDS)
    # After a plant the nonces are searched for most of a block.
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (130, b"")


async def test_the_one_in_go_farms_a_block(pool: Pool, tmp_path: Path) -> None:
    needs("go")
    folder = copy("go", tmp_path)
    wanted = re.search(r"^go (\d+)\.(\d+)", (folder / "go.mod").read_text("utf-8"), re.MULTILINE)
    installed = re.search(r"go(\d+)\.(\d+)", await output_of(("go", "version"), tmp_path, 60))
    assert wanted is not None
    assert installed is not None
    if tuple(map(int, installed.groups())) < tuple(map(int, wanted.groups())):
        pytest.skip(f"go is too old: {installed[0]}, not {wanted[0]}")
    await output_of(GENERATE, folder, BUILD_SECONDS)
    await output_of(("go", "build", "-o", "pooler", "."), folder, BUILD_SECONDS)
    await farms_a_block(pool, (str(folder / "pooler"),), folder)
    await names_what_is_wrong(pool, (str(folder / "pooler"),), folder)
    await says_that_nobody_answers(
        pool, "wallet does not answer at ", (str(folder / "pooler"),), folder
    )


async def test_the_one_in_typescript_farms_a_block(pool: Pool, tmp_path: Path) -> None:
    needs("node", "npm")
    version = (await output_of(("node", "--version"), tmp_path, 60)).strip()
    if tuple(map(int, version.lstrip("v").split(".")[:2])) < OLDEST_NODE:
        pytest.skip(f"node is too old: {version}")
    folder = copy("typescript", tmp_path)
    await output_of(("npm", "ci", "--no-audit", "--no-fund"), folder, BUILD_SECONDS)
    await output_of(GENERATE, folder, BUILD_SECONDS)
    await output_of(("npm", "run", "build"), folder, BUILD_SECONDS)
    await farms_a_block(pool, ("npm", "start", "--silent"), folder)
    await names_what_is_wrong(pool, ("npm", "start", "--silent"), folder)
    program = (
        "node",
        *json.loads((folder / "package.json").read_text("utf-8"))["scripts"]["start"].split()[1:],
    )
    await says_that_nobody_answers(pool, "wallet does not answer at ", program, folder)
