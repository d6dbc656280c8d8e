"""A request that loses against another one in the database is handled again, where that is safe."""

import asyncio
from typing import Any

import httpx
import pytest

from homeport.api import repeating as repeating_module
from homeport.api.http import Receive, Request, Response, Scope, Send
from homeport.api.repeating import WAITS_S, repeating
from homeport.core.services import Services
from homeport.errors import TransactionConflict
from homeport.storage.db.database import Transaction
from tests.crossing import crossed, lock_of
from tests.home import Home, push_image, unique
from tests.inviting import an_address, value
from tests.scim import IdentityProvider

SCIM_USER = "urn:ietf:params:scim:schemas:core:2.0:User"
TRIES = 1 + len(WAITS_S)

pytestmark = pytest.mark.parametrize("home", ["postgres"], indirect=True)


def lose(home: Home, times: int, *, held: str, wanted: tuple[str, int], request: Any) -> httpx.Response:
    """What a request is answered that crosses another transaction so many times."""

    async def run() -> httpx.Response:
        return await asyncio.to_thread(request)

    return asyncio.run(crossed(home.settings.database_url, held=held, wanted=wanted, times=times, run=run))


def id_of(home: Home, account: str) -> int:
    return value(home, int, "select id from accounts where name = :name", name=account)


def events_of(home: Home, account: str, action: str) -> int:
    return value(
        home,
        int,
        "select count(*) from audit_events where account_id = :id and action = :action",
        id=id_of(home, account),
        action=action,
    )


@pytest.mark.parametrize("times", [1, TRIES])
def test_a_change_at_the_hub(home: Home, times: int) -> None:
    user = home.user()
    name = home.repository(user.name)
    id_ = home.repository_id(name)
    client = home.hub(user)
    answer = lose(
        home,
        times,
        held=f"select 1 from repositories where id = {id_} for update",
        wanted=("repository", id_),
        request=lambda: client.patch(f"/v2/repositories/{name}/", json={"description": "after all"}),
    )
    is_done = times < TRIES
    assert events_of(home, user.name, "repo.update") == is_done
    assert client.get(f"/v2/repositories/{name}/").json()["description"] == ("after all" if is_done else "")
    if is_done:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "another change was in the way" in answer.json()["message"]


@pytest.mark.parametrize("times", [1, TRIES])
def test_a_push_of_a_manifest(home: Home, times: int) -> None:
    user = home.user()
    name = home.repository(user.name)
    id_ = home.repository_id(name)
    client = home.registry(user, name)
    content = push_image(client, name, "first", text=unique("text"))
    answer = lose(
        home,
        times,
        held=f"select 1 from repositories where id = {id_} for update",
        wanted=("repository", id_),
        request=lambda: client.put(
            f"/v2/{name}/manifests/second",
            content=content,
            headers={"content-type": "application/vnd.oci.image.manifest.v1+json"},
        ),
    )
    is_done = times < TRIES
    assert events_of(home, user.name, "repo.tag.push") == 1 + is_done
    assert client.get(f"/v2/{name}/tags/list").json()["tags"] == ["first", "second"][: 1 + is_done]
    if is_done:
        assert answer.status_code == 201
    else:
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["errors"][0]["code"] == "UNAVAILABLE"


@pytest.mark.parametrize("times", [TRIES - 1, TRIES])
def test_a_mail_is_sent_once_however_often_it_was_tried(home: Home, times: int) -> None:
    owner = home.user()
    organization = home.organization(owner)
    id_, address = id_of(home, organization), an_address()
    client = home.hub(owner)
    answer = lose(
        home,
        times,
        held=f"select 1 from accounts where id = {id_} for update",
        wanted=("organization", id_),
        request=lambda: client.post("/v2/invites/bulk", json={"org": organization, "invitees": [address]}),
    )
    is_done = times < TRIES
    assert answer.status_code == (202 if is_done else 503)
    assert value(home, int, "select count(*) from mails where recipient = :to", to=address) == is_done
    assert events_of(home, organization, "org.member.invite.send") == is_done


class Door:
    """A door of the test: each try writes an event, and takes two locks."""

    def __init__(self, services: Services, word: str, *, keeps_first: bool) -> None:
        self.tries = 0
        self._services = services
        self._word = word
        self._keeps_first = keeps_first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.tries += 1
        body = await Request(scope, receive).whole_body(1000)
        try:
            if self._keeps_first:
                async with self._services.db.write() as tx:
                    await self._write(tx)
            async with self._services.db.write() as tx:
                await self._write(tx)
                await tx.lock(self._word, 1)
                await tx.lock(self._word, 2)
        except TransactionConflict:
            await Response(503).send(send, is_head=False)
        else:
            await Response(200, (), body).send(send, is_head=False)

    async def _write(self, tx: Transaction) -> None:
        await tx.run("insert into audit_events values (default, 1, :word, '', '', '{}', 1)", word=self._word)


@pytest.mark.parametrize(
    ("path", "body", "keeps_first", "tries", "events"),
    [
        ("/again", b"short", False, 2, 1),
        ("/not/again", b"short", False, 1, 0),
        ("/again", b"more than is kept of a body", False, 1, 0),
        ("/again", b"short", True, 1, 1),
    ],
)
def test_what_is_tried_again(
    home: Home, monkeypatch: pytest.MonkeyPatch, path: str, body: bytes, keeps_first: bool, tries: int, events: int
) -> None:
    monkeypatch.setattr(repeating_module, "RECORDED_BYTES_LIMIT", 10)
    word = unique("word")

    async def verb(services: Services) -> tuple[httpx.Response, int]:
        door = Door(services, word, keeps_first=keeps_first)
        app: Any = repeating(door, services.settings, unless=lambda path: path.startswith("/not"))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            answer = await crossed(
                services.settings.database_url,
                held=lock_of(word, 2),
                wanted=(word, 1),
                times=1,
                run=lambda: client.post(path, content=body),
            )
        return answer, door.tries

    answer, tried = home.run(verb)
    assert tried == tries
    assert (answer.status_code, answer.content) == ((200, body) if tries > 1 else (503, b""))
    assert value(home, int, "select count(*) from audit_events where action = :word", word=word) == events


def test_a_user_of_an_identity_provider(home: Home) -> None:
    provider = IdentityProvider.of(home)
    id_ = id_of(home, provider.organization)
    name = an_address()
    answer = lose(
        home,
        1,
        held=f"select 1 from accounts where id = {id_} for update",
        wanted=("organization", id_),
        request=lambda: provider.post("/Users", {"schemas": [SCIM_USER], "userName": name, "active": True}),
    )
    assert answer.status_code == 201, answer.text
    assert len(provider.get("/Users").json()["Resources"]) == 2  # the owner, and the new one
    assert events_of(home, provider.organization, "scim.user.create") == 1
