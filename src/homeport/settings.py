"""One frozen `Settings`, read once: defaults, then a TOML file, then `HOMEPORT_…` variables, then flags.

Each field is documented here and nowhere else; `docs/configuration.md` is compared with this module by a test.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Meta

from homeport.addresses import Networks
from homeport.names import is_mail_address

_SMTP_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}

PREFIX = "HOMEPORT_"
CONFIG_VARIABLE = "HOMEPORT_CONFIG"
_WITH_PASSWORD = {
    *("database_url", "database_read_url", "smtp_url", "traces_url", "valkey_url", "blob_secret_access_key"),
}
_NOT_SETTINGS = {CONFIG_VARIABLE, "HOMEPORT_FAULT_POINT"}
_VALKEY_SCHEMES = ("valkey://", "valkeys://", "redis://", "rediss://", "unix://")
_PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9._\[\]:-]+")

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
Limit = Annotated[int, Meta(ge=0)]
PlanLimit = Annotated[int, Meta(ge=0)] | None
"""None: as many as one likes."""


class SettingsError(Exception):
    """A setting that is unknown or cannot be right; the message names it and says what it takes."""


class Feature(StrEnum):
    """What a plan may hold."""

    AUDIT_LOGS = "audit_logs"
    GROUPS = "groups"
    INVITES = "invites"
    IMAGE_ACCESS_MANAGEMENT = "image_access_management"
    REGISTRY_ACCESS_MANAGEMENT = "registry_access_management"
    DOMAINS = "domains"
    SSO = "sso"
    INSIGHTS = "insights"
    SCIM = "scim"


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an account of one plan may use, and how much of it."""

    features: frozenset[Feature] = frozenset(Feature)
    access_tokens: PlanLimit = None
    members: PlanLimit = None
    teams: PlanLimit = None
    private_repositories: PlanLimit = None


EVERYTHING = Plan()


