-- Back to streams of single jobs.
DROP TRIGGER job_event_is_of_a_user ON job_events;
DROP FUNCTION job_event_is_of_a_user;
DROP TABLE event_positions;
ALTER TABLE job_events DROP COLUMN position, DROP COLUMN user_id;
