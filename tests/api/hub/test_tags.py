import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from homeport.app import create_app
from homeport.core.services import Services
from homeport.core.tags import IMAGES_LIMIT
from homeport.storage.db.database import utcnow
from tests.api.hub.people import events
from tests.api.hub.pushing import PLATFORM, Owned, Pushed
from tests.home import OCI_CONFIG, OCI_INDEX, Home

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_a_tag_is_shown_with_every_field(home: Home) -> None:
    repository = Owned(home)
    owner = repository.owner.name
    config = {
        "os": "windows",
        "architecture": "amd64",
        "variant": "v2",
        "os.version": "10.0.1",
        "os.features": ["win32k", "x"],
    }
    pushed = repository.image("1.0", layers=[b"one", b"three"], config=config)
    shown = home.anonymous.get(repository.path("/1.0")).json()
    image = shown["images"][0]
    for moment in (shown["last_updated"], shown["tag_last_pushed"], image["last_pushed"]):
        assert TIME.fullmatch(moment)
    account_id = shown["creator"]
    assert isinstance(account_id, int)
    assert account_id > 0
    assert shown == {
        "creator": account_id,
        "id": shown["id"],
        "images": [
            {
                "architecture": "amd64",
                "features": "",
                "variant": "v2",
                "digest": pushed.digest,
                "os": "windows",
                "os_features": "win32k,x",
                "os_version": "10.0.1",
                "size": 8,
                "status": "active",
                "last_pulled": None,
                "last_pushed": image["last_pushed"],
            }
        ],
        "last_updated": shown["last_updated"],
        "last_updater": account_id,
        "last_updater_username": owner,
        "name": "1.0",
        "repository": shown["repository"],
        "full_size": 8,
        "v2": True,
        "tag_status": "active",
        "tag_last_pulled": None,
        "tag_last_pushed": shown["last_updated"],
        "media_type": OCI_CONFIG,
        "content_type": "image",
        "digest": pushed.digest,
    }
    assert isinstance(shown["id"], int)
    assert isinstance(shown["repository"], int)


def test_both_routes_show_the_same_with_a_slash_and_without(home: Home) -> None:
    repository = Owned(home)
    repository.image("1.0")
    listed = [home.anonymous.get(path) for path in repository.paths()]
    single = [home.anonymous.get(path) for path in repository.paths("/1.0")]
    assert {answer.status_code for answer in listed + single} == {200}
    assert len({answer.content for answer in listed}) == 1
    assert len({answer.content for answer in single}) == 1
    page = listed[0].json()
    assert page == {"count": 1, "next": None, "previous": None, "results": [single[0].json()]}


def test_head_answers_as_get_without_a_body(home: Home) -> None:
    repository = Owned(home)
    repository.image("1.0")
    for path in (*repository.paths(), *repository.paths("/1.0"), *repository.paths("/none")):
        got, head = home.anonymous.get(path), home.anonymous.head(path)
        assert head.status_code == got.status_code
        assert head.content == b""
        for header in ("content-type", "content-length", "x-frame-options", "x-content-type-options"):
            assert head.headers[header] == got.headers[header]


def test_an_index_shows_its_platforms(home: Home) -> None:
    repository = Owned(home)
    amd64 = repository.image("amd64", layers=[b"one"])
    arm64 = repository.image("arm64", layers=[b"three"], config={"os": "linux", "architecture": "arm64"})
    missing = Pushed("sha256:" + "a" * 64, 7)
    pushed = repository.index(
        "multi",
        (amd64, PLATFORM),
        (arm64, {"os": "linux", "architecture": "arm64", "variant": "v8"}),
        (missing, {"os": "unknown", "architecture": "unknown"}),
    )
    shown = home.anonymous.get(repository.path("/multi")).json()
    assert shown["digest"] == pushed.digest
    assert shown["media_type"] == OCI_INDEX
    assert shown["content_type"] == "image"
    assert shown["full_size"] == 3
    assert [
        (image["digest"], image["os"], image["architecture"], image["variant"], image["size"], image["status"])
        for image in shown["images"]
    ] == [
        (amd64.digest, "linux", "amd64", None, 3, "active"),
        (arm64.digest, "linux", "arm64", "v8", 5, "active"),
        (missing.digest, "unknown", "unknown", None, 0, "inactive"),
    ]
    assert shown["images"][2]["last_pushed"] is None


