-- Why: the fleet's driver keeps its ledger here, so that several can stand by and one of them leads. What one row says and another
-- depends on changes in one transaction, which begins by reading the epoch: a driver that was followed by another writes nothing.
-- Numbers of jobs have 64 bits without a sign and are kept as the bigint of the same bits; clients of the fleet choose them.
CREATE TABLE fleet_driver (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch bigint NOT NULL CHECK (epoch >= 0),
    holder uuid,
    name text NOT NULL,
    led_since timestamptz NOT NULL,
    leased_until timestamptz NOT NULL
);
COMMENT ON TABLE fleet_driver IS 'Who drives the fleet: one row, once somebody has.';
COMMENT ON COLUMN fleet_driver.epoch IS 'Counts the claims; the ledger is written by the newest alone.';
COMMENT ON COLUMN fleet_driver.holder IS 'The life of the driver that leads; none where it has left.';
COMMENT ON COLUMN fleet_driver.leased_until IS 'Others stand by until then, by the time of this database.';

CREATE TABLE fleet_jobs (
    job bigint PRIMARY KEY,
    place bigint GENERATED ALWAYS AS IDENTITY,
    user_number bigint NOT NULL,
    weight bigint NOT NULL,
    priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 10),
    deadline_ms bigint,
    fetch_from jsonb NOT NULL,
    deliver_to jsonb NOT NULL,
    trace text,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'done', 'failed', 'cancelled')),
    failed_chunk bigint,
    message text,
    submitted_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CHECK ((state = 'failed') = (failed_chunk IS NOT NULL AND message IS NOT NULL)),
    CHECK ((state = 'active') = (ended_at IS NULL))
);
COMMENT ON TABLE fleet_jobs IS 'Jobs of the fleet: a ladder is one, so is its index and each of its chunks. Gone once nobody asks.';
COMMENT ON COLUMN fleet_jobs.place IS 'In the order of submission.';
COMMENT ON COLUMN fleet_jobs.deadline_ms IS 'When it should be done, in milliseconds since 1970.';
COMMENT ON COLUMN fleet_jobs.fetch_from IS 'Where nodes fetch from, in this order.';
COMMENT ON COLUMN fleet_jobs.deliver_to IS 'Where nodes deliver to, in this order.';
COMMENT ON COLUMN fleet_jobs.trace IS 'The span of whoever submitted it, as in the header traceparent.';
CREATE INDEX fleet_jobs_active ON fleet_jobs (place) WHERE state = 'active';

CREATE TABLE fleet_tasks (
    job bigint NOT NULL REFERENCES fleet_jobs ON DELETE CASCADE,
    chunk bigint NOT NULL,
    place integer NOT NULL,
    cost bigint NOT NULL,
    needs integer NOT NULL,
    body bytea NOT NULL,
    failures bigint NOT NULL DEFAULT 0,
    crashes bigint NOT NULL DEFAULT 0 CHECK (crashes <= failures),
    accepted_attempt bigint,
    result bytea,
    state text NOT NULL GENERATED ALWAYS AS (CASE WHEN accepted_attempt IS NULL THEN 'open' ELSE 'accepted' END) STORED,
    PRIMARY KEY (job, chunk),
    CHECK ((accepted_attempt IS NULL) = (result IS NULL))
) WITH (fillfactor = 80);
COMMENT ON TABLE fleet_tasks IS 'What jobs want done: chunks.';
COMMENT ON COLUMN fleet_tasks.place IS 'In the order of the submission.';
COMMENT ON COLUMN fleet_tasks.cost IS 'Estimated work, in thousandths of a frame encoded.';
COMMENT ON COLUMN fleet_tasks.needs IS 'What a worker has to be able to do, a bit a skill.';
COMMENT ON COLUMN fleet_tasks.body IS 'What is to be done, for nodes alone to read.';
COMMENT ON COLUMN fleet_tasks.failures IS 'How many attempts failed by themselves.';
COMMENT ON COLUMN fleet_tasks.result IS 'What the node of the accepted attempt said of it.';

CREATE TABLE fleet_attempts (
    job bigint NOT NULL,
    chunk bigint NOT NULL,
    attempt bigint NOT NULL CHECK (attempt >= 1),
    worker bigint NOT NULL,
    pool text NOT NULL,
    lease bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'accepted', 'failed', 'given up')),
    why text CHECK (why IN ('permanent', 'retryable', 'crash')),
    given_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    PRIMARY KEY (job, chunk, attempt),
    FOREIGN KEY (job, chunk) REFERENCES fleet_tasks ON DELETE CASCADE,
    CHECK ((state = 'failed') = (why IS NOT NULL)),
    CHECK ((state = 'running') = (ended_at IS NULL))
) WITH (fillfactor = 80);
COMMENT ON TABLE fleet_attempts IS 'Tries at tasks, from 1.';
COMMENT ON COLUMN fleet_attempts.worker IS 'The slot that it was given to, as the driver numbers them.';
COMMENT ON COLUMN fleet_attempts.lease IS 'Of two that one worker was given, the greater counts.';
COMMENT ON COLUMN fleet_attempts.state IS 'running: it may be under way. given up: another counts, or its job has ended.';
CREATE UNIQUE INDEX fleet_attempts_accepted ON fleet_attempts (job, chunk) WHERE state = 'accepted';
