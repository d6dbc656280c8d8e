"""Settings: one source after the other, and a clear word where one is wrong."""

from pathlib import Path

import pytest

from homeport.addresses import Networks
from homeport.settings import SettingsError, load


def test_defaults() -> None:
    settings = load({})
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.data == Path("homeport-data")
    assert settings.is_sqlite


def test_a_flag_beats_a_variable_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "homeport.toml"
    file.write_text('port = 1\nhost = "file"\nlog_level = "debug"\n')
    settings = load(
        {"HOMEPORT_CONFIG": str(file), "HOMEPORT_PORT": "2", "HOMEPORT_HOST": "variable"}, port=3, host=None
    )
    assert (settings.port, settings.host, settings.log_level) == (3, "variable", "debug")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"HOMEPORT_COLOUR": "blue"}, ["HOMEPORT_COLOUR", "unknown setting"]),
        ({"HOMEPORT_PORT": "eighty"}, ["HOMEPORT_PORT", "eighty"]),
        ({"HOMEPORT_PORT": "65536"}, ["HOMEPORT_PORT", "65535"]),
        ({"HOMEPORT_WORKERS": "0"}, ["HOMEPORT_WORKERS", "1"]),
        ({"HOMEPORT_DEFAULT_PRIVACY": "secret"}, ["HOMEPORT_DEFAULT_PRIVACY", "secret"]),
        ({"HOMEPORT_PUBLIC_URL": "hub.example.com"}, ["HOMEPORT_PUBLIC_URL", "http"]),
        ({"HOMEPORT_PUBLIC_URL": "https://hub.example.com/"}, ["HOMEPORT_PUBLIC_URL", "slash"]),
        ({"HOMEPORT_PUBLIC_URL": "https:/hub.example.com"}, ["HOMEPORT_PUBLIC_URL", "http"]),
        ({"HOMEPORT_PUBLIC_URL": "https://hub.example.com/hub"}, ["HOMEPORT_PUBLIC_URL", "host"]),
        ({"HOMEPORT_PUBLIC_URL": 'https://hub"'}, ["HOMEPORT_PUBLIC_URL", "host"]),
        ({"HOMEPORT_DATABASE_URL": "postgresql://u:p@h:port/x"}, ["HOMEPORT_DATABASE_URL", "cannot be read"]),
        ({"HOMEPORT_DATABASE_URL": "postgresql://h:99999/x"}, ["HOMEPORT_DATABASE_URL", "cannot be read"]),
        ({"HOMEPORT_DATABASE_URL": "mysql://x"}, ["HOMEPORT_DATABASE_URL", "postgresql://"]),
        ({"HOMEPORT_RATE_LIMIT_USER": "-1"}, ["HOMEPORT_RATE_LIMIT_USER", "0"]),
        ({"HOMEPORT_TRUSTED_PROXIES": "10.0.0.0/8, proxy"}, ["HOMEPORT_TRUSTED_PROXIES", "'proxy'"]),
        ({"HOMEPORT_TRUSTED_PROXIES": "10.0.0.1/8"}, ["HOMEPORT_TRUSTED_PROXIES", "host bits"]),
        ({"HOMEPORT_CONFIG": "/nowhere/homeport.toml"}, ["HOMEPORT_CONFIG", "cannot read"]),
    ],
)
def test_what_is_wrong_is_named(environment: dict[str, str], words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(environment)
    for word in words:
        assert word in str(caught.value)


def test_proxies_are_a_list_or_a_text_with_commas(tmp_path: Path) -> None:
    expected = Networks(["10.0.0.0/8", "::1"])
    for text in ("10.0.0.0/8,::1", " 10.0.0.0/8 , ::1,"):
        assert load({"HOMEPORT_TRUSTED_PROXIES": text}).trusted_proxies == expected
    file = tmp_path / "homeport.toml"
    for text in ('["10.0.0.0/8", "::1"]', '"10.0.0.0/8, ::1"'):
        file.write_text(f"trusted_proxies = {text}")
        assert load({"HOMEPORT_CONFIG": str(file)}).trusted_proxies == expected
    assert not load({"HOMEPORT_TRUSTED_PROXIES": ""}).trusted_proxies


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "homeport.toml"
    for text, word in (
        ("port = ", "TOML"),
        ("colour = 1", "colour"),
        ("port = 'x'", "port"),
        ("trusted_proxies = 5", "proxies"),
        ("trusted_proxies = [5]", "5"),
    ):
        file.write_text(text)
        with pytest.raises(SettingsError, match=word):
            load({"HOMEPORT_CONFIG": str(file)})


def test_a_password_is_not_printed() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"HOMEPORT_ADMIN_PASSWORD": "hunter2"}, admin_password=7)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingsError) as caught:
        load({"HOMEPORT_DATABASE_URL": "postgresql://homeport:hunter2/3@127.0.0.1/homeport"})
    assert "hunter2" not in str(caught.value)
