"""What the files of deploy/ say of the program, compared with the program. `make deploy` runs them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from homeport import __version__
from homeport.addresses import Networks
from homeport.settings import _WITH_PASSWORD, PREFIX, Settings, load
from tests.deploy import nginx

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm/homeport"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()


def test_what_the_image_takes_is_there_and_let_through() -> None:
    let_through = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for line in re.findall(r"^COPY (?!--from)(.+)$", CONTAINERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists()
            assert source.split("/")[0] in let_through


def test_the_image_has_the_versions_that_the_tests_have() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^\S+==[^ ;\\]+", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE))

    tested = pins("dev")
    for name in ("build", "image", "run"):
        assert pins(name) <= tested
    builds = {"hatchling", "editables", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers"}
    missing = {pin.partition("==")[0] for pin in pins("run") - pins("image")}
    assert missing <= builds


def test_variables_of_the_image_are_settings() -> None:
    assert load(variables_in(CONTAINERFILE)).data == Path("/data")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_has_no_rights_and_tells_of_its_health(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[a-z/]+:(local|[0-9][a-z0-9.-]*)", service["image"])
    ours = service["image"] == "homeport:local"
    # Of ours, the image tells.
    assert ours or service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    if ours:
        is_server = "command" not in service
        assert service.get("healthcheck") == (None if is_server else {"disable": True})
        assert "migrate" in (name, *service["depends_on"])


@pytest.mark.parametrize("name", ["server-1", "server-2", "worker", "migrate"])
def test_settings_of_a_service_can_be_set_and_hold_no_secret(name: str, tmp_path: Path) -> None:
    variables = SERVICES[name]["environment"]
    assert all(isinstance(value, str) for value in variables.values())
    # As deploy/prepare writes it.
    [template] = re.findall(r"homeport\.toml\.new <<END\n(.*?)^END$", (DEPLOY / "prepare").read_text(), re.M | re.S)
    file = tmp_path / "homeport.toml"
    file.write_text(template.replace("$", "a"))
    found = load({**variables, "HOMEPORT_CONFIG": str(file)})
    assert found.database_url
    assert found.valkey_url
    assert variables["HOMEPORT_CONFIG"].removeprefix("/run/secrets/") in SERVICES[name]["secrets"]
    assert not [key for key in variables if key.removeprefix(PREFIX).lower() in template]
    # Servers wait for `migrate`, which does it.
    assert found.migrate is ("server" not in name and name != "worker")
    address = SERVICES["nginx"]["networks"]["outside"]["ipv4_address"]
    assert found.trusted_proxies == Networks([address])


def test_secrets_are_files_that_prepare_makes_and_git_does_not_see() -> None:
    made = set(re.findall(r"secrets/([a-z0-9_.]+?)(?:\.new)?(?=[\s\"])", (DEPLOY / "prepare").read_text()))
    used = {name for service in SERVICES.values() for name in service.get("secrets", ())}
    assert used == set(COMPOSE["secrets"]) <= made
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/deploy/secrets/", "/deploy/acme/"} <= set(ignored)


def test_nginx_reaches_every_server_and_finds_what_it_reads() -> None:
    servers = re.findall(r"^    server (\S+):8000 ", nginx.CONFIGURATION.read_text(), re.MULTILINE)
    assert servers == [name for name, service in SERVICES.items() if "server" in name]
    assert set(servers) == set(SERVICES["nginx"]["depends_on"])
    read = set(re.findall(r"^    ssl_certificate(?:_key)? /run/secrets/(\S+);", nginx.CONFIGURATION.read_text(), re.M))
    assert read == set(SERVICES["nginx"]["secrets"])
    listened = set(re.findall(r"^    listen (\d+)", nginx.CONFIGURATION.read_text(), re.MULTILINE))
    assert listened == {port.partition(":")[2] for port in SERVICES["nginx"]["ports"]}


def test_the_chart_is_of_this_version() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__


def test_the_chart_takes_every_setting_where_it_belongs() -> None:
    properties = json.loads((CHART / "values.schema.json").read_text())["properties"]
    secret = {"admin_password", *_WITH_PASSWORD}
    assert set(properties["secretSettings"]["propertyNames"]["enum"]) == secret
    # The chart itself says where to listen, where data lies, and who migrates and does jobs.
    own = {"host", "port", "data", "jobs", "migrate", "metrics_port"}
    others = [name for name in Settings.__struct_fields__ if name not in secret | own]
    assert properties["settings"]["propertyNames"]["enum"] == others


def test_settings_of_the_page_on_installing_can_be_set(tmp_path: Path) -> None:
    page = (ROOT / "docs/operations/install.md").read_text()
    [example] = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    file = tmp_path / "homeport.toml"
    file.write_text(example)
    found = load({"HOMEPORT_CONFIG": str(file)})
    unit = (DEPLOY / "systemd/homeport.service").read_text()
    [state] = re.findall(r"^StateDirectory=(.*)$", unit, re.MULTILINE)
    assert found.data == Path("/var/lib") / state
    assert "Environment=HOMEPORT_CONFIG=/etc/homeport/homeport.toml " in unit


def test_what_the_pages_name_is_there() -> None:
    pages = "".join((ROOT / f"docs/operations/{name}.md").read_text() for name in ("install", "tls"))
    named = set(re.findall(r"(?:deploy|requirements)/[\w./-]*\w", pages)) - {"deploy/acme"}
    made = {name for name in named if name.startswith("deploy/secrets")}
    assert len(named - made) > 6
    for name in named - made:
        assert (ROOT / name).exists()
    places = re.findall(r"# <(\w+)>", (ROOT / "docs/operations/tls.md").read_text())
    assert set(places) <= set(re.findall(r"# <(\w+)>", nginx.CONFIGURATION.read_text()))


def variables_in(text: str) -> dict[str, str]:
    return dict(re.findall(rf"\b({PREFIX}\w+)=(\S+)", text))
