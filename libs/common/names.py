"""The names of the pool's services: in certificates, roles of the database and logs."""

#: All services, in the order in which their schemas are made: registry's farmers point at wallet's
#: wallets, events point at registry's farmers.
SERVICES = ("wallet", "registry", "plant", "work", "harvest")

#: The HTTP gateway's name in its certificate: a client of the services, and none of them.
GATEWAY = "gateway"


def role_of(service: str) -> str:
    """Return the database role of a service."""
    return f"kalepool_{service}"
