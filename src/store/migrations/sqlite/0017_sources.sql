-- SPDX-License-Identifier: Apache-2.0
-- Where webhooks of others come from, and what came. `form` is a scheme of the tenant's own; empty: the platform's.
CREATE TABLE sources (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	organization INTEGER NOT NULL REFERENCES tenants (id),
	tenant INTEGER NOT NULL REFERENCES tenants (id),
	provider INTEGER REFERENCES providers (id),
	revision INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	paused_at INTEGER,
	deleted_at INTEGER,
	confirm_until INTEGER NOT NULL,
	platform TEXT NOT NULL,
	scheme TEXT NOT NULL,
	name TEXT NOT NULL,
	form TEXT NOT NULL,
	confirm_url TEXT NOT NULL,
	created_by TEXT NOT NULL
) STRICT;
CREATE INDEX sources_organization ON sources (organization) WHERE deleted_at IS NULL;
CREATE INDEX sources_tenant ON sources (tenant) WHERE deleted_at IS NULL;
CREATE INDEX sources_provider ON sources (provider) WHERE provider IS NOT NULL AND deleted_at IS NULL;
-- What a source is verified with: those without an end, and for a while those that they took the place of. Secret ones
-- are sealed under the organization's key.
CREATE TABLE source_parameters (
	source INTEGER NOT NULL REFERENCES sources (id),
	revision INTEGER NOT NULL,
	until INTEGER,
	key_number INTEGER NOT NULL,
	plain TEXT NOT NULL,
	sealed BLOB NOT NULL,
	PRIMARY KEY (source, revision)
) STRICT, WITHOUT ROWID;
CREATE INDEX source_parameters_until ON source_parameters (until) WHERE until IS NOT NULL;
-- Requests that were genuine. `headers` is JSON, an array of names and values, without what is secret.
CREATE TABLE inbound (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	source INTEGER NOT NULL,
	received_at INTEGER NOT NULL,
	method TEXT NOT NULL,
	target TEXT NOT NULL,
	peer TEXT NOT NULL,
	headers TEXT NOT NULL,
	body BLOB NOT NULL
) STRICT;
CREATE INDEX inbound_source ON inbound (source);
-- What identifies a request to its scheme (its SHA-256), as long as the same one could come again.
CREATE TABLE inbound_seen (
	source INTEGER NOT NULL,
	digest BLOB NOT NULL CHECK (length(digest) = 32),
	until INTEGER NOT NULL,
	PRIMARY KEY (source, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX inbound_seen_until ON inbound_seen (until);
