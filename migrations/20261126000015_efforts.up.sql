-- Why: what a ladder will take is told from what such ladders took. A report is too long to be read for that, and a job's owner wants to
-- know what it took, too.
ALTER TABLE transcoding_jobs
    ADD COLUMN effort_kind text,
    ADD COLUMN cpu_seconds double precision CHECK (cpu_seconds > 0),
    ADD COLUMN megapixels double precision CHECK (megapixels > 0),
    ADD CHECK ((effort_kind IS NULL) = (cpu_seconds IS NULL) AND (effort_kind IS NULL) = (megapixels IS NULL));
COMMENT ON COLUMN transcoding_jobs.effort_kind IS 'Which ladders take alike: their codecs and speed.';
COMMENT ON COLUMN transcoding_jobs.cpu_seconds IS 'In which its chunks were decoded, scaled, encoded and measured.';
COMMENT ON COLUMN transcoding_jobs.megapixels IS 'Millions of pixels of all pictures that were encoded.';
CREATE INDEX transcoding_jobs_efforts ON transcoding_jobs (effort_kind, completed_at DESC) WHERE effort_kind IS NOT NULL;
