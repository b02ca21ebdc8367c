DROP INDEX transcoding_jobs_efforts;
ALTER TABLE transcoding_jobs DROP COLUMN effort_kind, DROP COLUMN cpu_seconds, DROP COLUMN megapixels;
