-- Back to single jobs. The jobs of batches stay as jobs; answers that were kept are forgotten.
DROP TABLE idempotency_keys;
ALTER TABLE transcoding_jobs DROP COLUMN batch_id;
DROP TABLE batches;
