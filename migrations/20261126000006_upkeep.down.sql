DROP INDEX refresh_tokens_expiry;
DROP INDEX user_sessions_expiry;

DROP INDEX jobs_held;
DROP INDEX jobs_open;
CREATE INDEX jobs_open ON transcoding_jobs (priority, id) WHERE status IN ('queued', 'processing');

DROP INDEX videos_checking;
CREATE INDEX videos_status ON videos (upload_status);
DROP INDEX videos_unswept;
CREATE INDEX videos_deleted ON videos (deleted_at) WHERE deleted_at IS NOT NULL;
ALTER TABLE videos DROP COLUMN swept_at;
