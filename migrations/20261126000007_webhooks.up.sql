-- Why: whoever has something made wants to hear of its end without asking. What happened is written in the transaction in which it
-- happens, with who is to hear of it, so that nothing is lost with a process; it is sent from here until it has arrived or was tried
-- for long enough.

-- A number that is greater than those of the milliseconds before (RFC 9562, 5.7).
CREATE FUNCTION number_in_order() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1),
        'hex')::uuid
$$;

CREATE TABLE webhooks (
    id                uuid PRIMARY KEY DEFAULT number_in_order(),
    user_id           uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    url               text NOT NULL CHECK (length(url) <= 2000),
    description       text CHECK (length(description) <= 200),
    -- Which kinds of events it hears.
    events            text[] NOT NULL,
    -- What signs: it is needed as it is. The one before signs besides, for a while.
    secret            bytea NOT NULL CHECK (length(secret) BETWEEN 24 AND 64),
    old_secret        bytea CHECK (length(old_secret) BETWEEN 24 AND 64),
    old_secret_until  timestamptz,
    -- By whom or what it was disabled: 'owner', 'gone' (it said so), 'failing'.
    disabled_for      text CHECK (disabled_for IN ('owner', 'gone', 'failing')),
    -- Since when nothing has arrived, and how many deliveries in a row were given up.
    failing_since     timestamptz,
    failed_in_a_row   integer NOT NULL DEFAULT 0,
    created_at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webhooks_user ON webhooks (user_id, id);

CREATE TABLE webhook_events (
    -- The same for whoever hears of it, however often.
    id           uuid PRIMARY KEY DEFAULT number_in_order(),
    user_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind         text NOT NULL,
    -- The job, video or batch that it is about; of a test, the webhook.
    subject      uuid NOT NULL,
    body         jsonb NOT NULL,
    happened_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX webhook_events_once ON webhook_events (subject, kind) WHERE kind <> 'webhook.test';
CREATE INDEX webhook_events_age ON webhook_events (happened_at);

CREATE TABLE webhook_deliveries (
    id             uuid PRIMARY KEY DEFAULT number_in_order(),
    webhook_id     uuid NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id       uuid NOT NULL REFERENCES webhook_events (id) ON DELETE CASCADE,
    status         text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed')),
    -- How often it was claimed to be sent, and how often before it was last asked for again.
    claims         integer NOT NULL DEFAULT 0,
    claims_before  integer NOT NULL DEFAULT 0,
    -- When it is to be sent next; none when it has ended.
    due_at         timestamptz DEFAULT now(),
    -- Until when whoever sends it is believed to.
    claimed_until  timestamptz,
    -- The last attempts, and what came of each.
    attempts       jsonb NOT NULL DEFAULT '[]',
    created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook_id, id DESC);
CREATE INDEX webhook_deliveries_event ON webhook_deliveries (event_id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_claimed ON webhook_deliveries (webhook_id, claimed_until) WHERE claimed_until IS NOT NULL;

-- So that it is seen at once whether a job was the last of its batch.
CREATE INDEX jobs_batch_open ON transcoding_jobs (batch_id) WHERE batch_id IS NOT NULL AND status IN ('queued', 'processing');
