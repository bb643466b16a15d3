"""Metrics of a process for Prometheus, by OpenTelemetry. Ids never become labels."""

from collections.abc import Iterator
from contextlib import contextmanager

import prometheus_client
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import SERVICE_NAME, Resource

#: Instruments of this meter do nothing until `serving_metrics` runs, so modules may make theirs
#: when they are imported.
METER = metrics.get_meter("kalepool")
#: Seconds; OpenTelemetry's own bounds are made for milliseconds.
_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


@contextmanager
def serving_metrics(service: str, *, host: str, port: int) -> Iterator[None]:
    """Answer Prometheus on http://host:port/metrics while the block runs.

    With port 0 nothing is measured. To be called once in a process.
    """
    if not port:
        yield
        return
    provider = MeterProvider(
        metric_readers=[PrometheusMetricReader()],
        resource=Resource({SERVICE_NAME: service}),
        views=[
            View(
                instrument_name="*.duration",
                aggregation=ExplicitBucketHistogramAggregation(_SECONDS),
            )
        ],
    )
    metrics.set_meter_provider(provider)
    server, thread = prometheus_client.start_http_server(port, addr=host)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        provider.shutdown()