class Plans(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Docker's four plans; each is everything until the settings cut it down."""

    personal: Plan = EVERYTHING
    pro: Plan = EVERYTHING
    team: Plan = EVERYTHING
    business: Plan = EVERYTHING


ALL_PLANS = Plans()


class SmtpServer(msgspec.Struct, frozen=True):
    """What `smtp_url` says. It may be shown: the password is left out of its `repr`."""

    host: str
    port: int
    username: str | None
    password: str | None
    is_tls: bool
    is_starttls: bool

    def __repr__(self) -> str:
        return f"SmtpServer({self.host}:{self.port})"

    @classmethod
    def parse(cls, url: str) -> "SmtpServer":
        """Raises: ValueError: the message goes on from "smtp_url", and does not show what may be a password."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError("cannot be read: percent-encode what is special in the password") from None
        if parts.scheme not in _SMTP_PORTS:
            raise ValueError("has to begin with smtp://, smtps:// or smtp+starttls://")
        if not host or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("has to be scheme://user:password@host:port; percent-encode what is special in them")
        return cls(
            host=host,
            port=port or _SMTP_PORTS[parts.scheme],
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password or "") if parts.username else None,
            is_tls=parts.scheme == "smtps",
            is_starttls=parts.scheme == "smtp+starttls",
        )


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set. Durations are in seconds, sizes in bytes."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="Port to listen on.")] = 8000
    workers: Annotated[Positive, Meta(description="Worker processes of `homeport serve`.")] = 1
    data: Annotated[
        Path,
        Meta(description="Folder of the database and the blobs; made on first start, for its owner only."),
    ] = Path("homeport-data")
    database_url: Annotated[
        str,
        Meta(description="`postgresql://…`; empty for SQLite in the data folder."),
    ] = ""
    database_read_url: Annotated[
        str,
        Meta(
            description="A read replica of that PostgreSQL for lists, `postgresql://…`; empty: there is none. "
            "See [PostgreSQL](operations/postgresql.md#a-read-replica)."
        ),
    ] = ""
    database_pool_size: Annotated[
        Positive, Meta(description="Connections to PostgreSQL that each process holds at most.")
    ] = 10
    database_pool_wait: Annotated[
        Positive,
        Meta(description="Seconds that a request waits for one of them, or for PostgreSQL; then it is answered 503."),
    ] = 10
    database_statement_timeout: Annotated[
        Positive,
        Meta(
            description="Seconds after which PostgreSQL ends a statement, or a transaction that does nothing; one that "
            "waits for a lock it ends after half of them."
        ),
    ] = 60
    migrate: Annotated[
        bool,
        Meta(
            description="Migrate the database at the start of `homeport serve`; false: `homeport migrate` does it, and "
            "until then the server answers 503. See [Upgrades](operations/upgrade.md)."
        ),
    ] = True
    valkey_url: Annotated[
        str,
        Meta(
            description="A Valkey server in which all workers count limits together, `valkey://host:6379/0`, with TLS "
            "`valkeys://`; empty: each worker process counts by itself."
        ),
    ] = ""
    blob_url: Annotated[
        str,
        Meta(
            description="Bucket of the blobs: `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`; "
            "empty: the data folder. See [Object storage](operations/object-storage.md)."
        ),
    ] = ""
    blob_endpoint: Annotated[
        str, Meta(description="Address of a store that speaks S3, e.g. `https://s3.example.com`; empty: Amazon's.")
    ] = ""
    blob_region: Annotated[str, Meta(description="Region of the S3 bucket; empty: what the environment says.")] = ""
    blob_path_style: Annotated[
        bool, Meta(description="Name the S3 bucket in the path; false: in the host, in front of the endpoint's.")
    ] = True
    blob_access_key_id: Annotated[
        str, Meta(description="Access key of S3; empty: what the environment or the machine's role gives.")
    ] = ""
    blob_secret_access_key: Annotated[str, Meta(description="The secret of `blob_access_key_id`.")] = ""
    blob_encryption: Annotated[
        Literal["", "AES256", "aws:kms", "aws:kms:dsse"],
        Meta(description="Encryption that S3 is asked for with each object; empty: what the bucket does by itself."),
    ] = ""
    blob_kms_key_id: Annotated[str, Meta(description="Key of the encryptions `aws:kms…`; empty: the account's.")] = ""
    blob_redirects: Annotated[
        bool,
        Meta(description="Send pulls of blobs on to the bucket by signed URLs; false: pass the bytes through."),
    ] = True
    blob_redirect_lifetime: Annotated[
        Annotated[int, Meta(ge=1, le=7 * 24 * 3600)],
        Meta(description="Seconds that such a URL can be used to begin a download."),
    ] = 300
    blob_cache_size: Annotated[
        Limit,
        Meta(description="Bytes of blobs that are kept on this machine while they are passed through; 0: none."),
    ] = 0
    public_url: Annotated[
        str,
        Meta(
            description="Base of the absolute URLs in answers, e.g. `https://hub.example.com`; "
            "empty: the host that each request was sent to."
        ),
    ] = ""
    registry_url: Annotated[
        str,
        Meta(
            description="The registry's own host, e.g. `https://registry.example.com`; empty: it shares the Hub's. "
            "See [Hosts](operations/proxies.md#hosts-of-their-own)."
        ),
    ] = ""
    token_url: Annotated[
        str,
        Meta(description="The token service's own host, e.g. `https://auth.example.com`; empty: the registry's."),
    ] = ""
    admin_password: Annotated[
        str,
        Meta(description="Password of the site administrator `admin` at first start; empty: one is made and printed."),
    ] = ""
    default_privacy: Annotated[
        Literal["public", "private"],
        Meta(description="Privacy of a repository that a push creates."),
    ] = "public"
    full_description_limit: Annotated[Positive, Meta(description="Characters of a repository's full description.")] = (
        25_000
    )
    blob_size_limit: Annotated[Positive, Meta(description="Largest blob that a push may bring, in bytes.")] = (
        64 * 1024**3
    )
    manifest_depth_limit: Annotated[Positive, Meta(description="How deep an index may nest other indexes.")] = 4
    sparse_images: Annotated[
        bool,
        Meta(description="Take image manifests of which some blobs are missing; indexes may always be sparse."),
    ] = False
    upload_age_limit: Annotated[
        Positive, Meta(description="Seconds after which an upload that nobody goes on with is swept.")
    ] = 24 * 3600
    login_token_lifetime: Annotated[
        Positive, Meta(description="Seconds that a token of `POST /v2/users/login` lives.")
    ] = 24 * 3600
    registry_token_lifetime: Annotated[
        Annotated[int, Meta(ge=60)],
        Meta(description="Seconds that a token of the registry's token service lives."),
    ] = 300
    refresh_token_lifetime: Annotated[
        Positive, Meta(description="Seconds that a refresh token (`offline_token=true`) lives.")
    ] = 90 * 24 * 3600
    device_login_lifetime: Annotated[
        Annotated[int, Meta(ge=60)],
        Meta(description="Seconds that the codes of a program work whose login somebody approves at `/activate`."),
    ] = 900
    login_attempts_per_account: Annotated[
        Positive,
        Meta(description="Failed passwords, and failed codes, for one account within `login_attempts_window`."),
    ] = 10
    login_attempts_per_address: Annotated[
        Positive, Meta(description="Failed logins from one address within `login_attempts_window`.")
    ] = 50
    login_attempts_window: Annotated[
        Positive,
        Meta(
            description="Seconds over which failed logins count; without `valkey_url` each worker counts those that it "
            "saw."
        ),
    ] = 600
    rate_limit_anonymous: Annotated[
        Limit,
        Meta(
            description="Requests to the Hub API from one address within `rate_limit_window`, logins too; 0: no limit."
        ),
    ] = 180
    rate_limit_user: Annotated[
        Limit, Meta(description="Requests to the Hub API of one account within `rate_limit_window`; 0: no limit.")
    ] = 600
    rate_limit_window: Annotated[Positive, Meta(description="Seconds over which requests to the Hub API count.")] = 60
    pull_limit_anonymous: Annotated[
        Limit, Meta(description="Pulls without an account from one address within `pull_limit_window`; 0: no limit.")
    ] = 0
    pull_limit_user: Annotated[
        Limit, Meta(description="Pulls of one account within `pull_limit_window`; 0: no limit.")
    ] = 0
    pull_limit_window: Annotated[Positive, Meta(description="Seconds over which pulls count.")] = 6 * 3600
    trusted_proxies: Annotated[
        Networks,
        Meta(
            description="Addresses and networks (CIDR) of proxies whose `X-Forwarded-…` headers are believed, "
            "with commas in between, or a list."
        ),
    ] = Networks()
    audit_retention_days: Annotated[
        Annotated[int, Meta(ge=0, le=36_500)],
        Meta(description="Days after which events of the audit logs are deleted; 0 keeps them for ever."),
    ] = 90
    tag_history_days: Annotated[
        Annotated[int, Meta(ge=0, le=36_500)],
        Meta(description="Days that the history of tags names a digest after the tag has left it; 0 keeps all of it."),
    ] = 90
    garbage_grace_hours: Annotated[
        Annotated[int, Meta(ge=1, le=24 * 365)],
        Meta(description="Hours that a pushed blob waits for the manifest that names it before it is garbage."),
    ] = 24
    untagged_retention_days: Annotated[
        Annotated[int, Meta(ge=0, le=36_500)],
        Meta(
            description="Days after which a manifest is deleted that has no tag, has not been pulled, and is in no "
            "index that is kept; 0 keeps them for ever."
        ),
    ] = 0
    plans: Annotated[
        Plans,
        Meta(description="Features and limits of each plan: a table, in the variable as JSON; see [Plans](#plans)."),
    ] = ALL_PLANS
    invite_lifetime: Annotated[Positive, Meta(description="Seconds that an invite and the link in its mail work.")] = (
        30 * 24 * 3600
    )
    sign_up: Annotated[
        bool,
        Meta(description="Let anybody make an account, once they have shown that an e-mail address is theirs."),
    ] = False
    self_service: Annotated[
        bool,
        Meta(description="Let users change their password and e-mail address, and reset a forgotten password by mail."),
    ] = True
    confirmation_lifetime: Annotated[
        Positive, Meta(description="Seconds that the link in the mail of a sign-up or of a new address works.")
    ] = 24 * 3600
    password_reset_lifetime: Annotated[
        Positive, Meta(description="Seconds that the link in the mail for a new password works.")
    ] = 3600
    mail_requests_per_address: Annotated[
        Positive,
        Meta(description="Sign-ups, new passwords and e-mail addresses that one address asks for within an hour."),
    ] = 20
    smtp_url: Annotated[
        str,
        Meta(
            description="The server that sends mails: `smtp://user:password@host:port`, with TLS `smtps://` or "
            "`smtp+starttls://`; empty: mails stay in the outbox (`homeport mail`)."
        ),
    ] = ""
    mail_from: Annotated[str, Meta(description="Address that mails come from; needed with `smtp_url`.")] = ""
    webhook_allowed_networks: Annotated[
        Networks,
        Meta(
            description="Addresses and networks (CIDR) that webhooks may reach although they are not public, "
            "with commas in between, or a list."
        ),
    ] = Networks()
    webhook_retention_days: Annotated[
        Annotated[int, Meta(ge=1, le=36_500)],
        Meta(description="Days after which deliveries of webhooks are deleted."),
    ] = 30
    jobs: Annotated[
        bool,
        Meta(
            description="Do jobs (mails, webhooks, garbage, retention) beside the requests; false leaves them to "
            "`homeport worker`."
        ),
    ] = True
    drain_timeout: Annotated[
        Positive, Meta(description="Seconds that running transfers have to finish after SIGTERM.")
    ] = 30
    drain_delay: Annotated[
        Limit,
        Meta(
            description="Seconds after SIGTERM in which `/readyz` says 503 and everything else goes on, before no new "
            "connection is taken."
        ),
    ] = 0
    metrics_networks: Annotated[
        Networks,
        Meta(
            description="Addresses and networks (CIDR) that may read `/metrics`, with commas in between, or a list; "
            "empty: nobody, and nothing is measured. See [Metrics](operations/metrics.md)."
        ),
    ] = Networks()
    metrics_port: Annotated[
        Port, Meta(description="Port where `homeport worker` answers `/metrics` and `/healthz`; 0: nowhere.")
    ] = 0
    traces_url: Annotated[
        str,
        Meta(
            description="Where spans go by OTLP over HTTP: `http://collector:4318/v1/traces`; empty: nowhere. "
            "See [Traces](operations/metrics.md#traces)."
        ),
    ] = ""
    traces_ratio: Annotated[
        Annotated[float, Meta(ge=0, le=1)], Meta(description="Share of the traces that are kept; 1: all.")
    ] = 0.1
    log_format: Annotated[Literal["json", "console"], Meta(description="How log lines are written.")] = "json"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least of what is logged.")
    ] = "info"

    @property
    def is_sqlite(self) -> bool:
        return not self.database_url

    @property
    def has_pull_limits(self) -> bool:
        return bool(self.pull_limit_anonymous or self.pull_limit_user)

    @property
    def sqlite_path(self) -> Path:
        return self.data / "homeport.db"

    @property
    def blobs_path(self) -> Path:
        return self.data / "blobs"

    @property
    def blob_cache_path(self) -> Path:
        return self.data / "blob-cache"

    @property
    def listen_url(self) -> str:
        """Where this machine reaches the server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}"


