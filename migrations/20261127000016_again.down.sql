DROP INDEX jobs_user_open, jobs_not_past, jobs_unswept, jobs_batch_status, videos_fetch_held;
ALTER TABLE transcoding_jobs DROP COLUMN is_past, DROP COLUMN swept_at;
ALTER TABLE idempotency_keys DROP COLUMN makes;
