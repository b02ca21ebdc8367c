-- Why: a write that is sent again under its key makes what it made before, whatever became of its first answer: what it makes has its
-- number before it is made, and keeps it.
ALTER TABLE idempotency_keys ADD COLUMN makes uuid;

-- Sources that somebody fetches are few, and those that wait may be very many.
CREATE INDEX videos_fetch_held ON videos (fetch_until)
    WHERE source_url IS NOT NULL AND upload_status IN ('pending', 'fetching') AND deleted_at IS NULL AND fetch_until IS NOT NULL;

-- How the jobs of a batch stand is counted without looking at each.
CREATE INDEX jobs_batch_status ON transcoding_jobs (batch_id, status) WHERE batch_id IS NOT NULL;

-- How many jobs of a user have not ended.
CREATE INDEX jobs_user_open ON transcoding_jobs (user_id) WHERE status IN ('queued', 'processing');

ALTER TABLE transcoding_jobs
    -- Since when nothing is left in the store of one that came to nothing.
    ADD COLUMN swept_at timestamptz,
    -- Whether what was told of its progress is forgotten.
    ADD COLUMN is_past boolean NOT NULL DEFAULT false;
CREATE INDEX jobs_unswept ON transcoding_jobs (completed_at)
    WHERE status IN ('failed', 'cancelled') AND lease_epoch > 0 AND swept_at IS NULL;
CREATE INDEX jobs_not_past ON transcoding_jobs (completed_at) WHERE completed_at IS NOT NULL AND NOT is_past;