@pytest.mark.parametrize(
    ("config_type", "artifact_type", "content_type"),
    [
        ("application/vnd.docker.container.image.v1+json", None, "image"),
        ("application/vnd.docker.plugin.v1+json", None, "plugin"),
        ("application/vnd.cncf.helm.config.v1+json", None, "helm"),
        ("application/vnd.oci.empty.v1+json", "application/vnd.docker.volume.v1+tar.gz", "volume"),
        ("application/vnd.wasm.config.v0+json", None, "wasm"),
        ("application/vnd.oci.empty.v1+json", "application/vnd.docker.compose.project", "compose"),
        ("application/vnd.docker.ai.model.config.v0.1+json", None, "model"),
        ("application/vnd.cncf.model.config.v1+json", None, "model"),
        ("application/vnd.example+json", None, "unrecognized"),
        ("application/vnd.oci.empty.v1+json", "application/vnd.example", "unrecognized"),
    ],
)
def test_what_a_tag_holds_is_told_by_its_type(
    home: Home, config_type: str, artifact_type: str | None, content_type: str
) -> None:
    repository = Owned(home)
    repository.image("x", config={"a": 1}, config_type=config_type, artifact_type=artifact_type)
    shown = home.anonymous.get(repository.path("/x")).json()
    assert (shown["content_type"], shown["media_type"]) == (content_type, config_type)
    assert shown["images"][0]["os"] in ("unknown", "")


def test_images_are_shown_with_their_layers(home: Home) -> None:
    repository = Owned(home)
    history = [{"created_by": "ADD rootfs"}, {"created_by": "CMD sh", "empty_layer": True}, {"created_by": "RUN x"}]
    repository.image("1.0", layers=[b"one", b"three"], config={**PLATFORM, "history": history})
    for slash in ("", "/"):
        images = home.anonymous.get(repository.path(f"/1.0/images{slash}")).json()
        plain = home.anonymous.get(repository.path("/1.0")).json()["images"]
        layers = images[0].pop("layers")
        assert images == [{**plain[0], "features": None, "os_features": None}]
        assert [(layer["instruction"], layer["size"], "digest" in layer) for layer in layers] == [
            ("ADD rootfs", 3, True),
            ("CMD sh", 0, False),
            ("RUN x", 5, True),
        ]


def test_an_index_of_thousands_costs_no_more_than_what_is_shown(home: Home) -> None:
    repository = Owned(home)
    image = repository.image("leaf")
    wide = repository.index("wide", *((image, {"os": "linux", "architecture": f"a{n}"}) for n in range(5000)))
    nested = wide
    for level in range(1, home.settings.manifest_depth_limit):
        nested = repository.index(f"level-{level}", *((nested, {}) for _ in range(500)))
    page = home.anonymous.get(repository.path())
    assert len(page.content) < 1024 * 1024
    for tag in page.json()["results"]:
        assert len(tag["images"]) == (1 if tag["name"] == "leaf" else IMAGES_LIMIT)
        if tag["name"] == "wide":
            assert [image["architecture"] for image in tag["images"]] == [f"a{n}" for n in range(IMAGES_LIMIT)]
        assert tag["full_size"] == len(b"layer")
    assert len(home.anonymous.get(repository.path("/wide/images")).json()) == IMAGES_LIMIT


@pytest.mark.parametrize(
    ("ordering", "expected"),
    [
        (None, ["b", "c", "a"]),
        ("last_updated", ["b", "c", "a"]),
        ("-last_updated", ["a", "c", "b"]),
        ("name", ["c", "b", "a"]),
        ("-name", ["a", "b", "c"]),
    ],
)
def test_a_bare_ordering_is_descending_and_a_minus_turns_it_round(
    home: Home, ordering: str | None, expected: list[str]
) -> None:
    repository = Owned(home)
    repository.tagged("a", "c", "b")
    for part in ({}, {"name": ""}):
        parameters = {**part, **({"ordering": ordering} if ordering else {})}
        page = home.anonymous.get(repository.path(), params=parameters).json()
        assert [tag["name"] for tag in page["results"]] == expected


def test_versions_are_in_their_order_the_highest_first_and_other_tags_behind(home: Home) -> None:
    repository = Owned(home)
    ascending = ["latest", "nightly", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "v1.2", "1.10-alpine", "1.10.0", "20.04"]
    repository.tagged(*sorted(ascending))
    for word, expected in (("version", ascending[::-1]), ("-version", ascending)):
        seen: list[str] = []
        url: str | None = f"{repository.path()}?ordering={word}&page_size=4"
        while url:
            page = home.anonymous.get(url).json()
            seen += [tag["name"] for tag in page["results"]]
            url = page["next"]
        assert seen == expected
    page = home.anonymous.get(repository.path(), params={"ordering": "version", "name": "1.0.0"}).json()
    assert [tag["name"] for tag in page["results"]] == ["1.0.0", "1.0.0-rc.10", "1.0.0-rc.2"]


