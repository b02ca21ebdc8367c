-- Why: a source that lies somewhere already is named by its URL, and fetched by whichever replica has a place free. What has come of it
-- stands here, so that another goes on where one was killed; and jobs are taken on before their source is there.
ALTER TABLE videos ALTER COLUMN file_size DROP NOT NULL;
ALTER TABLE videos DROP CONSTRAINT videos_upload_status_check;
ALTER TABLE videos ADD CONSTRAINT videos_upload_status_check
    CHECK (upload_status IN ('pending', 'uploading', 'fetching', 'checking', 'uploaded', 'failed'));
ALTER TABLE videos
    -- Where it comes from, as it may be shown: without its query, in which secrets are. None of what is uploaded.
    ADD COLUMN source_url text CHECK (length(source_url) <= 2048),
    -- The same with its query, until it is fetched or of no use.
    ADD COLUMN fetch_from text CHECK (length(fetch_from) <= 2048),
    -- Bytes that have come and are kept.
    ADD COLUMN fetched_bytes bigint NOT NULL DEFAULT 0 CHECK (fetched_bytes >= 0),
    -- Counted up with every claim and every new beginning: what is noted with an older one is not taken.
    ADD COLUMN fetch_epoch bigint NOT NULL DEFAULT 0,
    -- Until when whoever fetches it is believed to; then somebody else does.
    ADD COLUMN fetch_until timestamptz,
    -- Before this it is not tried again.
    ADD COLUMN fetch_after timestamptz NOT NULL DEFAULT now(),
    -- Tries that have brought nothing, one after another.
    ADD COLUMN fetch_failures integer NOT NULL DEFAULT 0,
    -- Seconds that it has been fetched for, in all.
    ADD COLUMN fetch_spent_s double precision NOT NULL DEFAULT 0,
    -- What the contents are known by of which bytes have come: an entity tag.
    ADD COLUMN fetch_version text,
    ADD CONSTRAINT videos_size CHECK (file_size IS NOT NULL OR source_url IS NOT NULL);
CREATE INDEX videos_fetching ON videos (user_id, id)
    WHERE source_url IS NOT NULL AND upload_status IN ('pending', 'fetching') AND deleted_at IS NULL;

-- Under which epoch a part was fetched; none of what is uploaded.
ALTER TABLE video_parts ADD COLUMN fetch_epoch bigint;

ALTER TABLE transcoding_jobs ADD COLUMN waits_for_source boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN transcoding_jobs.waits_for_source IS 'Its source is not there yet: nobody claims it.';
DROP INDEX jobs_open;
CREATE INDEX jobs_open ON transcoding_jobs (user_id, priority, id)
    WHERE status IN ('queued', 'processing') AND NOT waits_for_source;
