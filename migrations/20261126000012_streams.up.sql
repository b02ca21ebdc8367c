-- Why: whoever follows all of their jobs follows one stream, and goes on in it where they were. Numbers of sequences are seen in another
-- order than they are given, so an event gets its position when it is seen: under a lock of its user's, and only where somebody
-- has listened.

ALTER TABLE job_events ADD COLUMN user_id uuid, ADD COLUMN position bigint CHECK (position > 0);
UPDATE job_events e SET user_id = j.user_id FROM transcoding_jobs j WHERE j.id = e.job_id;
ALTER TABLE job_events ALTER COLUMN user_id SET NOT NULL;
CREATE UNIQUE INDEX job_events_position ON job_events (user_id, position) WHERE position IS NOT NULL;
CREATE INDEX job_events_unplaced ON job_events (user_id, happened_at) WHERE position IS NULL;

CREATE TABLE event_positions (
    user_id  uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    last     bigint NOT NULL DEFAULT 0,
    -- From when on events have positions; what is noted just now began a moment ago.
    since    timestamptz NOT NULL DEFAULT now() - interval '1 minute'
);

-- Whoever adds an event knows its job alone; whoever follows all of a user's jobs is woken by the user's number.
CREATE FUNCTION job_event_is_of_a_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.user_id := (SELECT user_id FROM transcoding_jobs WHERE id = NEW.job_id);
    PERFORM pg_notify('job_events', NEW.user_id::text);
    RETURN NEW;
END $$;
CREATE TRIGGER job_event_is_of_a_user BEFORE INSERT ON job_events FOR EACH ROW EXECUTE FUNCTION job_event_is_of_a_user();