def test_a_deleted_tag_is_gone_and_what_it_pointed_at_stays(home: Home) -> None:
    repository = Owned(home)
    pushed = repository.image("keep")
    owner = home.hub(repository.owner)
    for path in repository.paths("/1.0"):
        repository.image("1.0")
        before = events(home, repository.owner.name)
        answer = owner.delete(path)
        assert (answer.status_code, answer.content) == (204, b"")
        digest = f"digest={pushed.digest}"
        assert events(home, repository.owner.name, after=len(before)) == [
            f"repo.tag.delete {repository.name} {digest} tag=1.0"
        ]
        again = owner.delete(path)
        assert (again.status_code, again.json()) == (
            404,
            {"message": "httperror 404: tag '1.0' not found", "errinfo": {**repository.errinfo, "tag": "1.0"}},
        )
        assert [tag["name"] for tag in home.anonymous.get(repository.path()).json()["results"]] == ["keep"]
        for ordering in ("name", "version", "last_updated"):
            page = home.anonymous.get(repository.path(), params={"ordering": ordering}).json()
            assert page["count"] == len(page["results"]) == 1
        assert repository.client.get(f"/v2/{repository.name}/manifests/1.0").status_code == 404
        assert repository.client.get(f"/v2/{repository.name}/manifests/{pushed.digest}").status_code == 200


@pytest.mark.parametrize(("scope", "status"), [("repo:admin", 204), ("repo:write", 403), ("repo:read", 403)])
def test_a_token_deletes_tags_with_the_scope_of_administration(home: Home, scope: str, status: int) -> None:
    repository = Owned(home)
    repository.image("1.0")
    client = home.hub(repository.owner, home.access_token(repository.owner, scope)[1])
    answer = client.delete(repository.path("/1.0"))
    assert answer.status_code == status
    assert (status == 403) == ("token issued from personal access token is not allowed" in answer.text)


def test_an_unknown_ordering_is_a_value_error(home: Home) -> None:
    repository = Owned(home)
    repository.tagged("a")
    answer = home.anonymous.get(repository.path(), params={"ordering": "size"})
    assert answer.status_code == 400
    expected = "Invalid ordering value. Must be one of: last_updated, -last_updated, name, -name, version, -version"
    assert answer.json() == {"fields": {"ordering": [expected]}, "text": "Invalid ordering value"}


def test_pages_together_are_all_tags(home: Home) -> None:
    repository = Owned(home)
    repository.tagged(*(f"v{number}" for number in range(7)))
    url: str | None = repository.path() + "/?page_size=3&ordering=-name&odd=%C3%A9"
    names, links = [], []
    while url:
        page = home.anonymous.get(url).json()
        assert page["count"] == 7
        names += [tag["name"] for tag in page["results"]]
        links.append((page["previous"], page["next"]))
        url = page["next"]
    assert names == [f"v{number}" for number in range(7)]
    base = f"{home.url}{repository.path()}?odd=%C3%A9&ordering=-name&page="
    assert links == [
        (None, f"{base}2&page_size=3"),
        (f"{base}1&page_size=3", f"{base}3&page_size=3"),
        (f"{base}2&page_size=3", None),
    ]


def test_a_name_narrows_the_list(home: Home) -> None:
    repository = Owned(home)
    repository.tagged("1.0", "1.1-rc", "2.0", "RC_2", "10")

    def found(part: str) -> list[str]:
        page = home.anonymous.get(repository.path(), params={"name": part, "ordering": "-name"}).json()
        assert page["count"] == len(page["results"])
        return [tag["name"] for tag in page["results"]]

    assert found("1.") == ["1.0", "1.1-rc"]
    assert found("rc") == ["1.1-rc", "RC_2"]
    assert found("%") == []
    assert found("_") == ["RC_2"]


def test_a_page_size_is_cut_to_a_hundred(home: Home) -> None:
    repository = Owned(home)
    repository.tagged(*(f"v{number}" for number in range(101)))
    for size, expected in (("10000", 100), ("9" * 30, 100), (None, 10)):
        page = home.anonymous.get(repository.path(), params={"page_size": size} if size else {}).json()
        assert len(page["results"]) == expected


@pytest.mark.parametrize("page", ["2", "9" * 30])
def test_a_page_beyond_the_last_one_is_not_found(home: Home, page: str) -> None:
    repository = Owned(home)
    repository.tagged("a")
    answer = home.anonymous.get(repository.path(), params={"page": page})
    assert answer.status_code == 404
    assert "not found" in answer.json()["message"]


def test_unknown_parameters_are_ignored(home: Home) -> None:
    repository = Owned(home)
    repository.tagged("a")
    answer = home.anonymous.get(repository.path(), params={"platforms": "true", "architecture": "s390x"})
    assert answer.json()["count"] == 1


