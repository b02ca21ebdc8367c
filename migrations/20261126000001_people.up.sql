-- Why: whoever uses the API is somebody, signs in on several devices, and gives programs keys of their own.
-- Secrets are kept as hashes alone: passwords by Argon2id, tokens and keys (which are random) by SHA-256.

CREATE TABLE users (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email          text NOT NULL CHECK (length(email) BETWEEN 3 AND 255 AND email = lower(email)),
    username       text CHECK (length(username) BETWEEN 1 AND 100),
    password_hash  text,
    role           text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin', 'transcoder')),
    is_active      boolean NOT NULL DEFAULT true,
    is_verified    boolean NOT NULL DEFAULT false,
    tier           text NOT NULL DEFAULT 'free' CHECK (tier IN ('free', 'pro', 'enterprise')),
    storage_limit  bigint NOT NULL DEFAULT 1073741824 CHECK (storage_limit >= 0),
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    last_login     timestamptz
);
CREATE UNIQUE INDEX users_email ON users (email);
CREATE UNIQUE INDEX users_username ON users (lower(username));

CREATE TABLE user_sessions (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    device_info  jsonb NOT NULL DEFAULT '{}',
    ip_address   inet,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    -- Why it was revoked: 'logout', or 'reuse' where an old refresh token was shown again.
    revoked_for  text
);
CREATE INDEX user_sessions_user ON user_sessions (user_id, created_at DESC);

-- Each is good for once. One that is shown again was stolen, and ends its session.
CREATE TABLE refresh_tokens (
    hash        bytea PRIMARY KEY CHECK (length(hash) = 32),
    session_id  uuid NOT NULL REFERENCES user_sessions (id) ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);

CREATE TABLE api_keys (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id     uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    -- What of the key is shown to its owner, so that keys can be told apart.
    prefix      text NOT NULL,
    hash        bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    scopes      text[] NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    last_used   timestamptz,
    revoked_at  timestamptz
);
CREATE INDEX api_keys_user ON api_keys (user_id, id);
