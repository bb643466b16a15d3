"""python -m gateway: serve HTTP until SIGTERM."""

import sys

import uvloop

from gateway.app import open_app
from gateway.config import GatewaySettings
from libs.common.descriptors import raise_limit
from libs.common.grpc.server import serve
from libs.common.log import configure_logging, get_logger
from libs.common.metrics import serving_metrics
from libs.common.start import listening, only_serves, read_settings

log = get_logger(__name__)


def main() -> None:
    """Run the gateway's process; exit with status 2 for wrong settings."""
    only_serves("python -m gateway", "Serves the pool by HTTP, until SIGTERM.", sys.argv[1:])
    settings = read_settings(GatewaySettings)
    configure_logging(service="gateway", level=settings.log_level, secrets=settings.secrets())
    for sentence in settings.old_names():
        log.warning(sentence)
    raise_limit()
    metrics = serving_metrics("gateway", host=settings.metrics_host, port=settings.metrics_port)
    with listening(), metrics:
        uvloop.run(serve(lambda: open_app(settings)))


if __name__ == "__main__":
    main()
