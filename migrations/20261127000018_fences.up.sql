-- Why: a key may be taken by another request when nothing was heard for a while of the one that had it; what the first says late is
-- then not taken for the other's.
ALTER TABLE idempotency_keys ADD COLUMN taken uuid;
COMMENT ON COLUMN idempotency_keys.taken IS 'The request that has the key: another number each time that it is taken.';
