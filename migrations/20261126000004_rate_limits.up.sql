-- Why: a limit holds for somebody, whichever replica they come to. So that it does, what they have used up of it stands here and not
-- in a replica. It is forgotten with a crash of the database (UNLOGGED), which costs nobody more than a burst; in return no request
-- waits for the disk.

CREATE UNLOGGED TABLE rate_limits (
    -- Which limit, and of whom.
    key      text PRIMARY KEY CHECK (length(key) <= 200),
    -- When it will be unused again: the "theoretical arrival time" of the generic cell rate algorithm (ITU-T I.371).
    tat      timestamptz NOT NULL,
    -- Whether the last request was let through.
    allowed  boolean NOT NULL
) WITH (fillfactor = 50);
