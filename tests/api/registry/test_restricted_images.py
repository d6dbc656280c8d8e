"""What members of an organization that restricts images may pull."""

from collections.abc import Callable

import httpx
import pytest

from homeport.core import badges
from homeport.core.access import OPERATOR
from homeport.core.services import Services
from homeport.names import RepositoryName
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db.records import Badge, OrganizationRole, Permission
from tests.home import Home, User, digest_of, push_blob, push_image, put_manifest
from tests.plans import assert_no_scan, plans_of

LAYER = digest_of(b"layer restricted")
POLICY = "(Image Access Management)"

READS = ["manifests/latest", "manifests/{manifest}", "blobs/{blob}", "tags/list", "referrers/{manifest}"]


class Scene:
    """An organization, a member of it, and a public image of a stranger's."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.owner = home.user("owner")
        self.member = home.user("member")
        self.organization = home.organization(self.owner)
        home.member(self.organization, self.member, OrganizationRole.MEMBER)
        self.stranger = home.user("stranger")
        self.foreign = self.image(self.stranger, self.stranger.name)
        self.own = self.image(self.owner, self.organization)

    def image(self, user: User, namespace: str, *, is_private: bool = False) -> RepositoryName:
        name = self.home.repository(namespace, is_private=is_private)
        push_image(self.home.registry(user, name), name, "latest", text="restricted")
        return name

    def restrict(
        self,
        organization: str | None = None,
        owner: User | None = None,
        *,
        enabled: bool = True,
        official: bool = False,
        publishers: bool = False,
    ) -> None:
        """As the owner, through the API."""
        body = {"enabled": enabled, "allow_official_images": official, "allow_verified_publishers": publishers}
        answer = self.home.hub(owner or self.owner).put(
            f"/v2/orgs/{organization or self.organization}/settings", json={"restricted_images": body}
        )
        assert answer.status_code == 200, answer.text

    def mark(self, namespace: str, badge: Badge) -> None:
        async def verb(services: Services) -> None:
            async with services.db.write() as tx:
                await badges.set_badge(tx, actor=OPERATOR, namespace=namespace, badge=badge)

        self.home.run(verb)

    def pulls(self, name: RepositoryName, user: User | None = None) -> bool:
        return pulled(self.home.registry(user or self.member, name, actions="pull"), name)


def pulled(client: httpx.Client, name: RepositoryName) -> bool:
    """Whether a manifest can be pulled; a refusal is the one that this is about."""
    answer = client.get(f"/v2/{name}/manifests/latest")
    assert answer.status_code in (200, 403), answer.text
    if answer.status_code == 403:
        (error,) = answer.json()["errors"]
        assert error["code"] == "DENIED"
        assert POLICY in error["message"]
    return answer.status_code == 200


@pytest.fixture
def scene(home: Home) -> Scene:
    return Scene(home)


def test_a_restricted_image_is_refused_on_every_path_of_a_pull_with_the_reason(scene: Scene) -> None:
    client = scene.home.registry(scene.member, scene.foreign)
    manifest = client.get(f"/v2/{scene.foreign}/manifests/latest").headers["docker-content-digest"]
    urls = [f"/v2/{scene.foreign}/{path.format(manifest=manifest, blob=LAYER)}" for path in READS]
    for url in urls:
        assert client.get(url).status_code == 200
    scene.restrict()
    for url in urls:
        answer = client.get(url)
        assert answer.status_code == 403, url
        (error,) = answer.json()["errors"]
        assert error["code"] == "DENIED"
        for word in (str(scene.foreign), scene.organization, POLICY):
            assert word in error["message"]
        assert client.head(url).status_code == 403, url
        assert "www-authenticate" not in answer.headers


def test_a_token_for_a_restricted_image_is_given_so_that_the_refusal_can_say_why(scene: Scene) -> None:
    scene.restrict()
    assert scene.pulls(scene.foreign) is False


def test_the_organizations_own_images_are_pulled_as_roles_allow(scene: Scene) -> None:
    secret = scene.image(scene.owner, scene.organization, is_private=True)
    scene.restrict()
    assert scene.pulls(scene.own)
    assert scene.home.registry(scene.member, secret).get(f"/v2/{secret}/manifests/latest").status_code == 401
    scene.home.team_member(secret, scene.member, Permission.READ)
    assert scene.pulls(secret)
    assert scene.pulls(secret, scene.owner)


@pytest.mark.parametrize("role", OrganizationRole)
def test_the_restriction_holds_for_every_role(scene: Scene, role: OrganizationRole) -> None:
    user = scene.home.user()
    scene.home.member(scene.organization, user, role)
    scene.restrict()
    assert not scene.pulls(scene.foreign, user)


def test_who_is_not_a_member_is_not_restricted(scene: Scene) -> None:
    scene.restrict()
    assert scene.pulls(scene.foreign, scene.stranger)
    assert scene.pulls(scene.own, scene.stranger)
    anonymous = scene.home.registry(None, scene.foreign)
    assert pulled(anonymous, scene.foreign)


def test_a_site_administrator_answers_to_no_organization(scene: Scene) -> None:
    home = scene.home
    home.member(scene.organization, home.admin, OrganizationRole.MEMBER)
    scene.restrict()
    assert scene.pulls(scene.foreign, home.admin)


def test_a_personal_access_token_changes_nothing(scene: Scene) -> None:
    scene.restrict()
    secret = scene.home.access_token(scene.member, "repo:admin")[1]
    assert not pulled(scene.home.registry(scene.member, scene.foreign, secret=secret), scene.foreign)


@pytest.mark.parametrize(
    ("badge", "official", "publishers", "is_allowed"),
    [
        (Badge.NONE, True, True, False),
        (Badge.OPEN_SOURCE, True, True, False),
        (Badge.OFFICIAL, False, True, False),
        (Badge.OFFICIAL, True, False, True),
        (Badge.VERIFIED_PUBLISHER, True, False, False),
        (Badge.VERIFIED_PUBLISHER, False, True, True),
    ],
)
def test_official_images_and_verified_publishers_are_let_through_each_by_its_switch(
    scene: Scene, badge: Badge, official: bool, publishers: bool, is_allowed: bool
) -> None:
    scene.restrict(official=official, publishers=publishers)
    scene.mark(scene.foreign.namespace, badge)
    assert scene.pulls(scene.foreign) is is_allowed
    scene.restrict(enabled=False, official=official, publishers=publishers)
    assert scene.pulls(scene.foreign)


@pytest.mark.parametrize("is_allowed", [True, False])
def test_what_is_in_library_is_official(scene: Scene, is_allowed: bool) -> None:
    official = scene.image(scene.home.admin, "library")
    scene.restrict(official=is_allowed)
    assert scene.pulls(official) is is_allowed


def test_ones_own_images_are_not_the_organizations(scene: Scene) -> None:
    own = scene.image(scene.member, scene.member.name)
    assert scene.pulls(own)
    scene.restrict()
    assert not scene.pulls(own)
    shared = scene.image(scene.stranger, scene.stranger.name, is_private=True)
    scene.home.collaborator(shared, scene.member, Permission.WRITE)
    assert not scene.pulls(shared)


def test_each_organization_that_restricts_has_to_let_an_image_through(scene: Scene) -> None:
    other_owner = scene.home.user("owner")
    other = scene.home.organization(other_owner)
    scene.home.member(other, scene.member, OrganizationRole.MEMBER)
    others_own = scene.image(other_owner, other)
    scene.mark(scene.foreign.namespace, Badge.VERIFIED_PUBLISHER)
    scene.restrict(publishers=True)
    assert scene.pulls(scene.foreign)
    scene.restrict(other, other_owner, publishers=False)
    answer = scene.home.registry(scene.member, scene.foreign).get(f"/v2/{scene.foreign}/manifests/latest")
    assert answer.status_code == 403
    assert f"organization {other} " in answer.json()["errors"][0]["message"]
    scene.restrict(other, other_owner, publishers=True)
    assert scene.pulls(scene.foreign)
    # What belongs to one of them needs nothing from the other.
    scene.restrict(other, other_owner)
    scene.restrict()
    assert scene.pulls(scene.own)
    assert scene.pulls(others_own)


def change_policy(scene: Scene) -> None:
    scene.restrict()


def change_membership(scene: Scene) -> None:
    late = scene.home.user("owner")
    organization = scene.home.organization(late)
    scene.restrict(organization, late)
    scene.home.member(organization, scene.member, OrganizationRole.MEMBER)


def change_badge(scene: Scene) -> None:
    scene.mark(scene.foreign.namespace, Badge.OPEN_SOURCE)


@pytest.mark.parametrize("change", [change_policy, change_membership, change_badge])
def test_a_change_holds_from_the_next_request_on(scene: Scene, change: Callable[[Scene], None]) -> None:
    scene.mark(scene.foreign.namespace, Badge.VERIFIED_PUBLISHER)
    if change is change_badge:
        scene.restrict(publishers=True)
    client = scene.home.registry(scene.member, scene.foreign)
    urls = [f"/v2/{scene.foreign}/manifests/latest", f"/v2/{scene.foreign}/blobs/{LAYER}"]
    for url in urls * 2:
        assert client.get(url).status_code == 200
    change(scene)
    for url in urls * 2:
        assert client.get(url).status_code == 403


def test_a_push_to_ones_own_repository_works_and_what_was_pushed_is_not_pulled(scene: Scene) -> None:
    scene.restrict()
    name = RepositoryName(scene.member.name, "pushed")
    client = scene.home.registry(scene.member, name)
    assert client.head(f"/v2/{name}/blobs/{LAYER}").status_code in (403, 404)
    content = push_image(client, name, "latest", text="restricted")
    urls = [f"/v2/{name}/blobs/{LAYER}", f"/v2/{name}/manifests/latest", f"/v2/{name}/manifests/{digest_of(content)}"]
    # A client asks whether things are there before it sends them; a HEAD shows nothing of them.
    for url in urls * 2:
        assert client.head(url).status_code == 200
        assert client.get(url).status_code == 403
    assert put_manifest(client, name, "again", content).status_code == 201
    assert client.delete(f"/v2/{name}/manifests/again").status_code == 202
    # With a token to pull there is no push to ask for.
    puller = scene.home.registry(scene.member, name, actions="pull")
    for url in urls:
        assert puller.head(url).status_code == 403


@pytest.mark.parametrize("is_named", [True, False])
def test_a_blob_of_a_restricted_image_is_not_mounted(scene: Scene, is_named: bool) -> None:
    target = RepositoryName(scene.organization, "target")
    scene.home.member(scene.organization, scene.member, OrganizationRole.EDITOR)
    blob = push_blob(scene.home.registry(scene.stranger, scene.foreign), scene.foreign, target.namespace.encode())
    client = scene.home.registry(scene.member, target, scene.foreign)
    parameters = {"mount": blob, **({"from": str(scene.foreign)} if is_named else {})}
    scene.restrict()
    refused = client.post(f"/v2/{target}/blobs/uploads/", params=parameters)
    assert refused.status_code == 202
    assert client.head(f"/v2/{target}/blobs/{blob}").status_code == 404
    scene.restrict(enabled=False)
    assert client.post(f"/v2/{target}/blobs/uploads/", params=parameters).status_code == 201


def test_pages_of_tags_stay_visible(scene: Scene) -> None:
    scene.restrict()
    client = scene.home.hub(scene.member)
    for tail in ("", "/latest", "/latest/images"):
        assert client.get(f"/v2/repositories/{scene.foreign}/tags{tail}").status_code == 200


def test_a_private_image_of_others_stays_unknown(scene: Scene) -> None:
    secret = scene.image(scene.stranger, scene.stranger.name, is_private=True)
    scene.restrict()
    answer = scene.home.registry(scene.member, secret).get(f"/v2/{secret}/manifests/latest")
    missing = RepositoryName(scene.stranger.name, "nothing-here")
    other = scene.home.registry(scene.member, missing).get(f"/v2/{missing}/manifests/latest")
    assert (answer.status_code, answer.json()) == (other.status_code, other.json())


def test_a_former_member_is_free_again(scene: Scene) -> None:
    scene.restrict()
    assert not scene.pulls(scene.foreign)

    async def leave(services: Services) -> None:
        async with services.db.write() as tx:
            await tx.run(
                """
                delete from organization_members where account_id = (select id from accounts where name = :name)
                """,
                name=scene.member.name,
            )

    scene.home.run(leave)
    assert scene.pulls(scene.foreign)


def test_who_restricts_an_actor_is_found_by_indexes(scene: Scene) -> None:
    found = plans_of(scene.home, lambda tx: repository_rows.get(tx, scene.foreign, actor_id=1), must_scan=True)
    assert_no_scan(found)
