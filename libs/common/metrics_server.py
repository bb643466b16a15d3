"""The answers to Prometheus: OpenTelemetry's SDK and a small HTTP server of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

import prometheus_client
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import SERVICE_NAME, Resource

#: Seconds; OpenTelemetry's own bounds are made for milliseconds.
_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


@contextmanager
def answering_prometheus(service: str, *, host: str, port: int) -> Iterator[None]:
    """Answer on http://host:port/metrics while the block runs. To be called once in a process."""
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
