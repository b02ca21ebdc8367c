-- Why: parts are put into the store past us, by addresses that are good for a while, and what comes late is found later; an upload that
-- nobody goes on with ends; and one that comes by tus (tus.io) goes on at the byte where it broke off, one request at a time.
ALTER TABLE videos ADD COLUMN upload_until timestamptz NOT NULL DEFAULT now() + interval '7 days';
COMMENT ON COLUMN videos.upload_until IS 'When the upload is given up that has come no further.';
ALTER TABLE videos ADD COLUMN urls_until timestamptz;
COMMENT ON COLUMN videos.urls_until IS 'Until when parts may be put into the store by addresses that were given out; nothing once what came late is gone.';
CREATE INDEX videos_open ON videos (upload_until) WHERE upload_status IN ('pending', 'uploading') AND deleted_at IS NULL;
CREATE INDEX videos_late ON videos (urls_until) WHERE urls_until IS NOT NULL;

CREATE TABLE tus_uploads (
    video_id    uuid PRIMARY KEY REFERENCES videos (id) ON DELETE CASCADE,
    -- Bytes that are kept, from the first on: parts that are whole, and then the object of this name, which begins the next.
    received    bigint NOT NULL DEFAULT 0 CHECK (received >= 0),
    rest        uuid,
    -- What its client said of it (Upload-Metadata), word for word.
    metadata    text CHECK (length(metadata) <= 8192),
    -- The request that sends bytes, and until when it is believed to live.
    held_by     uuid,
    held_until  timestamptz
);
