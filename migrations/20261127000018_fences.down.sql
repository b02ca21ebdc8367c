ALTER TABLE transcoding_jobs DROP COLUMN stumbles;
ALTER TABLE idempotency_keys DROP COLUMN taken;
