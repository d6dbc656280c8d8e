"""What PostgreSQL's driver raises where nothing is wrong with a statement."""

import asyncpg

# The server is away, or cannot serve.
OUTAGES = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what the driver says where a connection is lost between two steps of a statement
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.LockNotAvailableError,  # waited as long as `lock_timeout` allows
    asyncpg.exceptions.IdleInTransactionSessionTimeoutError,
    asyncpg.exceptions.TransactionRollbackError,
    asyncpg.exceptions.ReadOnlySQLTransactionError,  # a replica, or a hub that has moved
)

# The transaction crossed another one. Nothing of it was kept.
CONFLICTS = (asyncpg.exceptions.SerializationError, asyncpg.exceptions.DeadlockDetectedError)
"""A replica ends statements by the first, too, that are in the way of what it has to write."""
