"""The units of systemd: read by systemd's own checks, and their restrictions put on a hub that works all the same."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.home import ADMIN_PASSWORD, clean_environment, push_image, wait_until_ready
from tests.postgres import free_port

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
HOMEPORT = Path(sys.executable).with_name("homeport")
EXPOSURE = 15
"""What systemd finds a service exposed to at most, in hundredths of its scale: 100 is no restriction at all."""


def test_there_are_units_for_a_server_and_a_worker() -> None:
    commands = [re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE) for unit in UNITS]
    assert commands == [["/opt/homeport/bin/homeport worker"], ["/opt/homeport/bin/homeport serve"]]


def test_units_differ_in_nothing_but_what_they_start() -> None:
    worker, server = (unit.read_text().partition("\n[Service]\n")[2] for unit in UNITS)
    settings = [set(re.findall(r"^\w+=.*$", text, re.MULTILINE)) for text in (worker, server)]
    assert {line.partition("=")[0] for line in settings[0] ^ settings[1]} == {"ExecStart"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name
    # It wants the program to be there.
    copy.write_text(unit.read_text().replace("/opt/homeport/bin/homeport", str(HOMEPORT)))
    done = subprocess.run(["systemd-analyze", "verify", copy], check=False, capture_output=True, text=True)
    # It reads all other units of the machine, and tells of theirs as well.
    assert not [line for line in done.stderr.splitlines() if unit.stem in line]
    assert done.returncode == 0, done.stderr
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", str(unit)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@contextlib.contextmanager
def confined(data: Path, port: int) -> Iterator[str]:
    """A hub as homeport.service has it, but for its user; its URL. Only its data can be written to."""
    unit = next(unit for unit in UNITS if unit.stem == "homeport")
    mounts = f'mount --bind {data} {data} && mount -o remount,bind,ro / && cd / && exec "$@"'
    rightless = ("setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--securebits=+noroot")
    confine = ("/usr/bin/python3", "-B", str(ROOT / "tests/deploy/confine.py"), str(unit))
    command = ["unshare", "--mount", "sh", "-c", mounts, "sh", *rightless, *confine, sys.executable, "-B", "-m"]
    environment = clean_environment(HOMEPORT_ADMIN_PASSWORD=ADMIN_PASSWORD)
    with open(data.parent / "log", "wb") as log:
        process = subprocess.Popen(
            [*command, "homeport", "serve", "--port", str(port), "--data", str(data)],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        assert process.wait(timeout=60) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
        sys.stdout.write((data.parent / "log").read_text()[-3000:])


def test_a_hub_works_within_the_restrictions_of_its_unit(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with confined(data, free_port()) as url, httpx.Client(base_url=url) as client:
        query = {"service": "tests", "scope": "repository:admin/app:pull,push"}
        answer = client.get("/token", params=query, auth=("admin", ADMIN_PASSWORD))
        client.headers["authorization"] = f"Bearer {answer.json()['token']}"
        manifest = push_image(client, "admin/app", "1.0", text="x" * 3_000_000)
        assert client.get("/v2/admin/app/manifests/1.0").content == manifest
        assert client.get("/reference").status_code == 200