def descriptions() -> dict[str, str]:
    """Field name → its documentation line."""
    hints = get_type_hints(Settings, include_extras=True)
    lines = {}
    for field in msgspec.structs.fields(Settings):
        metas = (meta for meta in hints[field.name].__metadata__ if isinstance(meta, Meta))
        lines[field.name] = next(meta.description for meta in metas if meta.description)
    return lines


def load(environ: Mapping[str, str] = os.environ, **flags: Any) -> Settings:
    """Read the settings; `flags` that are None were not given.

    Raises:
        SettingsError: an unknown name, or a value that does not fit.
    """
    known = {field.name for field in msgspec.structs.fields(Settings)}
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}

    def take(name: str, value: Any, where: str) -> None:
        if name not in known:
            raise SettingsError(f"{where}: unknown setting {name!r}")
        values[name] = _decode_table(name, value, where)
        origin[name] = where

    if config := environ.get(CONFIG_VARIABLE):
        for name, value in _read_file(Path(config)).items():
            take(name, value, config)
    for variable, text in environ.items():
        if variable.startswith(PREFIX) and variable not in _NOT_SETTINGS:
            take(variable.removeprefix(PREFIX).lower(), text, variable)
    for name, value in flags.items():
        if value is not None:
            take(name, value, f"--{name}")

    for name, value in values.items():
        _check(name, value, origin[name])
    settings = msgspec.convert(values, Settings, strict=False, dec_hook=_decode)
    _check_urls(settings, origin)
    return settings