@pytest.mark.parametrize("tail", ["", "/none"])
def test_an_unknown_repository_is_not_found(home: Home, tail: str) -> None:
    repository = Owned(home)
    for path in repository.paths(tail):
        answer = home.anonymous.get(path)
        assert answer.status_code == 404
        assert answer.json() == {
            "message": "object not found",
            "detail": "Object not found",
            "errinfo": repository.errinfo,
        }


def test_an_unknown_tag_is_not_found(home: Home) -> None:
    repository = Owned(home)
    repository.tagged("a")
    for path in (*repository.paths("/1.277"), repository.path("/1.277/images")):
        answer = home.anonymous.get(path)
        assert answer.status_code == 404
        assert answer.json() == {
            "message": "httperror 404: tag '1.277' not found",
            "errinfo": {**repository.errinfo, "tag": "1.277"},
        }


def test_a_private_repository_does_not_exist_for_strangers(home: Home) -> None:
    repository = Owned(home)
    repository.tagged("a")
    set_private(repository)
    owner, stranger = home.hub(repository.owner), home.hub(home.user())
    for path in (*repository.paths(), *repository.paths("/a")):
        assert owner.get(path).status_code == 200
        for client in (stranger, home.anonymous):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["message"]) == (404, "object not found")


def test_a_token_for_public_repositories_sees_no_private_one(home: Home) -> None:
    repository = Owned(home)
    repository.tagged("a")
    _, secret = home.access_token(repository.owner, "repo:public_read")
    narrow = home.hub(repository.owner, secret)
    assert narrow.get(repository.path()).status_code == 200
    set_private(repository)
    assert narrow.get(repository.path()).status_code == 404


def set_private(repository: Owned) -> None:
    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await tx.run(
                "update repositories set is_private = :is_private where id = :id",
                is_private=True,
                id=repository_id,
            )

    repository_id = repository.home.repository_id(repository.name)
    repository.home.run(verb)


def test_an_invalid_bearer_is_refused_even_where_nobody_is_asked(home: Home) -> None:
    repository = Owned(home)
    repository.tagged("a")
    answer = home.client(authorization="Bearer x").get(repository.path())
    assert answer.status_code == 401
    assert answer.json() == {"message": "unauthorized", "errinfo": {}}


def test_a_month_without_push_and_pull_makes_inactive(home: Home) -> None:
    repository = Owned(home)
    repository.tagged("a")
    shown = home.anonymous.get(repository.path("/a")).json()
    old = utcnow() - timedelta(days=31)
    set_times(home, shown["id"], pushed_at=old, pulled_at=None)
    shown = home.anonymous.get(repository.path("/a")).json()
    assert (shown["tag_status"], shown["images"][0]["status"]) == ("inactive", "inactive")

    whole_second = datetime.now(UTC).replace(microsecond=0)
    set_times(home, shown["id"], pushed_at=old, pulled_at=whole_second)
    shown = home.anonymous.get(repository.path("/a")).json()
    assert (shown["tag_status"], shown["images"][0]["status"]) == ("active", "active")
    written = whole_second.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    assert (shown["tag_last_pulled"], shown["images"][0]["last_pulled"]) == (written, written)


def set_times(home: Home, tag_id: int, *, pushed_at: datetime, pulled_at: datetime | None) -> None:
    async def verb(services: Services) -> None:
        times: dict[str, Any] = {"id": tag_id, "pushed_at": pushed_at, "pulled_at": pulled_at}
        async with services.db.write() as tx:
            await tx.run("update tags set updated_at = :pushed_at, last_pulled_at = :pulled_at where id = :id", **times)
            await tx.run(
                """
                update manifests set pushed_at = :pushed_at, last_pulled_at = :pulled_at
                where id = (select manifest_id from tags where id = :id)
                """,
                **times,
            )

    home.run(verb)


@pytest.mark.parametrize("more", ["", "&name=v", "&ordering=name", "&ordering=version"])
def test_a_list_costs_the_same_statements_whatever_its_length(home: Home, more: str) -> None:
    repository = Owned(home)
    repository.tagged(*(f"v{number}" for number in range(100)))
    counts = [count_statements(home, f"{repository.path()}?page_size={size}{more}", size) for size in (1, 100)]
    assert counts[0] == counts[1] <= 5


def count_statements(home: Home, path: str, size: int) -> int:
    """The statements of a request for a list, which has to have that length."""

    async def verb(services: Services) -> int:
        statements: list[str] = []
        transport = httpx.ASGITransport(create_app(services))
        async with httpx.AsyncClient(transport=transport, base_url=home.url) as client:
            services.db.trace = statements.append
            answer = await client.get(path)
            services.db.trace = None
        assert len(answer.json()["results"]) == size
        return len(statements)

    return home.run(verb)
