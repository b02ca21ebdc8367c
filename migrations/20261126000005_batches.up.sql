-- Why: a library is sent in one request and looked after as one thing; and a client that did not hear the answer to a write has to
-- be able to send it again without doing it twice.

CREATE TABLE batches (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id     uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- What is to be made of each source, as it was accepted.
    request     jsonb NOT NULL,
    priority    smallint NOT NULL CHECK (priority BETWEEN 1 AND 10),
    size        integer NOT NULL CHECK (size BETWEEN 1 AND 10000),
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX batches_user ON batches (user_id, id DESC);

ALTER TABLE transcoding_jobs ADD COLUMN batch_id uuid REFERENCES batches (id) ON DELETE SET NULL;
CREATE INDEX jobs_batch ON transcoding_jobs (batch_id, id) WHERE batch_id IS NOT NULL;

CREATE TABLE idempotency_keys (
    user_id       uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key           text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    -- Of method, path and body: the same key may not be sent with another request.
    request_hash  bytea NOT NULL CHECK (length(request_hash) = 32),
    -- The answer; none while the request is under way.
    status        smallint,
    content_type  text,
    body          bytea,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
