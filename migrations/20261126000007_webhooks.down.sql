-- Back to asking. What was not sent yet is not.
DROP INDEX jobs_batch_open;
DROP TABLE webhook_deliveries;
DROP TABLE webhook_events;
DROP TABLE webhooks;
DROP FUNCTION number_in_order;
