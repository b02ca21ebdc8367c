-- Why: whoever runs this has to know who uses what of the API, and who did what to what: the one in bulk and for a while, the other
-- for good.

-- Requests of users, a row each: `endpoint` as the API's document names it, such as /v1/videos/{id}; bytes of the bodies, unknown where one
-- is streamed; thousandths of a second until the answer began. A hypertable where TimescaleDB is installed, and partitions by month
-- where it is not.
DO $$
DECLARE
    is_hyper boolean := EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb');
BEGIN
    EXECUTE 'CREATE TABLE api_usage (
        id               uuid NOT NULL DEFAULT gen_random_uuid(),
        user_id          uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        endpoint         text NOT NULL,
        method           text NOT NULL,
        status_code      integer NOT NULL,
        request_size     bigint,
        response_size    bigint,
        processing_time  integer NOT NULL,
        "timestamp"      timestamptz NOT NULL DEFAULT now()
    )' || CASE WHEN is_hyper THEN '' ELSE ' PARTITION BY RANGE ("timestamp")' END;
    IF is_hyper THEN
        PERFORM create_hypertable('api_usage', 'timestamp');
    END IF;
END $$;
CREATE INDEX api_usage_user_timestamp ON api_usage (user_id, "timestamp" DESC);

-- Sees to it that there is room for this month and the next, and forgets what is older than so many days.
CREATE FUNCTION keep_api_usage(days integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    month date;
    partition record;
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        PERFORM drop_chunks('api_usage', older_than => make_interval(days => days));
        RETURN;
    END IF;
    FOR ahead IN 0..1 LOOP
        month := date_trunc('month', now() AT TIME ZONE 'UTC')::date + make_interval(months => ahead);
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF api_usage FOR VALUES FROM (%L) TO (%L)',
            to_char(month, '"api_usage_"YYYY_MM'), month || ' 00:00:00+00', (month + interval '1 month')::date || ' 00:00:00+00');
    END LOOP;
    FOR partition IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'api_usage'::regclass
    LOOP
        month := to_date(partition.relname, '"api_usage_"YYYY_MM');
        IF month + interval '1 month' < now() - make_interval(days => days) THEN
            EXECUTE format('DROP TABLE %I', partition.relname);
        END IF;
    END LOOP;
END $$;

SELECT keep_api_usage(90);

-- What was done, and by whom: rows are added and never changed. It outlives whom and what it speaks of.
CREATE TABLE audit_log (
    id           uuid PRIMARY KEY,
    happened_at  timestamptz NOT NULL DEFAULT now(),
    -- Who; nobody where it is not known, as where a password was wrong.
    user_id      uuid,
    method       text NOT NULL,
    endpoint     text NOT NULL,
    -- To what: the path.
    path         text NOT NULL,
    status_code  integer NOT NULL,
    request_id   text,
    ip_address   inet
);
CREATE INDEX audit_log_user ON audit_log (user_id, id DESC);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is only added to', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER audit_log_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
