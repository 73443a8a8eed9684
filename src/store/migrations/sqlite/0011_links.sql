-- SPDX-License-Identifier: Apache-2.0
-- Intake links: pages that take one value of one field, once. Of a link's token there is the digest.
CREATE TABLE links (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
	organization INTEGER NOT NULL REFERENCES tenants (id),
	tenant INTEGER NOT NULL REFERENCES tenants (id),
	provider INTEGER NOT NULL REFERENCES providers (id),
	state INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	ended_at INTEGER,
	version INTEGER,
	field TEXT NOT NULL,
	recipient TEXT NOT NULL,
	created_by TEXT NOT NULL
) STRICT;
CREATE INDEX links_provider ON links (provider);
CREATE INDEX links_open ON links (expires_at) WHERE state = 0;
