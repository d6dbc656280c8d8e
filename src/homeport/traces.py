"""Traces for OpenTelemetry: a span for each request, transaction, statement, call to the bucket, and run of a job.

Nothing goes out that may be a secret: no path and no query (they may hold one), no value of a statement, no message of
an error, no address. OpenTelemetry's library is loaded only where the setting `traces_url` says where spans go.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

EXPORT_TIMEOUT_S = 5
_STORE_CALLS = ("begin", "append", "size", "seal", "discard", "list_stale", "url", "stored_size", "delete", "check")
_STATEMENTS = ("one", "many", "value", "run", "run_many")


class Span:
    """Something that is not traced."""

    def name(self, name: str) -> None:
        """Give it another name."""

    def set(self, key: str, value: str | int) -> None:
        """Say something of it."""


class Traces:
    """Traces nothing."""

    is_on = False

    def span(self, name: str, *, headers: Mapping[str, str] | None = None) -> AbstractContextManager[Span]:  # noqa: ARG002
        """A span around a block, within the one that is open. `headers` may name a span of somebody else's to be within
        (W3C Trace Context).
        """
        return contextlib.nullcontext(_NO_SPAN)

    def headers(self) -> dict[str, str]:
        """Headers that tell others of the open span."""
        return {}

    def close(self) -> None:
        """Send what has gathered."""


_NO_SPAN = Span()
NOT_TRACED = Traces()


class TracesUnavailableError(Exception):
    """The library is not installed."""


class _OpenSpan(Span):
    def __init__(self, span: Any) -> None:
        self._span = span

    def name(self, name: str) -> None:
        self._span.update_name(name)

    def set(self, key: str, value: str | int) -> None:
        self._span.set_attribute(key, value)


class OpenTelemetry(Traces):
    """Sends spans to a collector; one for a process."""

    is_on = True

    def __init__(self, url: str, *, ratio: float, version: str) -> None:
        """Raises: TracesUnavailableError"""
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
            from opentelemetry.sdk.trace.sampling import TraceIdRatioBased  # noqa: PLC0415
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415
        except ImportError:
            raise TracesUnavailableError from None
        resource = Resource.create({"service.name": "homeport", "service.version": version})
        # By the trace's id alone, so that all machines agree; what a stranger's header asks for counts nothing.
        self._provider = TracerProvider(sampler=TraceIdRatioBased(ratio), resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=url, timeout=EXPORT_TIMEOUT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("homeport", version)
        self._propagator = TraceContextTextMapPropagator()

    @contextlib.contextmanager
    def span(self, name: str, *, headers: Mapping[str, str] | None = None) -> Iterator[Span]:
        context = self._propagator.extract(headers) if headers else None
        with self._tracer.start_as_current_span(
            name, context=context, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield _OpenSpan(span)
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                raise

    def headers(self) -> dict[str, str]:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier

    def close(self) -> None:
        self._provider.shutdown()


class TracedDatabase:
    """A `Database` with a span for each transaction and each statement, which shows its text and none of its values."""

    def __init__(self, database: Any, traces: Traces) -> None:
        self._database = database
        self._traces = traces

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def read(self, **options: bool) -> Any:
        return self._transaction("database read", self._database.read(**options))

    def write(self, **options: bool) -> Any:
        return self._transaction("database write", self._database.write(**options))

    @contextlib.asynccontextmanager
    async def _transaction(self, name: str, opening: Any) -> AsyncIterator[Any]:
        with self._traces.span(name):
            async with opening as tx:
                yield _TracedTransaction(tx, self._traces, _STATEMENTS, _describe_statement)


class _Traced:
    """Something of which some calls are spans. `describe` gives a span's name and what is said of it."""

    def __init__(
        self, inner: Any, traces: Traces, names: tuple[str, ...], describe: Callable[[str, tuple[Any, ...]], Any]
    ) -> None:
        self._inner = inner
        self._traces = traces
        self._names = names
        self._describe = describe

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self._names:
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            title, attributes = self._describe(name, arguments)
            with self._traces.span(title) as span:
                for key, value in attributes.items():
                    span.set(key, value)
                return await found(*arguments, **named)

        return call


class _TracedTransaction(_Traced):
    @property
    def lists(self) -> Any:
        """Whoever runs the statements of lists, also with a span for each."""
        return _TracedTransaction(self._inner.lists, self._traces, self._names, self._describe)


def traced_store(store: Any, traces: Traces) -> Any:
    """A `BlobStore` with a span for each call."""
    return _Traced(store, traces, _STORE_CALLS, lambda name, _: (f"blobs {name}", {}))


def _describe_statement(name: str, arguments: tuple[Any, ...]) -> tuple[str, dict[str, str]]:
    """Of a statement its text: whatever somebody sent is in its parameters."""
    sql = arguments[0] if name in ("run", "run_many") else arguments[1]
    text = " ".join(sql.split())
    return f"sql {text.partition(' ')[0].lower()}", {"db.query.text": text}
