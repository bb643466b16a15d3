"""The names of the pool's services: in certificates, roles of the database and logs."""

#: All services, in the order in which their schemas are made: registry's farmers point at wallet's
#: wallets, events point at registry's farmers.
SERVICES = ("wallet", "registry", "plant", "work", "harvest")

#: The HTTP gateway's name in its certificate: a client of the services, and none of them.
GATEWAY = "gateway"


#: gRPC services that stand in a package of their own, and the service whose process serves each.
_SERVED_BY = {
    "kalepool.report.v1.ReportService": "harvest",
    "kalepool.report.v1.FeeService": "wallet",
}


def process_of(full_name: str) -> str:
    """Return the service whose process serves a gRPC service: kalepool.plant.v1.PlantService.

    What every process serves (kalepool.common.v1) gives "common".
    """
    return _SERVED_BY.get(full_name) or full_name.split(".")[1]


def role_of(service: str) -> str:
    """Return the database role of a service."""
    return f"kalepool_{service}"
