"""What the verbs work with, put together once by `app.py` and handed to every door."""

import msgspec

from homeport.core.activity import ActivityLog
from homeport.core.authentication import Authenticator
from homeport.core.logins import Logins
from homeport.core.pulls import PullLog
from homeport.core.recent import Recent
from homeport.metrics import Metrics
from homeport.settings import Settings
from homeport.storage.blobs.store import BlobStore
from homeport.storage.cache.cache import Counters
from homeport.storage.db.database import Database
from homeport.traces import Traces


class Services(msgspec.Struct, frozen=True, kw_only=True):
    settings: Settings
    db: Database
    blobs: BlobStore
    authenticator: Authenticator
    logins: Logins
    pulls: PullLog
    activity: ActivityLog
    recent: Recent
    counters: Counters
    metrics: Metrics
    traces: Traces
