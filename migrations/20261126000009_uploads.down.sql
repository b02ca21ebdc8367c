DROP TABLE tus_uploads;
DROP INDEX videos_late;
DROP INDEX videos_open;
ALTER TABLE videos DROP COLUMN urls_until;
ALTER TABLE videos DROP COLUMN upload_until;
