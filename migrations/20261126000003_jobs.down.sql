-- Back to videos alone. Ladders in the store stay there, and nobody knows of them.
DROP TABLE processed_videos, job_events, transcoding_jobs;
