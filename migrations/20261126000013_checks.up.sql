-- Why: whoever checks an upload and has lost it, as after a cut, is not to note or remove anything of it: what counts is the check of the
-- latest epoch.
ALTER TABLE videos ADD COLUMN check_epoch bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN videos.check_epoch IS 'How often somebody has begun to check it.';
