-- Why: what is deleted is looked for in the store until nothing is left of it; jobs are claimed by users in turn; and what is old and of
-- use to nobody is found by its age.
ALTER TABLE videos ADD COLUMN swept_at timestamptz;
COMMENT ON COLUMN videos.swept_at IS 'Since when nothing is left in the store of a video that is deleted.';
DROP INDEX videos_deleted;
CREATE INDEX videos_unswept ON videos (deleted_at) WHERE deleted_at IS NOT NULL AND swept_at IS NULL;
DROP INDEX videos_status;
CREATE INDEX videos_checking ON videos (check_until) WHERE upload_status = 'checking';

DROP INDEX jobs_open;
CREATE INDEX jobs_open ON transcoding_jobs (user_id, priority, id) WHERE status IN ('queued', 'processing');
CREATE INDEX jobs_held ON transcoding_jobs (user_id) WHERE status IN ('queued', 'processing') AND lease_until IS NOT NULL;

CREATE INDEX user_sessions_expiry ON user_sessions (expires_at);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);
