-- SPDX-License-Identifier: Apache-2.0
-- How users prove who they are, and where they are logged in. Of what is secret there are digests, hashes and sealed
-- texts.

CREATE TABLE passwords (
	user_id INTEGER PRIMARY KEY REFERENCES users (id),
	changed_at INTEGER NOT NULL,
	hash TEXT NOT NULL
) STRICT;

-- The one that is open; a user has at most one.
CREATE TABLE invitations (
	user_id INTEGER PRIMARY KEY REFERENCES users (id),
	digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	created_by TEXT NOT NULL
) STRICT;

-- `last_step` is the time step of the last code that was taken: it and those before it are used.
CREATE TABLE totp (
	user_id INTEGER PRIMARY KEY REFERENCES users (id),
	confirmed_at INTEGER,
	last_step INTEGER NOT NULL,
	sealed BLOB NOT NULL
) STRICT;

CREATE TABLE recovery_codes (
	user_id INTEGER NOT NULL REFERENCES users (id),
	digest BLOB NOT NULL CHECK (length(digest) = 32),
	PRIMARY KEY (user_id, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	digest BLOB NOT NULL CHECK (length(digest) = 32),
	user_id INTEGER NOT NULL REFERENCES users (id),
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	ended_at INTEGER,
	method INTEGER NOT NULL,
	address TEXT NOT NULL,
	agent TEXT NOT NULL
) STRICT;
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expires ON sessions (expires_at);
