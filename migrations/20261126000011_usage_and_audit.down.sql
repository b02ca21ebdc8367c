DROP TABLE audit_log;
DROP FUNCTION refuse_change();
DROP TABLE api_usage;
DROP FUNCTION keep_api_usage(integer);
