ALTER TABLE videos DROP COLUMN check_epoch;
