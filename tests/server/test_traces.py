"""Spans, as a collector gets them: what is in them, and what never is."""

import contextlib
import gzip
import importlib.util
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from homeport.app import measuring, tracing
from homeport.cli.serve import _require_extras
from homeport.settings import SettingsError, load
from homeport.traces import OpenTelemetry
from tests.conftest import DATABASES, NewHome
from tests.home import ADMIN_PASSWORD, push_image


class Collector:
    """A server that takes spans by OTLP."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.received = b""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
                collector.received += body
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        collector.spans += scope.spans
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    @contextlib.contextmanager
    def running(self) -> Iterator["Collector"]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


def said(span: Any) -> dict[str, Any]:
    return {item.key: item.value.string_value or item.value.int_value for item in span.attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector().running() as running:
        yield running


@pytest.mark.parametrize("kind", DATABASES)
def test_a_request_is_a_span_with_what_it_did_within_and_no_secret_goes_out(
    new_home: NewHome, collector: Collector, kind: str
) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with new_home(kind, HOMEPORT_TRACES_URL=collector.url, HOMEPORT_TRACES_RATIO="1") as home:
        user = home.user("hiddenuser")
        _, secret = home.access_token(user)
        name = home.repository(user.name, "hiddenname")
        client = home.registry(user, name, secret=secret)
        push_image(client, name, "hiddentag")
        got = client.get(
            f"/v2/{name}/manifests/hiddentag",
            params={"token": "hiddenquery"},
            headers={"traceparent": f"00-{trace}-{parent}-00"},
        )
        home.anonymous.get("/invites/hiddenlink")
        httpx.get(f"{home.url}/hiddenpath")
        home.anonymous.post("/v2/users/login", json={"username": user.name, "password": "hiddenpassword"})
        time.sleep(2)  # a job has run in between
    (pulled,) = [span for span in collector.named("GET /v2/{name}/manifests/{reference}") if span.parent_span_id]
    assert (pulled.trace_id.hex(), pulled.parent_span_id.hex()) == (trace, parent)
    assert said(pulled) == {
        "door": "registry",
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/v2/{name}/manifests/{reference}",
        "request_id": got.headers["x-request-id"],
    }
    within = {span.name: span for span in collector.spans if span.trace_id.hex() == trace}
    assert within["database read"].parent_span_id == pulled.span_id
    assert within["sql select"].parent_span_id == within["database read"].span_id
    assert " from " in said(within["sql select"])["db.query.text"]
    (tagged,) = collector.named("PUT /v2/{name}/manifests/{reference}")
    assert {span.name for span in collector.spans if span.trace_id == tagged.trace_id} >= {"database write"}
    sealed = {span.trace_id for span in collector.named("blobs seal")}
    assert sealed == {span.trace_id for span in collector.named("PUT /v2/{name}/blobs/uploads/{upload}")}
    assert collector.named("job catch up with revocations")
    assert collector.named("GET other")
    sent = collector.received
    for word in (b"hidden", secret.encode(), ADMIN_PASSWORD.encode(), client.headers["authorization"].encode()[7:]):
        assert word not in sent
    assert b"127.0.0.1" not in sent


def test_the_ratio_says_how_many_traces_are_kept_whatever_a_caller_asks_for(collector: Collector) -> None:
    traces = OpenTelemetry(collector.url, ratio=0.25, version="1")
    for number in range(400):
        caller = f"00-{number + 1:016x}{number * 0x0FFFFFFFFFFFFFFF % 2**64:016x}-b7ad6b7169203331-01"
        with traces.span("asked", headers={"traceparent": caller}), traces.span("within"):
            assert traces.headers()["traceparent"].split("-")[1] == caller.split("-")[1]
    traces.close()
    kept = {span.trace_id for span in collector.named("asked")}
    assert 50 < len(kept) < 150
    assert kept == {span.trace_id for span in collector.named("within")}


def test_a_block_that_fails_is_told_of_by_the_class_of_its_error(collector: Collector) -> None:
    traces = OpenTelemetry(collector.url, ratio=1, version="1")
    with pytest.raises(RuntimeError), traces.span("failing"):
        raise RuntimeError("hidden")
    traces.close()
    assert said(collector.named("failing")[0]) == {"error.type": "RuntimeError"}
    assert b"hidden" not in collector.received


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    measured, traced = load({"HOMEPORT_METRICS_NETWORKS": "::1"}), load({"HOMEPORT_TRACES_URL": "http://127.0.0.1:1"})
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match=r"homeport\[metrics\]"):
        measuring(measured)
    with pytest.raises(SettingsError, match=r"homeport\[traces\]"):
        tracing(traced)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"homeport\[metrics\]"):
        _require_extras(measured)
    with pytest.raises(SettingsError, match=r"homeport\[traces\]"):
        _require_extras(traced)
