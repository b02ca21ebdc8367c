ALTER TABLE transcoding_jobs DROP COLUMN traceparent;
