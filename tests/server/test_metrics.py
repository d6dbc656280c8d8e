"""`/metrics`: what is counted, by whom it may be read, and that several workers count as one."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from homeport.core import garbage
from homeport.core.services import Services
from homeport.jobs import measures, worker
from homeport.jobs.turns import NOT_OURS
from homeport.jobs.worker import Job
from homeport.metrics import METRICS, Prometheus
from homeport.storage.db.database import utcnow
from homeport.storage.db.migrate import HEAD
from tests.conftest import DATABASES, NewHome
from tests.home import Home, clean_environment, push_blob, push_image, running_server
from tests.postgres import free_port

ROOT = Path(__file__).parents[2]
READER = {"HOMEPORT_METRICS_NETWORKS": "127.0.0.1"}
Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Values:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(url: str) -> Values:
    """On a connection of its own: any worker may answer."""
    answer = httpx.get(f"{url}/metrics")
    assert answer.status_code == 200, answer.text
    return parsed(answer.text)


def total(values: Values, name: str, **labels: str) -> float:
    """The sum over all series of a name that have these labels."""
    wanted = set(labels.items())
    return sum(value for (found, of), value in values.items() if found == name and wanted <= set(of))


def eventually(check: Callable[[], bool], *, within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module", params=DATABASES)
def home(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[Home]:
    with new_home(request.param, **READER) as running:
        yield running


def test_requests_are_counted_by_route_and_bytes_by_what_went_over_the_wire(home: Home) -> None:
    user = home.user()
    name = home.repository(user.name)
    client = home.registry(user, name)
    layer = os.urandom(300_000)  # too large to be sent from memory: the server sends the file
    before = read(home.url)
    digest = push_blob(client, name, layer)
    assert client.get(f"/v2/{name}/blobs/{digest}").content == layer
    assert client.get(f"/v2/{name}/blobs/{digest}", headers={"range": "bytes=0-99"}).status_code == 206
    push_image(client, name, "one")
    for _ in range(3):
        client.get(f"/v2/{name}/manifests/one")
    assert client.get(f"/v2/{name}/manifests/two").status_code == 404
    home.anonymous.get(f"/v2/namespaces/{name.namespace}/repositories/{name.name}/tags")
    after = read(home.url)

    def grew(metric: str, **labels: str) -> float:
        return total(after, metric, **labels) - total(before, metric, **labels)

    manifests = {"door": "registry", "route": "/v2/{name}/manifests/{reference}"}
    assert grew("homeport_http_requests_total", **manifests, method="GET", status="200") == 3
    assert grew("homeport_http_requests_total", **manifests, method="GET", status="404") == 1
    assert grew("homeport_http_requests_total", **manifests, method="PUT", status="201") == 1
    assert grew("homeport_http_request_duration_seconds_count", **manifests, method="GET") == 4
    hub = "/v2/namespaces/{namespace}/repositories/{repository}/tags"
    assert grew("homeport_http_requests_total", door="hub", route=hub, method="GET", status="200") == 1
    pushed = grew("homeport_blob_pushed_bytes_total")
    assert len(layer) < pushed < len(layer) + 1000
    assert grew("homeport_blob_pulled_bytes_total") == len(layer) + 100
    assert grew("homeport_http_response_body_bytes_total", door="registry") >= len(layer) + 100
    assert grew("homeport_http_request_body_bytes_total", door="registry") >= pushed
    assert total(after, "homeport_http_requests_in_flight") == 1  # the one that asks
    assert grew("homeport_database_statements_total") > grew("homeport_database_transactions_total", kind="write") > 0
    assert total(after, "homeport_build_info", schema=HEAD) == 1


def test_what_clients_make_up_makes_no_series(home: Home) -> None:
    with httpx.Client(base_url=home.url) as client:
        client.get("/nowhere")
        client.request("MADEUP0", "/nowhere")
        client.get("/v2/orgs/x/y/z/nowhere")
        before = read(home.url)
        for number in range(50):
            client.get(f"/nowhere{number}")
            client.get(f"/v2/orgs/x/y/z/nowhere{number}")
            client.get(f"/v2/scim/2.0/nowhere{number}")
            client.get(f"/v2/made/up{number}/manifests/x")
            client.get(f"/account/password/secret{number}")
            client.request(f"MADEUP{number}", "/nowhere")
        after = read(home.url)
    text = str(sorted(after))
    assert not re.search(r"nowhere|made|MADEUP|secret\d", text)
    assert total(after, "homeport_http_requests_total", route="other") >= 150
    assert total(after, "homeport_http_requests_total", route="/account/password/{secret}") == 50
    new = {key for key in after if key[0] == "homeport_http_requests_total"} - set(before)
    assert len(new) <= 4


def test_logins_tokens_and_refusals_are_counted(home: Home) -> None:
    user = home.user()
    before = read(home.url)
    home.hub(user)
    home.registry(user)
    for _ in range(home.settings.login_attempts_per_account + 2):
        home.anonymous.post("/v2/users/login", json={"username": user.name, "password": "wrong"})
    after = read(home.url)

    def grew(metric: str, **labels: str) -> float:
        return total(after, metric, **labels) - total(before, metric, **labels)

    limit = home.settings.login_attempts_per_account
    assert grew("homeport_logins_failed_total", reason="CredentialsInvalid") == limit
    assert grew("homeport_limit_refusals_total", limit="logins") == 2
    assert grew("homeport_tokens_issued_total", audience="hub") == 1
    assert grew("homeport_tokens_issued_total", audience="registry") == 1


def test_jobs_and_what_waits_for_them_are_measured(home: Home) -> None:
    ran = {"homeport_job_runs_total", "homeport_job_last_success_timestamp_seconds"}

    def has_run() -> bool:
        values = read(home.url)
        return all(total(values, name, job="fold pulls") for name in ran)

    eventually(has_run)
    metrics = Prometheus()
    services: Services = msgspec.structs.replace(home.services, metrics=metrics)

    async def due(services: Services) -> None:
        async with services.db.write() as tx:
            await tx.run(
                """
                insert into uploads (id, repository_id, account_id, created_at)
                select 'measured', min(repositories.id), min(accounts.id), 1 from repositories cross join accounts
                """
            )
        await measures.sample_backlog(services)
        async with services.db.write() as tx:
            await tx.run("delete from uploads where id = 'measured'")

    home.repository(home.user().name)
    home.run(lambda _: due(services))
    values = parsed(metrics.render("")[0].decode())
    assert total(values, "homeport_uploads_open") >= 1
    assert total(values, "homeport_mail_oldest_age_seconds") == 0  # without a server nobody is late


def test_a_job_counts_its_runs_failures_and_items_where_it_was_done(home: Home) -> None:
    outcomes: list[object] = [3, 4, NOT_OURS, RuntimeError("as asked"), None]
    ended = asyncio.Event()

    async def run() -> object:
        if not outcomes:
            ended.set()
            return NOT_OURS
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    metrics = Prometheus()

    async def repeat(_services: Services) -> None:
        async with worker._repeating([Job("of a test", 0.001, run)], metrics):
            await ended.wait()
        metrics.fold()

    home.run(repeat)
    values = parsed(metrics.render("")[0].decode())
    assert total(values, "homeport_job_runs_total", job="of a test") == 3
    assert total(values, "homeport_job_failures_total", job="of a test") == 1
    assert total(values, "homeport_job_items_total", job="of a test") == 7


def test_a_collection_counts_what_it_frees(home: Home) -> None:
    user = home.user()
    name = home.repository(user.name)
    client = home.registry(user, name)
    digest = push_blob(client, name, b"to be freed")
    assert client.delete(f"/v2/{name}/blobs/{digest}").status_code == 202
    metrics = Prometheus()
    services: Services = msgspec.structs.replace(home.services, metrics=metrics)
    home.run(lambda _: garbage.collect(services, now=utcnow() + timedelta(days=2)))
    metrics.fold()
    values = parsed(metrics.render("")[0].decode())
    assert total(values, "homeport_garbage_freed_bytes_total") >= len(b"to be freed")
    assert total(values, "homeport_garbage_total", step="deleted") >= 1


def test_for_everybody_else_there_is_no_such_path(tmp_path: Path) -> None:
    def seen(url: str, **headers: str) -> tuple[int, str]:
        answer = httpx.get(f"{url}/metrics", headers=headers)
        return answer.status_code, answer.text

    networks = {"HOMEPORT_METRICS_NETWORKS": "192.0.2.7", "HOMEPORT_TRUSTED_PROXIES": "127.0.0.1"}
    with running_server(tmp_path / "behind", **networks) as url:
        unknown = httpx.get(f"{url}/metric")
        nothing = (unknown.status_code, unknown.text)
        assert nothing[0] == 404
        assert seen(url) == nothing
        assert seen(url, **{"x-forwarded-for": "192.0.2.8"}) == nothing
        assert seen(url, **{"x-forwarded-for": "192.0.2.7, 192.0.2.8"}) == nothing
        assert seen(url, **{"x-forwarded-for": "192.0.2.7"})[0] == 200
    with running_server(tmp_path / "open", **READER) as url:
        assert seen(url)[0] == 200
        # A proxy on this machine that nobody trusts passes on a stranger's request.
        assert seen(url, **{"x-forwarded-for": "192.0.2.8"}) == nothing
        assert seen(url, forwarded="for=127.0.0.1") == nothing
        assert httpx.post(f"{url}/metrics").status_code == 405
    with running_server(tmp_path / "off") as url:
        assert seen(url) == nothing


def test_workers_count_as_one_and_a_dead_one_takes_no_total_with_it(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    variables = {**READER, "HOMEPORT_WORKERS": "2", "TMPDIR": str(tmp_path / "tmp")}
    with running_server(tmp_path / "hub", **variables) as url:
        for _ in range(40):
            httpx.get(f"{url}/v2/")

        def counted(url: str) -> float:
            return total(read(url), "homeport_http_requests_total", route="/v2", status="401")

        for _ in range(5):
            eventually(lambda: counted(url) == 40)
        assert total(read(url), "homeport_build_info") == 1
        (folder,) = (tmp_path / "tmp").glob("homeport-metrics-*")
        pids = {int(path.stem.rpartition("_")[2]) for path in folder.glob("counter_*.db")}
        assert len(pids) == 2
        victim = min(pids)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(list(folder.glob("counter_*.db"))) == 3)
        eventually(lambda: counted(url) == 40)
        living = {path.stem.rpartition("_")[2] for path in folder.glob("gauge_live*.db")}
        assert str(victim) not in living
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_worker_of_jobs_answers_on_a_port_of_its_own(tmp_path: Path) -> None:
    data, port = tmp_path / "hub", free_port()
    with running_server(data, HOMEPORT_JOBS="false"):
        environment = clean_environment(**READER, HOMEPORT_METRICS_PORT=str(port))
        command = [sys.executable, "-m", "homeport", "worker", "--data", str(data)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == b"Homeport works\n"
                url = f"http://127.0.0.1:{port}"
                eventually(lambda: total(read(url), "homeport_job_runs_total", job="collect garbage") == 0)
                eventually(lambda: total(read(url), "homeport_job_runs_total", job="send mails") > 0)
                assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
                assert httpx.get(f"{url}/v2/").status_code == 404
                assert httpx.get(f"{url}/metrics", headers={"x-forwarded-for": "127.0.0.1"}).status_code == 404
            finally:
                process.terminate()
                assert process.wait(timeout=60) == 0


def test_no_command_loads_the_library() -> None:
    libraries = "{'prometheus_client', 'opentelemetry'}"
    code = f"import sys, homeport.cli.main, homeport.app; sys.exit(bool({libraries} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_page_of_metrics_is_the_code() -> None:
    page = (ROOT / "docs/operations/metrics.md").read_text()
    rows = re.findall(r"^\| `(homeport_\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|$", page, re.MULTILINE)
    assert rows == [
        (metric.name, metric.kind, ", ".join(f"`{label}`" for label in metric.labels).strip(), metric.text)
        for metric in METRICS
    ]


def test_alerts_and_examples_ask_for_what_there_is() -> None:
    alerts = yaml.safe_load((ROOT / "docs/operations/alerts.yaml").read_text())
    rules: list[dict[str, Any]] = [rule for group in alerts["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 5
    examples = re.findall(
        r"^```promql\n(.*?)^```$", (ROOT / "docs/operations/metrics.md").read_text(), re.MULTILINE | re.DOTALL
    )
    known = {metric.name for metric in METRICS}
    asked = set(re.findall(r"homeport_\w+", " ".join([*(rule["expr"] for rule in rules), *examples])))
    assert len(asked) > 10
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked} <= known
