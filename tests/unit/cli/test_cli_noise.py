"""gRPC's core, which has a mouth of its own, says nothing beside the command."""

import asyncio
import os
import sys
from pathlib import Path

import grpc

from libs.common.authority import CERTIFICATE_FILE, Authority, make_authority
from libs.common.grpc.identity import TRUST_DOMAIN, CallerKind

ROOT = Path(__file__).resolve().parents[3]


def issue(authority: Authority, kind: CallerKind, name: str, folder: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    return authority.issue(kind, name, days=1).save(folder, name)


async def said(target: str, variables: dict[str, str], *program: str) -> str:
    """What a program writes to standard error, with such a certificate."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *program),
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "gen"))),
            "REGISTRY_TARGET": target,
            **variables,
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        _, errors = await process.communicate()
    return errors.decode()


async def test_a_handshake_that_fails_is_told_once(tmp_path: Path) -> None:
    """The core writes a line of its own, unless it is told not to: seen at another level."""
    ours, strangers = make_authority(TRUST_DOMAIN), make_authority(TRUST_DOMAIN)
    ours.save(tmp_path)
    certificate, key = issue(ours, CallerKind.OPERATOR, "ann", tmp_path)
    shown, secret = issue(strangers, CallerKind.SERVICE, "registry", tmp_path)
    pair = (secret.read_bytes(), shown.read_bytes())
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    await server.start()
    variables = {
        "TLS_CERT_FILE": str(certificate),
        "TLS_KEY_FILE": str(key),
        "TLS_CA_FILE": str(tmp_path / CERTIFICATE_FILE),
        "KALEPOOL_CONFIG_HOME": str(tmp_path),
    }
    line = ("-m", "cli", "pooler", "list")
    told = await said(f"127.0.0.1:{port}", variables, *line)
    loud = await said(f"127.0.0.1:{port}", {**variables, "GRPC_VERBOSITY": "INFO"}, *line)
    await server.stop(None)
    assert (told.startswith("kalepool: UNAVAILABLE: "), told.count("\n")) == (True, 1), told
    assert "Handshake failed" in loud
