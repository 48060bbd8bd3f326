-- Times are coordinator time: milliseconds since the Unix epoch, UTC. To read one: datetime(created_ms / 1000, 'unixepoch').
-- Numbers without a sign are kept in 64 bits; none in use comes near the sign.
-- Tables WITHOUT ROWID are one tree by their key: a row is found and written once, and there is no second index to keep.

CREATE TABLE meta (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    seq           INTEGER NOT NULL,  -- number of the last batch; a batch is taken only when it is the next
    generation    INTEGER NOT NULL,  -- rises when a backup is restored
    high_water_ms INTEGER            -- the coordinator's time is never below this
) STRICT;
INSERT INTO meta VALUES (1, 0, 1, NULL);

CREATE TABLE fleet (
    name   TEXT PRIMARY KEY,
    config TEXT NOT NULL             -- JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_key (
    key_id     INTEGER PRIMARY KEY,  -- as in the token
    public_key BLOB NOT NULL         -- Ed25519; the private half is in the key file only
) STRICT;

CREATE TABLE host (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    address     TEXT,                -- where players reach its servers
    capacity    INTEGER NOT NULL,    -- processes it can carry
    applied_seq INTEGER NOT NULL     -- last report applied
) STRICT, WITHOUT ROWID;

CREATE TABLE join_key (
    secret_sha256 BLOB PRIMARY KEY,
    role          TEXT NOT NULL,     -- what it makes of its bearer
    fleet         TEXT,
    uses_left     INTEGER NOT NULL,
    expires_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE peer (
    fingerprint TEXT PRIMARY KEY,
    role        TEXT NOT NULL,       -- operator, backend, agent or server
    role_id     TEXT                 -- of an agent its host, of a server its process
) STRICT, WITHOUT ROWID;

CREATE TABLE process (
    id                TEXT PRIMARY KEY,
    fleet             TEXT NOT NULL,
    host              TEXT,          -- none: started by hand
    name              TEXT NOT NULL,
    status            TEXT NOT NULL,
    launched          INTEGER NOT NULL,
    pid               INTEGER,
    address           TEXT,          -- where players reach it
    ports             TEXT NOT NULL, -- JSON, the players' port first
    session           TEXT,          -- the game session it hosts
    sessions_hosted   INTEGER NOT NULL,
    applied_seq       INTEGER NOT NULL,
    gate_epoch        INTEGER NOT NULL,
    drain_reason      TEXT,          -- why it is asked to end
    drain_deadline_ms INTEGER,
    killed            INTEGER NOT NULL,
    reason            TEXT,          -- why it ended
    exit_kind         TEXT,          -- CODE, SIGNAL or UNKNOWN
    exit_number       INTEGER,
    output_tail       TEXT NOT NULL,
    created_ms        INTEGER NOT NULL,
    ready_ms          INTEGER,
    ended_ms          INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE game_session (
    id              TEXT PRIMARY KEY,
    fleet           TEXT NOT NULL,
    name            TEXT NOT NULL,
    status          TEXT NOT NULL,
    attempt         INTEGER NOT NULL,
    process         TEXT,
    max_players     INTEGER NOT NULL,
    properties      TEXT NOT NULL,   -- JSON: properties ->> 'map'
    ordinal_high    INTEGER NOT NULL,
    place_by_ms     INTEGER NOT NULL,
    end_by_ms       INTEGER,
    idempotency_key TEXT NOT NULL,
    request_sha256  BLOB NOT NULL,
    reason          TEXT,            -- why it ended
    created_ms      INTEGER NOT NULL,
    activated_ms    INTEGER,
    terminated_ms   INTEGER,
    data            BLOB NOT NULL    -- opaque; last, because it may be large
) STRICT, WITHOUT ROWID;

CREATE TABLE player_session (
    id              TEXT PRIMARY KEY,
    game_session    TEXT NOT NULL,
    player          TEXT NOT NULL,
    data            BLOB NOT NULL,   -- rides in the token
    status          TEXT NOT NULL,
    ordinal         INTEGER NOT NULL,
    key_id          INTEGER NOT NULL,
    gate_epoch      INTEGER NOT NULL,
    created_ms      INTEGER NOT NULL,
    expires_at_ms   INTEGER NOT NULL,
    revoking        INTEGER NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_sha256  BLOB NOT NULL,
    generation      INTEGER NOT NULL, -- rises with each reconnect
    reason          TEXT,             -- why it was completed
    joined_ms       INTEGER,
    ended_ms        INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    seq          INTEGER PRIMARY KEY,
    at_ms        INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    subject_kind TEXT NOT NULL,      -- coordinator, fleet, host, process, game_session or peer
    subject      TEXT NOT NULL,
    detail       TEXT NOT NULL
) STRICT;

-- For people: what happened, with times to read. SELECT * FROM event_log;
CREATE VIEW event_log AS
SELECT seq, strftime('%Y-%m-%d %H:%M:%f', at_ms / 1000.0, 'unixepoch') AS at, kind, subject_kind, subject, detail
FROM event ORDER BY seq;

-- For people: game sessions that are not over, with their players. SELECT * FROM live_game_session;
CREATE VIEW live_game_session AS
SELECT g.id, g.fleet, g.name, g.status, g.process, p.address, g.max_players,
       count(s.id) FILTER (WHERE s.status = 'RESERVED') AS reserved,
       count(s.id) FILTER (WHERE s.status = 'ACTIVE') AS active,
       datetime(g.created_ms / 1000, 'unixepoch') AS created
FROM game_session g
LEFT JOIN process p ON p.id = g.process
LEFT JOIN player_session s ON s.game_session = g.id
WHERE g.status <> 'TERMINATED'
GROUP BY g.id;
