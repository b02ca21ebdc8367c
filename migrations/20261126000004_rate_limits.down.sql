-- Back to no limits. Nobody misses what is forgotten.
DROP TABLE rate_limits;