def _decode_table(name: str, value: Any, where: str) -> Any:
    """A table is JSON where all values are texts."""
    if name != "plans" or not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError):
        raise SettingsError(f"{where}: {name} has to be a JSON object") from None


def _decode(type_: type, value: Any) -> Any:
    if type_ is Path:
        return Path(value)
    if type_ is Networks:
        texts = value.split(",") if isinstance(value, str) else map(str, value)
        return Networks(text.strip() for text in texts if text.strip())
    raise TypeError(f"cannot read {type_}")


def _check(name: str, value: Any, where: str) -> None:
    try:
        msgspec.convert({name: value}, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        shown = "" if "password" in name or name in _WITH_PASSWORD else f" {value!r}"
        # Of a table it names the place: plans.team.members.
        place = path.strip("`").removeprefix("$.") or name
        raise SettingsError(f"{where}: {place} cannot be{shown}: {reason}") from None


def _check_urls(settings: Settings, origin: Mapping[str, str]) -> None:
    for name in ("public_url", "registry_url", "token_url"):
        if url := getattr(settings, name):
            _check_public_url(name, url, origin[name])
            if not settings.public_url:
                # Otherwise links that the Hub answers with would go to whatever host it was asked by.
                raise SettingsError(f"{origin[name]}: with {name}, public_url has to be set too")
    for name in ("database_url", "database_read_url"):
        _check_database_url(name, getattr(settings, name), origin)
    if settings.database_read_url and not settings.database_url:
        raise SettingsError(f"{origin['database_read_url']}: database_read_url does nothing without database_url")
    if settings.valkey_url and not settings.valkey_url.startswith(_VALKEY_SCHEMES):
        raise SettingsError(f"{origin['valkey_url']}: valkey_url has to begin with valkey://, valkeys:// or unix://")
    _check_mail(settings, origin)
    _check_bucket(settings, origin)
    if settings.traces_url and not settings.traces_url.startswith(("http://", "https://")):
        raise SettingsError(f"{origin['traces_url']}: traces_url has to begin with http:// or https://")
    if settings.metrics_port and not settings.metrics_networks:
        raise SettingsError(f"{origin['metrics_port']}: metrics_port does nothing unless metrics_networks is set")


def _check_public_url(name: str, url: str, where: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise SettingsError(f"{where}: {name} has to begin with http:// or https://")
    if url.endswith("/"):
        raise SettingsError(f"{where}: {name} has to end without a slash")
    if not _PUBLIC_URL.fullmatch(url) or not _has_good_port(url):
        raise SettingsError(f"{where}: {name} has to be a scheme and a host: https://hub.example.com")


def _has_good_port(url: str) -> bool:
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return True


def _check_database_url(name: str, url: str, origin: Mapping[str, str]) -> None:
    if url and not url.startswith(("postgresql://", "postgres://")):
        raise SettingsError(f"{origin[name]}: {name} has to begin with postgresql://")
    try:
        _ = urlsplit(url).port
    except ValueError:
        # Without what was read: it may be a part of a password that holds a slash or an @ as it is.
        raise SettingsError(
            f"{origin[name]}: {name} cannot be read; odd characters in a password have to be encoded"
        ) from None


def _check_mail(settings: Settings, origin: Mapping[str, str]) -> None:
    if settings.smtp_url:
        try:
            SmtpServer.parse(settings.smtp_url)
        except ValueError as error:
            raise SettingsError(f"{origin['smtp_url']}: smtp_url {error}") from None
        if not settings.mail_from:
            raise SettingsError(f"{origin['smtp_url']}: with smtp_url, mail_from has to be set too")
        if not settings.public_url:
            # Otherwise links in mails would begin with the host that the inviter's request names.
            raise SettingsError(f"{origin['smtp_url']}: with smtp_url, public_url has to be set too")
    if settings.mail_from and not is_mail_address(settings.mail_from):
        raise SettingsError(f"{origin['mail_from']}: mail_from has to be an e-mail address")


_BUCKET_URL = re.compile(r"(s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)*")
_OF_S3 = (
    *("blob_endpoint", "blob_region", "blob_path_style", "blob_access_key_id", "blob_secret_access_key"),
    *("blob_encryption", "blob_kms_key_id"),
)
_OF_BUCKETS = ("blob_redirects", "blob_redirect_lifetime", "blob_cache_size")


def _check_bucket(settings: Settings, origin: Mapping[str, str]) -> None:
    """Raises: SettingsError: a setting that cannot be right, or that would do nothing where it stands."""
    if settings.blob_url and not _BUCKET_URL.fullmatch(settings.blob_url):
        raise SettingsError(f"{origin['blob_url']}: blob_url has to be s3://, gs:// or az://, a bucket and a prefix")
    for name in _useless(settings):
        if getattr(settings, name) != getattr(DEFAULTS, name):
            raise SettingsError(f"{origin[name]}: {name} does nothing for the blob_url {settings.blob_url!r}")
    if bool(settings.blob_access_key_id) != bool(settings.blob_secret_access_key):
        raise SettingsError("blob_access_key_id and blob_secret_access_key go together: one of them is missing")
    if settings.blob_kms_key_id and not settings.blob_encryption.startswith("aws:kms"):
        raise SettingsError(f"{origin['blob_kms_key_id']}: blob_kms_key_id needs blob_encryption to be aws:kms")
    if settings.blob_endpoint and not _PUBLIC_URL.fullmatch(settings.blob_endpoint):
        raise SettingsError(
            f"{origin['blob_endpoint']}: blob_endpoint has to be a scheme and a host: https://s3.example.com"
        )
    if settings.blob_cache_size and settings.blob_redirects:
        raise SettingsError(f"{origin['blob_cache_size']}: blob_cache_size does nothing unless blob_redirects is false")


def _useless(settings: Settings) -> tuple[str, ...]:
    """Settings of buckets that the bucket, or the folder, knows nothing of."""
    if not settings.blob_url:
        return (*_OF_S3, *_OF_BUCKETS)
    return () if settings.blob_url.startswith("s3://") else _OF_S3


DEFAULTS = Settings()


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{CONFIG_VARIABLE}: cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not a TOML file: {error}") from None
