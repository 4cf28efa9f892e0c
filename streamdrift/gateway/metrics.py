"""What the gateway shows Prometheus."""

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    generate_latest,
)


class GatewayMetrics:
    """The gateway's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answers = Counter(
            "streamdrift_gateway_requests_total",
            "Requests answered, by status.",
            ["status"],
            registry=self.registry,
        )
        self._events = Counter(
            "streamdrift_gateway_events_total",
            "Events that the brokers acknowledged.",
            registry=self.registry,
        )
        self._working = Gauge(
            "streamdrift_gateway_requests_in_progress",
            "Requests that are not answered yet.",
            registry=self.registry,
        )

    def answered(self, status: int) -> None:
        """Count an answer."""
        self._answers.labels(str(status)).inc()

    def wrote(self, events: int) -> None:
        """Count events that were acknowledged."""
        self._events.inc(events)

    def working(self, requests: int) -> None:
        """Show how many requests are not answered yet."""
        self._working.set(requests)

    def exposition(self) -> tuple[bytes, str]:
        """Return what a scrape gets, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
