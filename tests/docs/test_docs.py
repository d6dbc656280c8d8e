"""Pages that are compared with the code."""

import re
from pathlib import Path

from homeport import __version__
from homeport.cli.main import app
from homeport.settings import Settings, descriptions

ROOT = Path(__file__).parents[2]


def test_the_page_of_settings_is_the_code() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", page, re.MULTILINE))
    defaults = Settings()
    assert list(rows) == list(Settings.__struct_fields__)
    for name, text in descriptions().items():
        variable, default, description = (cell.strip() for cell in rows[name].split("|"))
        assert variable == f"`HOMEPORT_{name.upper()}`"
        value = str(getattr(defaults, name))
        assert default == (f"`{value}`" if value else "")
        assert description == text


def test_links_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    assert len(pages) > 8
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), (page, target)


def test_the_commands_of_the_operators_page_exist() -> None:
    page = (ROOT / "docs/operations/commands.md").read_text()
    groups = {"user", "org", "team", "audit"}
    for line in re.findall(r"^(?:.*\| )?homeport (.+)$", page, re.MULTILINE):
        words = line.split()
        path = words[:2] if words[0] in groups else words[:1]
        found = app
        for word in path:
            found = found[word]
    assert "homeport fsck" in page


def test_the_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(
        r"make ([a-z]+)", (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    ):
        assert re.search(rf"^{target}:.*## ", makefile, re.MULTILINE) or target in {"a"}, target


def test_the_version_is_said_once() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
