-- Back to people alone. What is in the store stays there, and nobody knows of it.
DROP TABLE video_parts, videos;
