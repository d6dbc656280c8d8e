"""What is measured, and the one place that counts it.

`METRICS` names all of it; `docs/operations/metrics.md` is compared with it by a test. Code says what happened in one
line (`metrics.count(LOGINS_FAILED, reason)`). Counts gather in a dict and are folded once a second: on the way of a
request they cost a fraction of a microsecond each. Prometheus' library is loaded only where the setting
`metrics_networks` lets somebody read them.

With several workers of one server each writes its values into files of a folder (the library's multi-process mode), and
whoever is asked reads all of them. `homeport serve` makes the folder and takes it away.
"""

import os
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The library reads it when it is imported: by it worker processes know of the folder."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0)
"""From a manifest out of memory to a layer over a slow line."""

_LIVE_FILE = re.compile(r"gauge_live\w+_(\d+)\.db")

Kind = Literal["counter", "gauge", "histogram"]
Mode = Literal["all", "livesum", "livemax", "max"]


class Metric:
    """One name. `mode` says how a gauge's values of several workers make one; `live` leaves out those that ended."""

    __slots__ = ("kind", "labels", "mode", "name", "text")

    def __init__(self, kind: Kind, name: str, text: str, *labels: str, mode: Mode = "livesum") -> None:
        self.kind = kind
        self.name = f"homeport_{name}"
        self.text = text
        self.labels = labels
        self.mode = mode


BUILD = Metric("gauge", "build_info", "Always 1.", "version", "schema", mode="livemax")

REQUESTS = Metric("counter", "http_requests_total", "Requests that ended.", "door", "route", "method", "status")
REQUEST_SECONDS = Metric(
    "histogram",
    "http_request_duration_seconds",
    "From a request's first line to the end of its answer.",
    *("door", "route", "method"),
)
IN_FLIGHT = Metric("gauge", "http_requests_in_flight", "Requests that have not ended.")
BYTES_IN = Metric("counter", "http_request_body_bytes_total", "Bytes of bodies that came.", "door")
BYTES_OUT = Metric("counter", "http_response_body_bytes_total", "Bytes of bodies that were sent.", "door")

LOGINS_FAILED = Metric("counter", "logins_failed_total", "Logins that were refused, by their error.", "reason")
TOKENS_ISSUED = Metric("counter", "tokens_issued_total", "Bearer tokens that were issued.", "audience")
REFUSALS = Metric("counter", "limit_refusals_total", "What was refused because somebody did too much of it.", "limit")
LIMITS_SHARED = Metric(
    "gauge", "limits_shared", "1 while a process counts limits in Valkey, 0 while it counts by itself.", mode="livesum"
)

CONNECTIONS = Metric("gauge", "database_connections", "Connections to the database.", "state")
DATABASE_WAITING = Metric("gauge", "database_waiting", "Transactions that wait for a connection, or for the writer.")
DATABASE_WAIT_SECONDS = Metric("counter", "database_wait_seconds_total", "What transactions have waited for those.")
TRANSACTIONS = Metric("counter", "database_transactions_total", "Transactions that were begun.", "kind")
STATEMENTS = Metric("counter", "database_statements_total", "Statements that were run.")

JOB_RUNS = Metric("counter", "job_runs_total", "Runs of a job that ended well.", "job")
JOB_FAILURES = Metric("counter", "job_failures_total", "Runs of a job that failed.", "job")
JOB_SECONDS = Metric("counter", "job_duration_seconds_total", "What the runs of a job took.", "job")
JOB_ITEMS = Metric("counter", "job_items_total", "What a job has handled: rows, mails, deliveries, uploads.", "job")
JOB_SUCCESS = Metric(
    "gauge", "job_last_success_timestamp_seconds", "When a run of a job last ended well.", "job", mode="max"
)
MAILS = Metric("counter", "mails_total", "Attempts to send a mail.", "outcome")
DELIVERIES = Metric("counter", "webhook_deliveries_total", "Attempts to deliver to a webhook.", "outcome")
MAIL_AGE = Metric(
    "gauge", "mail_oldest_age_seconds", "Age of the oldest mail that is still to be sent.", mode="livemax"
)
WEBHOOK_AGE = Metric(
    "gauge",
    "webhook_oldest_due_seconds",
    "How long the oldest receiver waits that something is due for.",
    mode="livemax",
)

GARBAGE = Metric("counter", "garbage_total", "What collections did.", "step")
GARBAGE_BYTES = Metric("counter", "garbage_freed_bytes_total", "Bytes of the blobs that collections deleted.")

