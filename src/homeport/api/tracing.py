"""A span for each request, under the template of its route; within the caller's, if it names one."""

from homeport.api.http import DOOR, ROUTE, Application, Message, Receive, Scope, Send
from homeport.traces import Traces

REQUEST_ID = "homeport.request_id"
"""The key of a scope with the id that the log has for a request."""

_CONTEXT = (b"traceparent", b"tracestate")


class Traced:
    """Around the doors."""

    def __init__(self, app: Application, traces: Traces) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method: str = scope["method"]
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _CONTEXT}
        with self._traces.span(method, headers=headers) as span:

            async def observed(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set("http.response.status_code", message["status"])
                await send(message)

            span.set("http.request.method", method)
            span.set("request_id", scope.get(REQUEST_ID, ""))
            try:
                await self._app(scope, receive, observed)
            finally:
                route = scope.get(ROUTE) or "other"
                span.name(f"{method} {route}")
                span.set("http.route", route)
                span.set("door", scope.get(DOOR, "other"))
