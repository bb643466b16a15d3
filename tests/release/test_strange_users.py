"""The pool where strangers start it: behind proxies, on ::1, without a name, beside another one."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from devstack.farming import farm
from devstack.stack import StackConfig, open_stack
from pooler.report import TextReport
from tests.support.release import SMALL, clone, code_path, end_of, start_module

pytestmark = pytest.mark.e2e
#: A user id that no system gives to anybody.
NOBODY_S = 54_321
#: Python that can also start itself: setpriv's first program still has some rights of root's.
_TRIED = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"


def has_ipv6() -> bool:
    """Tell whether the machine has ::1."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
async def test_a_pool_on_the_ipv6_loopback(tmp_path: Path) -> None:
    config = StackConfig(directory=tmp_path / "pool", host="::1", gateway=True)
    async with open_stack(config) as stack:
        assert stack.target("wallet").startswith("[::1]:")
        result = await farm(stack, 3, 1, TextReport(), print)
        assert result.verdict.equal, result.verdict.differences
        assert result.run.harvested >= 3
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{stack.gateway_url}/v1/blocks:current") as answer,
        ):
            assert (answer.status, bool(await answer.json())) == (200, True)


@contextmanager
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """Run a proxy that answers nobody; yield its URL, and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(1)
                    asked.append(connection.recv(200))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        server.shutdown(socket.SHUT_RDWR)


def test_a_proxy_in_the_environment_is_not_asked_for_this_machine(tmp_path: Path) -> None:
    names = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")
    with proxy() as (url, asked):
        variables = {case: url for name in names for case in (name, name.upper())}
        variables |= {"no_proxy": "", "NO_PROXY": ""}
        ended = end_of(start_module(tmp_path, SMALL, environment=variables))
    assert ended.status == 0, ended.words
    assert asked == []


@contextmanager
def nameless_folder() -> Iterator[Path]:
    """Make a folder that a user without a name can write to, with a home that it cannot."""
    folder = Path(tempfile.mkdtemp(prefix="kalepool-nameless-", dir="/tmp"))
    try:
        folder.chmod(0o755)
        (folder / "home").mkdir(mode=0o555)
        (folder / "work").mkdir(mode=0o755)
        os.chown(folder / "work", NOBODY_S, NOBODY_S)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def nameless_python() -> list[str] | None:
    """Return a command that runs this version of Python as a user without a name; None: nothing."""
    as_nobody = ["setpriv", f"--reuid={NOBODY_S}", f"--regid={NOBODY_S}", "--clear-groups", "--"]
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return None
    version = f"python3.{sys.version_info.minor}"
    # Root's own Python may lie where nobody else comes.
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        try:
            done = subprocess.run(
                [*as_nobody, python, "-c", _TRIED], check=False, capture_output=True, cwd="/"
            )
        except OSError:
            continue
        if done.returncode == 0:
            return [*as_nobody, python]
    return None


def test_a_user_without_a_name_and_with_a_home_that_is_read_only() -> None:
    python = nameless_python()
    if python is None:
        pytest.skip("needs root, setpriv, and a Python that others may run")
    with nameless_folder() as folder:
        packages = Path(pytest.__file__).parents[1]
        variables = {
            "HOME": str(folder / "home"),
            "PYTHONPATH": code_path() + os.pathsep + str(packages),
            "KALEPOOL_CONFIG_HOME": "",
            "USER": "",
            "LOGNAME": "",
            "TMPDIR": str(folder / "work"),
        }
        started = start_module(folder / "work", SMALL, environment=variables, python=python)
        ended = end_of(started)
        assert ended.status == 0, ended.words
        assert list((folder / "home").iterdir()) == []


def test_two_clones_farm_at_the_same_time(tmp_path: Path) -> None:
    clones = [clone(tmp_path / name) for name in ("one", "two")]
    started = [start_module(root, SMALL, root=root) for root in clones]
    ended = [end_of(command) for command in started]
    assert [item.status for item in ended] == [0, 0], "\n".join(item.words for item in ended)
    for root in clones:
        assert (root / "var" / "demo" / "summary.json").exists()
