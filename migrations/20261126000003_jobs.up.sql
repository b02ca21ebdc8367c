-- Why: a job outlives every process. Its state stands here; a replica that drives it owns it by a lease, whose epoch fences
-- off one that had it before. What happened to it is kept as events, in order, so that whoever listens can go on where they were.

CREATE TABLE transcoding_jobs (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    video_id         uuid NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
    user_id          uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    status           text NOT NULL DEFAULT 'queued'
                     CHECK (status IN ('queued', 'processing', 'completed', 'failed', 'cancelled')),
    -- What is to be made: the request, as it was accepted.
    request          jsonb NOT NULL,
    priority         smallint NOT NULL DEFAULT 5 CHECK (priority BETWEEN 1 AND 10),
    cancel_wanted    boolean NOT NULL DEFAULT false,
    -- Its number in the fleet, and whether the fleet may know of it.
    fleet_job        bigint NOT NULL UNIQUE,
    lease_epoch      bigint NOT NULL DEFAULT 0,
    lease_until      timestamptz,
    -- Thousandths of it that are done; it never falls.
    progress         smallint NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1000),
    error_code       integer,
    error_message    text,
    report           jsonb,
    output_size      bigint,
    queued_at        timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz,
    completed_at     timestamptz
);
CREATE INDEX jobs_user ON transcoding_jobs (user_id, id DESC);
CREATE INDEX jobs_video ON transcoding_jobs (video_id, id DESC);
CREATE INDEX jobs_open ON transcoding_jobs (priority, id) WHERE status IN ('queued', 'processing');

CREATE TABLE job_events (
    job_id       uuid NOT NULL REFERENCES transcoding_jobs (id) ON DELETE CASCADE,
    -- From 1 on, without gaps.
    number       bigint NOT NULL CHECK (number > 0),
    kind         text NOT NULL,
    body         jsonb NOT NULL,
    happened_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, number)
);

-- What a job made: a rendition, or one of the manifests.
CREATE TABLE processed_videos (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    job_id        uuid NOT NULL REFERENCES transcoding_jobs (id) ON DELETE CASCADE,
    video_id      uuid NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
    format        text NOT NULL,
    rendition     text,
    resolution    text,
    bitrate       bigint,
    file_size     bigint,
    -- Below the job's folder in the store.
    storage_path  text NOT NULL,
    is_default    boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (job_id, storage_path)
);
CREATE INDEX processed_videos_video ON processed_videos (video_id);
