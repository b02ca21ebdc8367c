-- Why: a key may be taken by another request when nothing was heard for a while of the one that had it; what the first says late is
-- then not taken for the other's. And a job that whoever drives it always stumbles over ends some day.
ALTER TABLE idempotency_keys ADD COLUMN taken uuid;
COMMENT ON COLUMN idempotency_keys.taken IS 'The request that has the key: another number each time that it is taken.';

ALTER TABLE transcoding_jobs ADD COLUMN stumbles smallint NOT NULL DEFAULT 0;
COMMENT ON COLUMN transcoding_jobs.stumbles IS 'How often whoever drove it came to no end by a fault of ours.';
