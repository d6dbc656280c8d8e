"""Runs the Python client as other programs do: a line on stdin is a call, a line on stdout what it returned."""

import importlib
import json
import sys
from typing import Any


def main(username: str, secret: str) -> None:
    auth = importlib.import_module("dockerhub_api.auth")
    given: dict[str, Any] = {"username": username, "allow_destructive": True}
    clients = {
        "hub": importlib.import_module("dockerhub_api.api_client").Api(password=secret, **given),
        "registry": auth.get_registry_client(token=secret, **given),
    }
    for line in sys.stdin:
        client, method, arguments = json.loads(line)
        try:
            answer = {"result": getattr(clients[client], method)(**arguments)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
