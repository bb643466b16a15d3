"""Metrics of a process for Prometheus, by OpenTelemetry. Ids never become labels."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import metrics

#: Instruments of this meter do nothing until `serving_metrics` runs, so modules may make theirs
#: when they are imported.
METER = metrics.get_meter("kalepool")


@contextmanager
def serving_metrics(service: str, *, host: str, port: int) -> Iterator[None]:
    """Answer Prometheus on http://host:port/metrics while the block runs.

    With port 0 nothing is measured. To be called once in a process.
    """
    if not port:
        yield
        return
    # OpenTelemetry's SDK costs each start a tenth of a second, so only who measures pays.
    from libs.common.metrics_server import answering_prometheus  # noqa: PLC0415

    with answering_prometheus(service, host=host, port=port):
        yield
