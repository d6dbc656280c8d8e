"""Pages that are compared with the code."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec

from homeport import __version__
from homeport.cli.main import app
from homeport.settings import EVERYTHING, Feature, Plan, Plans, Settings, descriptions, load
from tests.home import clean_environment

ROOT = Path(__file__).parents[2]


def test_the_page_of_settings_is_the_code() -> None:
    page = (ROOT / "docs/configuration.md").read_text().partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", page, re.MULTILINE))
    defaults = Settings()
    assert list(rows) == list(Settings.__struct_fields__)
    for name, text in descriptions().items():
        variable, default, description = (cell.strip() for cell in rows[name].split("|"))
        assert variable == f"`HOMEPORT_{name.upper()}`"
        value = getattr(defaults, name)
        shown = msgspec.json.encode(value).decode() if isinstance(value, Plans) else str(value)
        assert default == (f"`{shown}`" if shown else "")
        assert description == text


def test_the_page_of_settings_tells_of_every_feature_and_limit_of_a_plan(tmp_path: Path) -> None:
    page = (ROOT / "docs/configuration.md").read_text().partition("\n## Plans\n")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert named == [*Feature, *(field for field in Plan.__struct_fields__ if field != "features")]
    (example,) = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    file = tmp_path / "homeport.toml"
    file.write_text(example)
    plans = load({"HOMEPORT_CONFIG": str(file)}).plans
    assert (plans.personal.features, plans.business) == (frozenset(), EVERYTHING)
    assert None not in msgspec.structs.astuple(plans.team)
    assert re.findall(r"`(\w+)`", page)[:4] == list(Plans.__struct_fields__)
    variable = re.search(r"`(\{.*\})`", page)
    assert variable is not None
    assert load({"HOMEPORT_PLANS": variable[1]}).plans.team.members == 25


def test_the_settings_of_the_page_on_object_storage_can_be_set() -> None:
    page = (ROOT / "docs/operations/object-storage.md").read_text()
    blocks = re.findall(r"^```shell\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for block in blocks:
        variables = dict(re.findall(r"^(HOMEPORT_\w+)=(.*)$", block, re.MULTILINE))
        assert load(variables).blob_url == variables["HOMEPORT_BLOB_URL"]
        assert len(variables) == sum(not line.startswith("#") for line in block.splitlines())
    assert len(blocks) > 3


def test_the_settings_of_the_page_on_several_machines_can_be_set() -> None:
    page = (ROOT / "docs/operations/scale.md").read_text()
    variables = dict(re.findall(r"^(HOMEPORT_\w+)=(.*)$", page, re.MULTILINE))
    found = load(variables)
    assert (found.database_url, found.blob_url, found.valkey_url) == (
        variables["HOMEPORT_DATABASE_URL"],
        variables["HOMEPORT_BLOB_URL"],
        variables["HOMEPORT_VALKEY_URL"],
    )


def test_links_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    assert len(pages) > 8
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), (page, target)


def test_the_commands_of_the_operators_page_exist() -> None:
    page = (ROOT / "docs/operations/commands.md").read_text()
    groups = {"user", "org", "team", "scim", "audit", "account", "mail"}
    for line in re.findall(r"^(?:.*\| )?homeport (.+)$", page, re.MULTILINE):
        words = line.split()
        path = words[:2] if words[0] in groups else words[:1]
        found = app
        for word in path:
            found = found[word]
    assert "homeport fsck" in page


def test_the_drill_of_the_page_on_backups_works(tmp_path: Path) -> None:
    page = (ROOT / "docs/operations/backup.md").read_text().partition("## A drill of ten minutes")[2]
    (block,) = re.findall(r"^```shell\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    *lines, serve = block.splitlines()
    assert serve.startswith("homeport serve --data drill/hub")
    script = "\n".join(re.sub("^homeport", f"{sys.executable} -m homeport", line) for line in lines)
    environment = clean_environment()
    done = subprocess.run(
        ["sh", "-ec", script], cwd=tmp_path, env=environment, check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("0 errors, 0 warnings\n")
    assert len(lines) == 6


def test_the_settings_that_the_page_on_backups_moves_to_can_be_set(tmp_path: Path) -> None:
    page = (ROOT / "docs/operations/backup.md").read_text()
    (block,) = re.findall(r"^ *```toml\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)
    file = tmp_path / "new.toml"
    file.write_text(textwrap.dedent(block))
    assert load({"HOMEPORT_CONFIG": str(file)}).blob_url == "s3://hub-blobs"


def test_the_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(
        r"make ([a-z0-9]+)", (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    ):
        assert re.search(rf"^{target}:.*## ", makefile, re.MULTILINE) or target in {"a"}, target


def test_the_version_is_said_once() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
