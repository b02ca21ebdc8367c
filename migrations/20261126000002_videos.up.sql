-- Why: a source is uploaded in parts, over hours perhaps, and by a client that forgets where it was. What has arrived stands
-- here; the bytes are in the store.

CREATE TABLE videos (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id            uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    original_filename  text NOT NULL CHECK (length(original_filename) BETWEEN 1 AND 500),
    content_type       text CHECK (length(content_type) <= 100),
    file_size          bigint NOT NULL CHECK (file_size > 0),
    chunk_size         bigint NOT NULL CHECK (chunk_size > 0),
    -- Of the whole, if whoever uploads it says so or it is known since.
    sha256             bytea CHECK (length(sha256) = 32),
    -- From the probe: seconds, the container's name, WIDTHxHEIGHT, bits a second, and all else that was found.
    duration           double precision,
    original_format    text,
    resolution         text,
    bitrate            bigint,
    metadata           jsonb,
    -- 'pending' before the first part; 'uploading'; 'checking' while the whole is put together and probed; 'uploaded'; 'failed'.
    upload_status      text NOT NULL DEFAULT 'pending'
                       CHECK (upload_status IN ('pending', 'uploading', 'checking', 'uploaded', 'failed')),
    -- Until when whoever checks it is believed to; then somebody else does.
    check_until        timestamptz,
    -- Why it failed: a number of the API (1001, 1005), and a sentence.
    failure_code       integer,
    failure            text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    uploaded_at        timestamptz,
    -- A video that is deleted is seen by nobody; its bytes go a little later.
    deleted_at         timestamptz
);
CREATE INDEX videos_user ON videos (user_id, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX videos_status ON videos (upload_status);
CREATE INDEX videos_deleted ON videos (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE video_parts (
    video_id    uuid NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
    -- From 0 on; each but the last has the video's chunk_size.
    number      integer NOT NULL CHECK (number >= 0),
    size        bigint NOT NULL CHECK (size > 0),
    sha256      bytea NOT NULL CHECK (length(sha256) = 32),
    arrived_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (video_id, number)
);
