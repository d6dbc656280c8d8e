"""What plans refuse, on a server of which the settings give each plan another lack."""

from collections.abc import Iterator

import httpx
import msgspec
import pytest

from homeport.core import plans, teams
from homeport.core.access import OPERATOR
from homeport.core.services import Services
from homeport.errors import PlanLimitReached
from homeport.names import RepositoryName
from homeport.settings import Feature
from homeport.storage.db.records import OrganizationRole, PlanName
from tests.conftest import DATABASES, NewHome
from tests.home import Home, unique
from tests.logs import logged

LIMITED = {"access_tokens": 2, "members": 2, "teams": 2, "private_repositories": 1}
TABLE = {"personal": {"features": []}, "team": LIMITED}


@pytest.fixture(scope="module", params=DATABASES)
def limited(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[Home]:
    """A Homeport where `personal` holds no feature and `team` little of anything; `business` is everything."""
    variables = {"HOMEPORT_PLANS": msgspec.json.encode(TABLE).decode(), "HOMEPORT_DEFAULT_PRIVACY": "private"}
    with new_home(request.param, **variables) as running:
        yield running


def give(home: Home, name: str, plan: PlanName) -> None:
    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await plans.set_plan(tx, actor=OPERATOR, name=name, plan=plan)

    home.run(verb)


def organization(home: Home, plan: PlanName) -> tuple[str, httpx.Client]:
    """An organization of a plan, with a client of its owner."""
    owner = home.user("owner")
    name = home.organization(owner)
    give(home, name, plan)
    return name, home.hub(owner)


GATES = {
    # feature: what takes it, and a request that switches the same off
    Feature.IMAGE_ACCESS_MANAGEMENT: (
        "PUT",
        "settings",
        {"restricted_images": {"enabled": True, "allow_official_images": True, "allow_verified_publishers": True}},
    ),
    Feature.REGISTRY_ACCESS_MANAGEMENT: (
        "PUT",
        "settings/registry-access-management",
        {
            "enabled": True,
            "standard_registries": [{"id": "DockerHub", "allowed": True}],
            "custom_registries": [],
        },
    ),
    Feature.SSO: ("PATCH", "settings/policies", {"sso_enforced": True}),
    Feature.INSIGHTS: ("PATCH", "settings/policies", {"insights": True}),
    Feature.AUDIT_LOGS: ("PATCH", "settings/policies", {"audit_pulls": True}),
    Feature.DOMAINS: ("POST", "domains", {"domain": "example.com"}),
}


@pytest.mark.parametrize("feature", GATES)
def test_what_the_plan_lacks_is_refused_with_its_name(limited: Home, feature: Feature) -> None:
    name, owner = organization(limited, PlanName.PERSONAL)
    method, tail, body = GATES[feature]
    answer = owner.request(method, f"/v2/orgs/{name}/{tail}", json=body)
    message = f"the plan personal of {name} does not include {feature}"
    assert (answer.status_code, answer.json()) == (403, {"message": message, "errinfo": {}})
    give(limited, name, PlanName.BUSINESS)
    assert owner.request(method, f"/v2/orgs/{name}/{tail}", json=body).status_code in (200, 201)


def test_a_log_is_read_under_a_plan_that_holds_it_and_by_site_administrators(limited: Home) -> None:
    name, owner = organization(limited, PlanName.PERSONAL)
    url = f"/v2/auditlogs/{name}"
    assert owner.get(url).status_code == 403
    assert f"the plan personal of {name} does not include audit_logs" in owner.get(url).json()["message"]
    assert limited.hub(limited.admin).get(url).json()["logs"]
    give(limited, name, PlanName.BUSINESS)
    assert owner.get(url).json()["logs"]


def test_what_is_on_can_be_switched_off_under_a_smaller_plan(limited: Home) -> None:
    name, owner = organization(limited, PlanName.BUSINESS)
    url = f"/v2/orgs/{name}/settings"
    on = {"enabled": True, "allow_official_images": True, "allow_verified_publishers": True}
    assert owner.put(url, json={"restricted_images": on}).status_code == 200
    assert owner.patch(f"{url}/policies", json={"sso_enforced": True}).status_code == 200
    give(limited, name, PlanName.PERSONAL)
    assert owner.get(url).json()["restricted_images"] == on
    assert owner.put(url, json={"restricted_images": on | {"allow_official_images": False}}).status_code == 403
    assert owner.put(url, json={"restricted_images": on | {"enabled": False}}).status_code == 200
    assert owner.patch(f"{url}/policies", json={"sso_enforced": False}).json()["sso_enforced"] is False


def test_an_account_has_no_more_access_tokens_than_its_plan_says(limited: Home) -> None:
    user = limited.user()
    give(limited, user.name, PlanName.TEAM)
    client = limited.hub(user)
    body = {"token_label": "ci", "scopes": ["repo:read"]}
    made = [client.post("/v2/access-tokens", json=body) for _ in range(3)]
    assert [answer.status_code for answer in made] == [201, 201, 403]
    message = f"the plan team of {user.name} is limited to 2 access tokens (access_tokens)"
    assert made[-1].json()["message"] == message
    client.delete(f"/v2/access-tokens/{made[0].json()['uuid']}")
    assert client.post("/v2/access-tokens", json=body).status_code == 201


def test_an_organization_has_no_more_members_than_its_plan_says(limited: Home) -> None:
    name, _ = organization(limited, PlanName.TEAM)
    first, second = limited.user(), limited.user()
    limited.member(name, first, OrganizationRole.MEMBER)
    with pytest.raises(PlanLimitReached, match=r"limited to 2 members \(members\)"):
        limited.member(name, second, OrganizationRole.MEMBER)
    limited.member(name, first, OrganizationRole.EDITOR)  # who is in it already needs no room

    async def through_a_team(services: Services) -> None:
        async with services.db.write() as tx:
            await teams.add_member(
                tx,
                actor=OPERATOR,
                organization=name,
                team="owners",
                user=second.name,
                plans=services.settings.plans,
            )

    with pytest.raises(PlanLimitReached):
        limited.run(through_a_team)
    give(limited, name, PlanName.BUSINESS)
    limited.run(through_a_team)


def test_an_invite_needs_a_plan_that_holds_invites_and_room_for_another_member(limited: Home) -> None:
    name, owner = organization(limited, PlanName.PERSONAL)
    first, second = limited.user(), limited.user()
    body = {"org": name, "invitees": [first.name, second.name]}
    refused = owner.post("/v2/invites/bulk", json=body)
    assert (refused.status_code, refused.json()["message"]) == (
        403,
        f"the plan personal of {name} does not include invites",
    )
    give(limited, name, PlanName.TEAM)
    assert owner.post("/v2/invites/bulk", json=body).status_code == 202
    answers = []
    for user in (first, second):
        client = limited.hub(user)
        [invite] = client.get("/v2/user/invites").json()["data"]
        answers.append(client.post(f"/v2/invites/{invite['id']}/accept"))
    assert [answer.status_code for answer in answers] == [204, 403]
    assert "members" in answers[1].json()["message"]


def test_an_organization_has_no_more_teams_than_its_plan_says(limited: Home) -> None:
    name, _ = organization(limited, PlanName.TEAM)

    async def make(services: Services) -> None:
        async with services.db.write() as tx:
            await teams.create_team(
                tx, actor=OPERATOR, organization=name, name=unique("team"), plans=services.settings.plans
            )

    limited.run(make)
    with pytest.raises(PlanLimitReached, match=r"limited to 2 teams \(teams\)"):
        limited.run(make)


def test_an_organization_has_no_more_access_tokens_than_its_plan_says(limited: Home) -> None:
    name, owner = organization(limited, PlanName.TEAM)
    url = f"/v2/orgs/{name}/access-tokens"
    made = [owner.post(url, json={"label": "ci"}) for _ in range(3)]
    assert [answer.status_code for answer in made] == [201, 201, 403]
    message = f"the plan team of {name} is limited to 2 access tokens (access_tokens)"
    assert made[2].json()["message"] == message
    # What is switched off counts.
    first = f"{url}/{made[0].json()['id']}"
    assert owner.patch(first, json={"is_active": False}).status_code == 200
    assert owner.post(url, json={"label": "ci"}).status_code == 403
    assert owner.delete(first).status_code == 204
    assert owner.post(url, json={"label": "ci"}).status_code == 201


def test_a_push_makes_no_more_private_repositories_than_the_plan_says(limited: Home) -> None:
    user = limited.user()
    give(limited, user.name, PlanName.TEAM)
    first, second = RepositoryName(user.name, "first"), RepositoryName(user.name, "second")
    client = limited.registry(user, first, second)
    assert client.post(f"/v2/{first}/blobs/uploads/").status_code == 202
    refused = client.post(f"/v2/{second}/blobs/uploads/")
    assert refused.status_code == 403
    (error,) = refused.json()["errors"]
    message = f"the plan team of {user.name} is limited to 1 private repositories (private_repositories)"
    assert (error["code"], error["message"]) == ("DENIED", message)
    assert client.post(f"/v2/{first}/blobs/uploads/").status_code == 202
    limited.repository(user.name)  # public ones have no limit
    with pytest.raises(PlanLimitReached):
        limited.repository(user.name, is_private=True)


def test_a_change_of_plan_is_in_the_log(limited: Home) -> None:
    name, _ = organization(limited, PlanName.PRO)
    give(limited, name, PlanName.PRO)
    changes = [data for action, data in logged(limited, name) if action == "user.plan.change"]
    assert changes == [{"plan": "pro", "former_plan": "business"}]


# What clients are told of plans


def settings_of(client: httpx.Client, name: str) -> object:
    answer = client.get(f"/v2/users/{name}/registry-settings/")
    assert answer.status_code == 200, answer.text
    return answer.json()


def plan_of(home: Home, client: httpx.Client, name: str) -> object:
    uuid = home.anonymous.get(f"/v2/orgs/{name}", follow_redirects=True).json()["uuid"]
    answers = [client.get(f"/api/billing/v4/accounts/{id_}/hub-plan") for id_ in (uuid, uuid.replace("-", ""))]
    assert answers[0].json() == answers[1].json()
    return answers[0].json()


def test_clients_are_told_how_many_private_repositories_a_plan_leaves(limited: Home) -> None:
    user = limited.user()
    give(limited, user.name, PlanName.TEAM)
    client = limited.hub(user)
    told = {
        "private_repo_used": 0,
        "num_free_private_repos": 9999,
        "private_repo_limit": 1,
        "private_repo_available": 1,
        "private_repo_percent_used": 0.0,
        "default_repo_visibility": "private",
    }
    assert settings_of(client, user.name) == told
    limited.repository(user.name)
    limited.repository(user.name, is_private=True)
    used = {"private_repo_used": 1, "private_repo_available": 0, "private_repo_percent_used": 100.0}
    assert settings_of(client, user.name) == {**told, **used}
    give(limited, user.name, PlanName.BUSINESS)
    unlimited = {"private_repo_limit": 9999, "private_repo_available": 9998, "private_repo_percent_used": 0.0}
    assert settings_of(client, user.name) == {**told, **used, **unlimited}
    for name in (f"{unique('p')}" for _ in range(2)):
        body = {"name": name, "is_private": True}
        assert client.post(f"/v2/repositories/{user.name}", json=body).status_code == 201
    give(limited, user.name, PlanName.TEAM)
    beyond = {"private_repo_used": 3, "private_repo_available": 0, "private_repo_percent_used": 300.0}
    assert settings_of(client, user.name) == {**told, **beyond}


def test_clients_are_told_the_limits_of_a_plan(limited: Home) -> None:
    common = {"legacy": False, "collaborators": 9999, "parallel_builds": 0, "duration": ""}
    name, client = organization(limited, PlanName.TEAM)
    told = {"name": "team", "seats": 2, "private_repos": 1, "teams": 2}
    assert plan_of(limited, client, name) == {**common, **told}
    name, client = organization(limited, PlanName.BUSINESS)
    told = {"name": "business", "seats": 9999, "private_repos": 9999, "teams": 9999}
    assert plan_of(limited, client, name) == {**common, **told}
    user = limited.user()
    give(limited, user.name, PlanName.TEAM)
    told = {"name": "team", "seats": 1, "private_repos": 1, "teams": 0}
    assert plan_of(limited, limited.hub(user), user.name) == {**common, **told}


def test_whose_plan_it_is_has_to_be_known(limited: Home) -> None:
    user, gone = limited.user(), limited.user()
    uuid = limited.anonymous.get(f"/v2/users/{gone.name}").json()["uuid"]
    limited.deactivate(gone)
    client = limited.hub(limited.admin)
    for path in (
        f"/api/billing/v4/accounts/{uuid}/hub-plan",
        "/api/billing/v4/accounts/no-uuid/hub-plan",
        f"/v2/users/{gone.name}/registry-settings",
        "/v2/users/nobody-of-that-name/registry-settings",
    ):
        assert client.get(path).status_code == 404
    assert settings_of(client, user.name.upper()) == settings_of(limited.hub(user), user.name)
