"""Settings: one source after the other, and a clear word where one is wrong."""

from pathlib import Path

import pytest

from homeport.addresses import Networks
from homeport.settings import SettingsError, SmtpServer, load


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
        ({"HOMEPORT_PUBLIC_URL": "https://hub:99999"}, ["HOMEPORT_PUBLIC_URL", "host"]),
        ({"HOMEPORT_REGISTRY_URL": "https://registry.example.com"}, ["HOMEPORT_REGISTRY_URL", "public_url"]),
        ({"HOMEPORT_TOKEN_URL": "https://auth.example.com"}, ["HOMEPORT_TOKEN_URL", "public_url"]),
        ({"HOMEPORT_REGISTRY_URL": "registry.example.com"}, ["HOMEPORT_REGISTRY_URL", "http"]),
        ({"HOMEPORT_TOKEN_URL": "https://auth.example.com/token"}, ["HOMEPORT_TOKEN_URL", "host"]),
        ({"HOMEPORT_DATABASE_URL": "postgresql://u:p@h:port/x"}, ["HOMEPORT_DATABASE_URL", "cannot be read"]),
        ({"HOMEPORT_DATABASE_URL": "postgresql://h:99999/x"}, ["HOMEPORT_DATABASE_URL", "cannot be read"]),
        ({"HOMEPORT_DATABASE_URL": "mysql://x"}, ["HOMEPORT_DATABASE_URL", "postgresql://"]),
        ({"HOMEPORT_RATE_LIMIT_USER": "-1"}, ["HOMEPORT_RATE_LIMIT_USER", "0"]),
        ({"HOMEPORT_TRUSTED_PROXIES": "10.0.0.0/8, proxy"}, ["HOMEPORT_TRUSTED_PROXIES", "'proxy'"]),
        ({"HOMEPORT_TRUSTED_PROXIES": "10.0.0.1/8"}, ["HOMEPORT_TRUSTED_PROXIES", "host bits"]),
        ({"HOMEPORT_CONFIG": "/nowhere/homeport.toml"}, ["HOMEPORT_CONFIG", "cannot read"]),
        ({"HOMEPORT_SMTP_URL": "smtp://mail"}, ["HOMEPORT_SMTP_URL", "mail_from"]),
        (
            {"HOMEPORT_SMTP_URL": "smtp://mail", "HOMEPORT_MAIL_FROM": "a@b.example"},
            ["HOMEPORT_SMTP_URL", "public_url"],
        ),
        ({"HOMEPORT_SMTP_URL": "http://mail", "HOMEPORT_MAIL_FROM": "a@b"}, ["HOMEPORT_SMTP_URL", "smtps://"]),
        ({"HOMEPORT_SMTP_URL": "smtp://mail:0x19", "HOMEPORT_MAIL_FROM": "a@b"}, ["HOMEPORT_SMTP_URL", "cannot"]),
        ({"HOMEPORT_BLOB_URL": "ftp://bucket"}, ["HOMEPORT_BLOB_URL", "s3://"]),
        ({"HOMEPORT_BLOB_URL": "s3://"}, ["HOMEPORT_BLOB_URL", "a bucket"]),
        ({"HOMEPORT_BLOB_URL": "s3://bucket/a//b"}, ["HOMEPORT_BLOB_URL", "a prefix"]),
        ({"HOMEPORT_BLOB_URL": "s3://bucket/a/"}, ["HOMEPORT_BLOB_URL", "a prefix"]),
        ({"HOMEPORT_BLOB_REDIRECTS": "false"}, ["HOMEPORT_BLOB_REDIRECTS", "does nothing"]),
        ({"HOMEPORT_BLOB_ENDPOINT": "https://s3.example.com"}, ["HOMEPORT_BLOB_ENDPOINT", "does nothing"]),
        (
            {"HOMEPORT_BLOB_URL": "gs://bucket", "HOMEPORT_BLOB_ENCRYPTION": "AES256"},
            ["HOMEPORT_BLOB_ENCRYPTION", "does nothing"],
        ),
        (
            {"HOMEPORT_BLOB_URL": "az://bucket", "HOMEPORT_BLOB_PATH_STYLE": "false"},
            ["HOMEPORT_BLOB_PATH_STYLE", "does nothing"],
        ),
        (
            {"HOMEPORT_BLOB_URL": "s3://bucket", "HOMEPORT_BLOB_ENCRYPTION": "rot13"},
            ["HOMEPORT_BLOB_ENCRYPTION", "rot13"],
        ),
        (
            {"HOMEPORT_BLOB_URL": "s3://b", "HOMEPORT_BLOB_ENCRYPTION": "AES256", "HOMEPORT_BLOB_KMS_KEY_ID": "k"},
            ["HOMEPORT_BLOB_KMS_KEY_ID", "aws:kms"],
        ),
        ({"HOMEPORT_BLOB_URL": "s3://b", "HOMEPORT_BLOB_ACCESS_KEY_ID": "k"}, ["blob_secret_access_key", "missing"]),
        ({"HOMEPORT_BLOB_URL": "s3://b", "HOMEPORT_BLOB_ENDPOINT": "s3.example.com"}, ["BLOB_ENDPOINT", "scheme"]),
        ({"HOMEPORT_BLOB_URL": "s3://b", "HOMEPORT_BLOB_CACHE_SIZE": "9"}, ["BLOB_CACHE_SIZE", "blob_redirects"]),
        ({"HOMEPORT_BLOB_URL": "s3://b", "HOMEPORT_BLOB_REDIRECT_LIFETIME": "604801"}, ["LIFETIME", "604800"]),
        ({"HOMEPORT_MAIL_FROM": "Hub <hub@example.com>"}, ["HOMEPORT_MAIL_FROM", "address"]),
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


@pytest.mark.parametrize(
    "url",
    [
        "smtp://hub:hunter2",
        "smtp://hub:hunter2#@mail",
        "smtp://hub:hunter2/@mail",
        "imap://hub:hunter2@mail",
        "hunter2",
    ],
)
def test_a_password_for_mails_is_not_printed(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({"HOMEPORT_SMTP_URL": url, "HOMEPORT_MAIL_FROM": "hub@example.com"})
    assert "hunter2" not in str(caught.value)


def test_a_setting_with_a_password_is_not_printed_either_when_it_is_no_text(tmp_path: Path) -> None:
    for name in ("smtp_url", "database_url"):
        file = tmp_path / "homeport.toml"
        file.write_text(f'{name} = ["x://hub:hunter2@host"]\n')
        with pytest.raises(SettingsError) as caught:
            load({"HOMEPORT_CONFIG": str(file)})
        assert name in str(caught.value)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail", ("mail", 25, None, None, False, False)),
        ("smtps://u:p%40%2F@mail", ("mail", 465, "u", "p@/", True, False)),
        ("smtp+starttls://u:@mail/", ("mail", 587, "u", "", False, True)),
        ("smtp://[::1]:2525", ("::1", 2525, None, None, False, False)),
    ],
)
def test_what_an_smtp_url_says(url: str, expected: tuple[object, ...]) -> None:
    server = SmtpServer.parse(url)
    assert (
        server.host,
        server.port,
        server.username,
        server.password,
        server.is_tls,
        server.is_starttls,
    ) == expected
    assert "p@/" not in repr(server)
