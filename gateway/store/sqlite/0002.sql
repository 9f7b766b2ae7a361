-- Version 2: clients are told. Nothing was ever written into the notices of version 1, so they are made anew.

DROP TABLE notice;
CREATE TABLE notice (                -- what a client is to be told of one of its messages
    key     INTEGER PRIMARY KEY,
    message INTEGER NOT NULL,
    client  TEXT    NOT NULL,
    n       INTEGER NOT NULL,        -- of the event
    seq     INTEGER NOT NULL,        -- counts the notices of one message from 1
    kind    TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    state   INTEGER NOT NULL DEFAULT 0,  -- 0 waits, 1 told, 2 given up; of those that do not wait the last stays
    due     INTEGER,                 -- NULL while an earlier one of the same message waits
    tries   INTEGER NOT NULL DEFAULT 0,
    tried   INTEGER                  -- when, last
);
CREATE UNIQUE INDEX notice_message ON notice (message, seq);
CREATE INDEX notice_due ON notice (client, due) WHERE due IS NOT NULL;
CREATE INDEX notice_waiting ON notice (at) WHERE state = 0;

CREATE TABLE receiver (              -- receivers that said they are gone for good
    client  TEXT PRIMARY KEY,
    place   TEXT    NOT NULL,        -- a digest of where it was: at another place it is asked again
    why     TEXT    NOT NULL,
    at      INTEGER NOT NULL
) WITHOUT ROWID;
