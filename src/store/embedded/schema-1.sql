-- All times are milliseconds since 1970: datetime(created / 1000, 'unixepoch') reads them.

CREATE TABLE store (
    id TEXT NOT NULL                    -- random; the first half of every effect's id
) STRICT;

CREATE TABLE apps (
    app      TEXT PRIMARY KEY,
    version  INTEGER NOT NULL,          -- counts the commits, from 1
    document TEXT NOT NULL              -- JSON
) STRICT;

CREATE TABLE effects (                  -- settled ones are deleted
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    app       TEXT NOT NULL REFERENCES apps (app),
    lane      TEXT NOT NULL,
    key       TEXT,
    body      TEXT NOT NULL,            -- JSON
    created   INTEGER NOT NULL,
    expires   INTEGER,
    due       INTEGER NOT NULL DEFAULT 0,   -- 0 is at once: a clock that was set back cannot hold it up
    leased    INTEGER,                  -- until when somebody has it; NULL while nobody has
    attempts  INTEGER NOT NULL DEFAULT 0,
    uncertain INTEGER NOT NULL DEFAULT 0    -- 1: an earlier attempt may have been performed
) STRICT;
CREATE INDEX effects_by_lane ON effects (lane, id);
CREATE INDEX effects_by_key ON effects (app, lane, key) WHERE key IS NOT NULL;

CREATE TABLE seen (                     -- requests that were decided, for a day
    key TEXT PRIMARY KEY,
    at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX seen_by_age ON seen (at);

CREATE TABLE audit (                    -- every decision, granted or refused
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    at   INTEGER NOT NULL,
    app  TEXT NOT NULL,
    line TEXT NOT NULL                  -- JSON
) STRICT;
CREATE INDEX audit_by_app ON audit (app, id);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit log is only added to'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'the audit log is only added to'); END;
