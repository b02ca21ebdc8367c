-- Back to nothing. All accounts are gone.
DROP TABLE api_keys, refresh_tokens, user_sessions, users;
