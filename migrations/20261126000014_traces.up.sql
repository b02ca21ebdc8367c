-- Why: what a job takes is to be in the trace of the request that asked for it, whichever replica drives it, and whenever.
ALTER TABLE transcoding_jobs ADD COLUMN traceparent text;
COMMENT ON COLUMN transcoding_jobs.traceparent IS 'Which span it is below (W3C Trace Context); none where nothing is traced.';