UPLOADS_OPEN = Metric("gauge", "uploads_open", "Uploads that have begun and not ended.", mode="livemax")
BLOB_BYTES_PUSHED = Metric("counter", "blob_pushed_bytes_total", "Bytes of blobs that uploads brought.")
BLOB_BYTES_PULLED = Metric("counter", "blob_pulled_bytes_total", "Bytes of blobs that the server sent itself.")
BLOB_REDIRECTS = Metric("counter", "blob_redirects_total", "Pulls of blobs that were sent on to the bucket.")
BLOB_CACHE_READS = Metric("counter", "blob_cache_reads_total", "Reads of the cache of blobs on disk.", "outcome")

METRICS: tuple[Metric, ...] = tuple(found for found in list(globals().values()) if isinstance(found, Metric))


class Metrics:
    """Counts nothing: nobody may read it."""

    in_flight = 0

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Add to a histogram."""

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Give a gauge its value."""

    def reach(self, metric: Metric, total: float, *labels: str) -> None:
        """Give a counter the total that somebody else has kept."""

    def fold(self) -> None:
        """Hand over what has gathered, where others can read it."""


NOT_MEASURED = Metrics()


class MetricsUnavailableError(Exception):
    """The library is not installed."""


class Prometheus(Metrics):
    """Counts for Prometheus. One for a process, used by its event loop alone; `render` may run in a thread."""

    def __init__(self) -> None:
        """Raises: MetricsUnavailableError"""
        try:
            import prometheus_client  # noqa: PLC0415 - an extra, not needed where nobody may read what it counts
            import prometheus_client.multiprocess  # noqa: PLC0415
        except ImportError:
            raise MetricsUnavailableError from None
        self._library: Any = prometheus_client
        self._registry = prometheus_client.CollectorRegistry()
        self._made: dict[Metric, Any] = {metric: self._make(metric) for metric in METRICS}
        self._children: dict[tuple[Metric, tuple[str, ...]], Any] = {}
        self._gathered: defaultdict[tuple[Metric, tuple[str, ...]], float] = defaultdict(float)
        self._reached: defaultdict[tuple[Metric, tuple[str, ...]], float] = defaultdict(float)

    def _make(self, metric: Metric) -> Any:
        options: dict[str, Any] = {"registry": self._registry, "labelnames": metric.labels}
        if metric.kind == "counter":
            return self._library.Counter(metric.name, metric.text, **options)
        if metric.kind == "gauge":
            return self._library.Gauge(metric.name, metric.text, multiprocess_mode=metric.mode, **options)
        return self._library.Histogram(metric.name, metric.text, buckets=SECONDS, **options)

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        self._gathered[metric, labels] += by

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        self._child(metric, labels).observe(value)

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        self._child(metric, labels).set(value)

    def reach(self, metric: Metric, total: float, *labels: str) -> None:
        self.count(metric, *labels, by=total - self._reached[metric, labels])
        self._reached[metric, labels] = total

    def fold(self) -> None:
        self.set(IN_FLIGHT, self.in_flight)
        gathered, self._gathered = self._gathered, defaultdict(float)
        for (metric, labels), by in gathered.items():
            self._child(metric, labels).inc(by)

    def render(self, accept: str) -> tuple[bytes, str]:
        """All values of all workers in the format that somebody accepts, and its content type."""
        registry = self._registry
        if folder := os.environ.get(FOLDER_VARIABLE):
            forget_the_dead(Path(folder))
            registry = self._library.CollectorRegistry()
            self._library.multiprocess.MultiProcessCollector(registry, path=folder)
        encode: Callable[[Any], bytes]
        encode, content_type = self._library.exposition.choose_encoder(accept)
        return encode(registry), content_type

    def _child(self, metric: Metric, labels: tuple[str, ...]) -> Any:
        if (found := self._children.get((metric, labels))) is None:
            made = self._made[metric]
            found = self._children[metric, labels] = made.labels(*labels) if labels else made
        return found


@contextmanager
def shared_folder() -> Iterator[None]:
    """Let processes that are begun in the block count together."""
    folder = tempfile.mkdtemp(prefix="homeport-metrics-")
    os.environ[FOLDER_VARIABLE] = folder
    try:
        yield
    finally:
        del os.environ[FOLDER_VARIABLE]
        shutil.rmtree(folder, ignore_errors=True)


def forget_the_dead(folder: Path) -> None:
    """Take away what only counts while its process lives. Counters of the dead stay: totals never fall."""
    for path in folder.glob("gauge_live*.db"):
        match = _LIVE_FILE.fullmatch(path.name)
        if match and not Path(f"/proc/{match[1]}").exists():
            path.unlink(missing_ok=True)
