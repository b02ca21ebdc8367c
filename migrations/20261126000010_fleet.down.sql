DROP TABLE fleet_attempts;
DROP TABLE fleet_tasks;
DROP TABLE fleet_jobs;
DROP TABLE fleet_driver;
