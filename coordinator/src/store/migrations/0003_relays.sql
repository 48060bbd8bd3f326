-- With this version a fleet's configuration has what it says of relays.
CREATE TABLE relay (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    addresses  TEXT NOT NULL,        -- JSON, where players reach it
    secret     INTEGER NOT NULL,     -- number of its newest secret, which follows from the master key
    rotated_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
