-- Version 1 of the record. Instants are integer microseconds UTC; NULL in a due column means "not before
-- somebody says so". Keys of messages, deliveries and incidents come from one sequence kept by the writer.

CREATE TABLE meta (                  -- facts about this database: boot, database, closed
    name    TEXT PRIMARY KEY,
    value   NOT NULL
) WITHOUT ROWID;

CREATE TABLE lane (                  -- links by number; the lease of each, and how it is switched
    lane    INTEGER PRIMARY KEY,
    link    TEXT    NOT NULL UNIQUE,
    owner   TEXT,
    fence   INTEGER NOT NULL DEFAULT 0,
    until   INTEGER,                 -- end of the lease; NULL where one process holds all
    mode    TEXT    NOT NULL DEFAULT 'open',
    by      TEXT,
    why     TEXT,
    at      INTEGER
);

CREATE TABLE message (               -- one submission; written once in the short path
    key         INTEGER PRIMARY KEY,
    public_id   TEXT    NOT NULL UNIQUE,
    client      TEXT    NOT NULL,
    recipients  TEXT    NOT NULL,    -- JSON array
    content     TEXT,                -- JSON; NULL after retention
    class       INTEGER NOT NULL,
    until       INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    expires     INTEGER,
    incident    INTEGER,
    ref         TEXT,
    ref_held    INTEGER NOT NULL DEFAULT 0,
    accepted_by TEXT,
    accepted_at INTEGER,
    ending      TEXT                 -- only of one cancelled alone out of an incident
);
CREATE INDEX message_incident ON message (incident) WHERE incident IS NOT NULL;
CREATE INDEX message_ref ON message (ref) WHERE ref IS NOT NULL;
CREATE UNIQUE INDEX message_ref_held ON message (ref) WHERE ref_held;

CREATE TABLE delivery (              -- one message over one leg; states are lifecycle.State
    key           INTEGER PRIMARY KEY,
    message       INTEGER NOT NULL,
    incident      INTEGER,
    lane          INTEGER NOT NULL,
    class         INTEGER NOT NULL,
    state         INTEGER NOT NULL DEFAULT 0,
    leg           INTEGER NOT NULL,
    last          INTEGER NOT NULL,            -- no leg follows it
    copies_before INTEGER NOT NULL DEFAULT 0,  -- copies that may have been out when it was opened
    person        TEXT,
    device        TEXT,
    address       TEXT    NOT NULL,
    due           INTEGER,
    deadline      INTEGER NOT NULL,
    level         INTEGER NOT NULL DEFAULT 0,
    tries         INTEGER NOT NULL DEFAULT 0,
    connects      INTEGER NOT NULL DEFAULT 0,
    doubts        INTEGER NOT NULL DEFAULT 0,
    dup_risk      INTEGER NOT NULL DEFAULT 0,
    possibly_sent INTEGER NOT NULL DEFAULT 0,
    stop          INTEGER NOT NULL DEFAULT 0,  -- was to be stopped while begun
    fence         INTEGER NOT NULL DEFAULT 0,
    begun_at      INTEGER,
    correlation   TEXT,
    policy        TEXT,                        -- how its doubt is settled
    reason        TEXT,
    code          TEXT,
    why           TEXT,
    setback       TEXT,
    opened_at     INTEGER NOT NULL,
    changed_at    INTEGER NOT NULL,
    checksum      INTEGER NOT NULL             -- over link name, address and content
);
CREATE INDEX delivery_message ON delivery (message);
-- One entry a delivery that is not final: taking (lane, WAITING, class, due), finding what was begun, counting.
CREATE INDEX delivery_work ON delivery (lane, state, class, due) WHERE state <= 3;
CREATE INDEX delivery_deadline ON delivery (deadline) WHERE state <= 3;
CREATE INDEX delivery_doubt ON delivery (due) WHERE state = 2;
CREATE INDEX delivery_held ON delivery (message) WHERE state = 3;

