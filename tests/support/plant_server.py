"""A server at plant's place, with any servicer that a test of the transport needs."""

from collections.abc import Sequence
from typing import Any

import grpc
from kalepool.plant.v1 import plant_pb2_grpc

from libs.common.grpc.access import Owned
from libs.common.grpc.server import ServiceSpec
from libs.common.grpc.tokens import KeySource
from libs.kale.formats import FORMATS
from services.access import ACCESS


def plant_spec(servicer: Any, *, token_keys: KeySource | None = None) -> ServiceSpec:
    """Return a server that answers as plant with this class of servicer, under the pool's rules.

    `token_keys` are the keys of access tokens; None: those that wallet tells.
    """

    def register(server: grpc.aio.Server) -> None:
        plant_pb2_grpc.add_PlantServiceServicer_to_server(servicer(), server)

    async def nobodys(ids: Sequence[str]) -> set[str]:
        """Return the owner accounts of these farmers: none has one."""
        return {"" for _ in ids}

    return ServiceSpec(
        name="plant",
        full_names=("kalepool.plant.v1.PlantService",),
        register=register,
        access=ACCESS,
        accounts={Owned.FARMER: nobodys},
        kale_contract_id="CTEST",
        checks={},
        formats=FORMATS,
        token_keys=token_keys,
    )
