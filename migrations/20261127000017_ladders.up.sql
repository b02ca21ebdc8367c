-- Why: a user may take away what a job made, and keep the source, or the other way round.
ALTER TABLE transcoding_jobs
    -- Since when what it made is not wanted any longer.
    ADD COLUMN outputs_deleted_at timestamptz;
CREATE INDEX jobs_outputs_unswept ON transcoding_jobs (outputs_deleted_at)
    WHERE outputs_deleted_at IS NOT NULL AND swept_at IS NULL;