CREATE TABLE carrier_ref (           -- a carrier's own names for what it took
    scope      TEXT    NOT NULL,
    ref        TEXT    NOT NULL,
    delivery   INTEGER NOT NULL,
    part       INTEGER NOT NULL,
    lane       INTEGER NOT NULL,
    level      INTEGER NOT NULL DEFAULT 0,
    enquire_at INTEGER,
    asked      INTEGER NOT NULL DEFAULT 0,
    taken_at   INTEGER NOT NULL,
    PRIMARY KEY (scope, ref, delivery, part)
) WITHOUT ROWID;
CREATE INDEX carrier_ref_delivery ON carrier_ref (delivery);
CREATE INDEX carrier_ref_enquiry ON carrier_ref (lane, enquire_at) WHERE enquire_at IS NOT NULL;

CREATE TABLE receipt (               -- evidence, each piece once; pending until its submit concludes
    scope    TEXT    NOT NULL,
    ref      TEXT    NOT NULL,
    part     INTEGER NOT NULL,
    state    TEXT    NOT NULL,
    evidence TEXT    NOT NULL,       -- JSON
    link     TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    delivery INTEGER,
    message  INTEGER,
    pending  INTEGER NOT NULL,
    PRIMARY KEY (scope, ref, part, state)
) WITHOUT ROWID;
CREATE INDEX receipt_pending ON receipt (at) WHERE pending;

CREATE TABLE incident (              -- one pursuit: what is sent for one trouble
    key          INTEGER PRIMARY KEY,
    client       TEXT    NOT NULL,
    dedup        TEXT,
    message      INTEGER NOT NULL,   -- whose plan is followed
    class        INTEGER NOT NULL,
    plan         TEXT    NOT NULL,   -- JSON array of legs
    due          INTEGER,
    begun_at     INTEGER NOT NULL,
    step_started INTEGER NOT NULL,
    version      INTEGER NOT NULL DEFAULT 1,
    ending       TEXT,
    ended_at     INTEGER,
    accepted_by  TEXT,
    accepted_at  INTEGER
);
CREATE UNIQUE INDEX incident_dedup ON incident (client, dedup) WHERE ending IS NULL AND dedup IS NOT NULL;
CREATE INDEX incident_due ON incident (due) WHERE ending IS NULL;
CREATE INDEX incident_unanswered ON incident (ended_at) WHERE ending = 'unanswered';

CREATE TABLE event (                 -- what happened, numbered under its message; 0 is nobody's
    subject  INTEGER NOT NULL,
    n        INTEGER NOT NULL,       -- 1 is "stored" and implied by the message's row
    at       INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    delivery INTEGER,
    data     TEXT    NOT NULL,       -- JSON
    PRIMARY KEY (subject, n)
) WITHOUT ROWID;
CREATE VIEW attempt AS               -- attempts are events; "try" counts those of one delivery
    SELECT subject AS message, delivery,
           row_number() OVER (PARTITION BY subject, delivery ORDER BY n) AS try,
           data ->> 'began' AS began, at AS ended, data ->> 'outcome' AS outcome,
           data ->> 'code' AS code, data ->> 'why' AS why, data ->> 'link' AS link
    FROM event WHERE kind = 'attempt';

CREATE TABLE notice (                -- what must be told to whom by which door
    notice  INTEGER PRIMARY KEY,
    message INTEGER NOT NULL,
    door    TEXT    NOT NULL,
    target  TEXT    NOT NULL,
    state   INTEGER NOT NULL,
    due     INTEGER,
    tries   INTEGER NOT NULL DEFAULT 0,
    data    TEXT    NOT NULL         -- JSON
);
CREATE INDEX notice_due ON notice (due) WHERE due IS NOT NULL;

CREATE TABLE idempotency (           -- answers kept for clients that repeat a key
    client  TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    hash    BLOB    NOT NULL,
    message INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    answer  BLOB    NOT NULL,
    PRIMARY KEY (client, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency (at);
