"""A server at plant's place, with any servicer that a test of the transport needs."""

from typing import Any

import grpc
from kalepool.plant.v1 import plant_pb2_grpc

from libs.common.grpc.server import ServiceSpec
from libs.kale.formats import FORMATS
from services.access import ACCESS


def plant_spec(servicer: Any) -> ServiceSpec:
    """Return a server that answers as plant with this class of servicer, under the pool's rules."""

    def register(server: grpc.aio.Server) -> None:
        plant_pb2_grpc.add_PlantServiceServicer_to_server(servicer(), server)

    return ServiceSpec(
        name="plant",
        full_names=("kalepool.plant.v1.PlantService",),
        register=register,
        access=ACCESS,
        kale_contract_id="CTEST",
        checks={},
        formats=FORMATS,
    )
