"""Jobs: who does them, and that what one of many has to do is done once."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from homeport.core.services import Services
from homeport.jobs.turns import in_turn
from tests.conftest import DATABASES, NewHome
from tests.home import Home, clean_environment, unique
from tests.inviting import run as execute
from tests.inviting import value


def test_one_of_many_has_the_turn_until_the_next_is_due(home: Home) -> None:
    job, done = unique("job"), []

    async def run(_services: Services) -> None:
        done.append(job)

    async def many(services: Services) -> None:
        turns = (in_turn(services, job, timedelta(hours=1), run) for _ in range(10))
        await asyncio.gather(*turns)

    home.run(many)
    assert done == [job]
    home.run(many)
    assert done == [job]
    execute(home, "update job_turns set due_at = 1 where job = :job", job=job)
    home.run(many)
    assert done == [job] * 2


def test_a_turn_that_fails_is_not_taken_again_at_once(home: Home) -> None:
    job, tried = unique("job"), []

    async def fail(_services: Services) -> None:
        tried.append(job)
        raise RuntimeError("as asked")

    async def turn(services: Services) -> None:
        await in_turn(services, job, timedelta(hours=1), fail)

    with pytest.raises(RuntimeError):
        home.run(turn)
    home.run(turn)
    assert tried == [job]


def eventually(check: Callable[[], bool], *, within_s: float = 30) -> bool:
    deadline = time.monotonic() + within_s
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def waiting(home: Home) -> int:
    return value(home, int, "select count(*) from mail_requests")


@pytest.mark.parametrize("kind", DATABASES)
def test_jobs_are_done_by_a_worker_where_the_servers_leave_them(new_home: NewHome, tmp_path: Path, kind: str) -> None:
    with new_home(kind, HOMEPORT_JOBS="false", HOMEPORT_PUBLIC_URL="https://hub.example.com") as home:
        user = home.user()
        asked = home.anonymous.post("/v2/users/password-reset", json={"identifier": user.name})
        assert asked.status_code in (200, 202, 204), asked.text
        time.sleep(2)  # four times what a server's job would have taken
        assert waiting(home) == 1
        with open(tmp_path / "worker.log", "wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "homeport", "worker", "--data", str(home.settings.data)],
                env=clean_environment(
                    HOMEPORT_DATABASE_URL=home.settings.database_url, HOMEPORT_PUBLIC_URL="https://hub.example.com"
                ),
                stdout=log,
                stderr=log,
            )
        try:
            assert eventually(lambda: waiting(home) == 0), (tmp_path / "worker.log").read_text()
        finally:
            worker.terminate()
            status = worker.wait(timeout=30)
        assert (tmp_path / "worker.log").read_text().startswith("Homeport works")
        assert status == 0
        assert value(home, int, "select count(*) from mails where recipient = :to", to=f"{user.name}@example.com") == 1
