"""Domains of organizations."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from homeport.storage.db import domains as rows
from homeport.storage.db.database import Transaction
from tests.api.hub.test_org_settings import Scene
from tests.home import Home, unique
from tests.logs import logged
from tests.plans import assert_no_scan, plans_of


def domain_name() -> str:
    return f"{unique('d')}.example.com"


def url(scene: Scene, *tail: str) -> str:
    return "/".join([f"/v2/orgs/{scene.name}/domains", *tail])


@pytest.fixture
def scene(home: Home) -> Scene:
    return Scene(home)


def test_a_domain_is_added_listed_and_deleted(scene: Scene) -> None:
    name = domain_name()
    added = scene.client.post(url(scene), json={"domain": name})
    assert added.status_code == 201
    domain = added.json()
    assert domain == {
        "domain": name,
        "is_verified": False,
        "created_at": domain["created_at"],
        "verified_at": None,
    }
    assert domain["created_at"].endswith("Z")
    listed = {"count": 1, "next": None, "previous": None, "results": [domain]}
    for slash in ("", "/"):
        assert scene.client.get(url(scene) + slash).json() == listed
    gone = scene.client.delete(url(scene, name))
    assert (gone.status_code, gone.content) == (204, b"")
    assert scene.client.get(url(scene)).json()["results"] == []
    again = scene.client.delete(url(scene, name))
    assert (again.status_code, "not found" in again.text) == (404, True)


def test_owners_and_site_administrators_see_and_change_domains_and_nobody_else(home: Home) -> None:
    scene = Scene(home)
    name = domain_name()
    by_token = home.hub(scene.owner, home.access_token(scene.owner)[1])
    for client, status in ((home.anonymous, 401), (home.hub(home.user()), 403), (by_token, 403)):
        assert client.get(url(scene)).status_code == status
        assert client.post(url(scene), json={"domain": name}).status_code == status
        assert client.delete(url(scene, name)).status_code == status
        assert client.post(url(scene, name, "verify")).status_code == status
    assert home.hub(home.admin).post(url(scene), json={"domain": name}).status_code == 201


def test_adding_a_domain_twice_changes_nothing(scene: Scene) -> None:
    name = domain_name()
    first = scene.client.post(url(scene), json={"domain": name}).json()
    assert scene.client.post(url(scene), json={"domain": name.upper()}).json() == first
    assert scene.log() == [("org.domain.create", {"domain": name})]


def test_only_a_site_administrator_verifies_a_domain(scene: Scene) -> None:
    name = domain_name()
    admin = scene.home.hub(scene.home.admin)
    scene.client.post(url(scene), json={"domain": name})
    refused = scene.client.post(url(scene, name, "verify"))
    assert refused.status_code == 403
    assert scene.client.get(url(scene)).json()["results"][0]["is_verified"] is False
    verified = admin.post(url(scene, name, "verify"))
    assert (verified.status_code, verified.json()["is_verified"]) == (200, True)
    assert admin.post(url(scene, name, "verify")).json() == verified.json()
    unknown = admin.post(url(scene, domain_name(), "verify"))
    assert (unknown.status_code, "not found" in unknown.text) == (404, True)
    scene.client.delete(url(scene, name))
    created, verify, deleted = ("org.domain.create", "org.domain.verify", "org.domain.delete")
    assert scene.log() == [(action, {"domain": name}) for action in (created, verify, deleted)]


def test_a_domain_is_verified_for_one_organization_only(home: Home) -> None:
    first, second = Scene(home), Scene(home)
    name = domain_name()
    admin = home.hub(home.admin)
    for scene in (first, second):
        assert scene.client.post(url(scene), json={"domain": name}).status_code == 201
    assert admin.post(url(first, name, "verify")).status_code == 200
    refused = admin.post(url(second, name, "verify"))
    assert refused.status_code == 409
    assert name in refused.json()["message"]
    assert [action for action, _ in logged(home, second.name)].count("org.domain.verify") == 0
    first.client.delete(url(first, name))
    assert admin.post(url(second, name, "verify")).status_code == 200


def test_verifying_for_two_organizations_at_once_lets_one_of_them_have_it(home: Home) -> None:
    scenes = [Scene(home) for _ in range(4)]
    admin = home.hub(home.admin)
    for _ in range(3):
        name = domain_name()
        for scene in scenes:
            scene.client.post(url(scene), json={"domain": name})
        with ThreadPoolExecutor(len(scenes)) as pool:
            answers = pool.map(admin.post, [url(scene, name, "verify") for scene in scenes])
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


def test_a_domain_of_another_organization_is_not_found(home: Home) -> None:
    first, second = Scene(home), Scene(home)
    name = domain_name()
    first.client.post(url(first), json={"domain": name})
    assert second.client.delete(url(second, name)).status_code == 404
    assert home.hub(home.admin).post(url(second, name, "verify")).status_code == 404
    assert first.client.get(url(first)).json()["count"] == 1


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("Mail.Example.COM", "mail.example.com"), ("bücher.example", "xn--bcher-kva.example"), ("1.de", "1.de")],
)
def test_names_of_domains_are_kept_in_lower_case_ascii(scene: Scene, sent: str, kept: str) -> None:
    assert scene.client.post(url(scene), json={"domain": sent}).json()["domain"] == kept
    assert scene.client.delete(url(scene, sent)).status_code == 204


@pytest.mark.parametrize(
    "sent",
    [
        *("", "localhost", "example.com.", "-a.example.com", "a..example.com", "a b.example.com", "user@example.com"),
        *("192.0.2.1", "a_b.example.com", "\0.example.com", "example.com\n", "*.example.com", "https://example.com"),
        *("a" * 64 + ".com", ".".join(["a" * 60] * 4 + ["a" * 10]), "ü" * 300),
    ],
)
def test_what_is_no_domain_is_refused(scene: Scene, sent: str) -> None:
    answer = scene.client.post(url(scene), json={"domain": sent})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["domain"]


def test_the_longest_name_of_a_domain_has_253_characters(scene: Scene) -> None:
    longest = ".".join(["a" * 60, "b" * 60, "c" * 60, "d" * 60, unique("e").ljust(9, "e")])
    assert len(longest) == 253
    assert scene.client.post(url(scene), json={"domain": longest}).status_code == 201
    assert scene.client.post(url(scene), json={"domain": "f" + longest}).status_code == 400


def test_pages_of_domains_are_the_list_by_name(scene: Scene) -> None:
    names = sorted(domain_name() for _ in range(5))
    for name in reversed(names):
        scene.client.post(url(scene), json={"domain": name})
    found = []
    next_: str | None = url(scene) + "?page_size=2"
    while next_:
        page = scene.client.get(next_).json()
        assert page["count"] == 5
        found += [domain["domain"] for domain in page["results"]]
        next_ = page["next"]
    assert found == names
    assert scene.client.get(url(scene) + "?page=4&page_size=2").status_code == 404
    empty = Scene(scene.home)
    assert empty.client.get(url(empty) + "?page=1").json()["results"] == []


def test_domains_are_read_by_indexes(home: Home) -> None:
    async def ask(tx: Transaction) -> None:
        await rows.list_page(tx, organization_id=1, offset=0, limit=10)
        await rows.count(tx, organization_id=1)
        await rows.get(tx, organization_id=1, name="example.com")
        await rows.get_verified(tx, name="example.com")

    assert_no_scan(plans_of(home, ask, must_scan=True))
