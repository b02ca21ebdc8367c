DROP INDEX jobs_outputs_unswept;
ALTER TABLE transcoding_jobs DROP COLUMN outputs_deleted_at;
