-- SPDX-License-Identifier: Apache-2.0
-- The truth. Times are milliseconds since 1970; ids are 63-bit numbers, 0 ("none") is NULL. docs/internals/store.md
-- says why each index is there. SQLite ends every index with the rowid, so that (parent) serves "of this parent, newest
-- first" as (parent, id) would.

CREATE TABLE migrations (
	number INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	sha256 BLOB NOT NULL CHECK (length(sha256) = 32)
) STRICT;

-- One row: who this truth is, the last change number that was given and forgotten, and how many rows there are.
CREATE TABLE truth (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	identity BLOB NOT NULL CHECK (length(identity) = 16),
	changes_forgotten INTEGER NOT NULL,
	key_count INTEGER NOT NULL,
	limited_key_count INTEGER NOT NULL,
	tenant_count INTEGER NOT NULL,
	user_count INTEGER NOT NULL,
	grant_count INTEGER NOT NULL
) STRICT;

CREATE TABLE changes (
	seq INTEGER PRIMARY KEY,
	kind INTEGER NOT NULL,
	object INTEGER NOT NULL,
	object_end INTEGER NOT NULL
) STRICT;

-- A parent is older than its children: reading by id gives parents first.
CREATE TABLE tenants (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	parent INTEGER REFERENCES tenants (id) CHECK (parent < id),
	organization INTEGER REFERENCES tenants (id),
	kind INTEGER NOT NULL,
	user_id INTEGER REFERENCES users (id),
	created_at INTEGER NOT NULL,
	suspended_at INTEGER,
	deleted_at INTEGER,
	name TEXT NOT NULL,
	slug TEXT NOT NULL,
	created_by TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX tenants_slug ON tenants (slug) WHERE slug <> '';
CREATE INDEX tenants_parent ON tenants (parent) WHERE deleted_at IS NULL;
CREATE INDEX tenants_organization ON tenants (organization) WHERE deleted_at IS NULL;
CREATE INDEX tenants_kind ON tenants (kind) WHERE deleted_at IS NULL;

-- `personal` refers to a tenant that refers back; it may be written first.
CREATE TABLE users (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	organization INTEGER REFERENCES tenants (id),
	personal INTEGER,
	created_at INTEGER NOT NULL,
	disabled_at INTEGER,
	email TEXT NOT NULL UNIQUE,
	name TEXT NOT NULL,
	created_by TEXT NOT NULL
) STRICT;
CREATE INDEX users_organization ON users (organization);

CREATE TABLE memberships (
	user_id INTEGER NOT NULL REFERENCES users (id),
	tenant INTEGER NOT NULL REFERENCES tenants (id),
	created_at INTEGER NOT NULL,
	role TEXT NOT NULL,
	created_by TEXT NOT NULL,
	PRIMARY KEY (user_id, tenant)
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_tenant ON memberships (tenant, user_id);

CREATE TABLE grants (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	limited INTEGER NOT NULL,
	body TEXT NOT NULL UNIQUE
) STRICT;

-- Consecutive ranges of keys' ids, half a million keys or a little more each. Indexes that scatter new keys over all
-- there are would rewrite all their pages with each import; these begin with the segment, so that new keys go to the
-- pages of the last one.
CREATE TABLE key_segments (
	id INTEGER PRIMARY KEY CHECK (id >= 0),
	first_key INTEGER NOT NULL UNIQUE,
	keys_before INTEGER NOT NULL
) STRICT;
INSERT INTO key_segments (id, first_key, keys_before) VALUES (0, 0, 0);

-- What a rebuild reads stands first in the row. `organization` follows from `tenant`, and is not checked again.
CREATE TABLE keys (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	digest BLOB NOT NULL CHECK (length(digest) = 32),
	tenant INTEGER NOT NULL REFERENCES tenants (id),
	grant_id INTEGER NOT NULL REFERENCES grants (id),
	kind INTEGER NOT NULL,
	binding INTEGER NOT NULL,
	environment INTEGER NOT NULL,
	imported INTEGER NOT NULL,
	expires_at INTEGER,
	retires_at INTEGER,
	revoked_at INTEGER,
	organization INTEGER,
	user_id INTEGER REFERENCES users (id),
	created_at INTEGER NOT NULL,
	rotated_from INTEGER REFERENCES keys (id),
	rotated_to INTEGER REFERENCES keys (id),
	name TEXT NOT NULL,
	prefix TEXT NOT NULL,
	last_four TEXT NOT NULL,
	created_by TEXT NOT NULL,
	revoked_by TEXT NOT NULL,
	labels TEXT NOT NULL,
	segment INTEGER NOT NULL
) STRICT;
CREATE INDEX keys_tenant ON keys (segment, tenant);
CREATE INDEX keys_organization ON keys (segment, organization) WHERE tenant <> organization;
CREATE INDEX keys_user ON keys (user_id) WHERE user_id IS NOT NULL;

-- Fixed at creation for good, and never forgotten.
CREATE TRIGGER keys_fixed BEFORE UPDATE OF id, digest, tenant, grant_id, kind, binding, environment, imported,
		expires_at, organization, user_id, created_at, rotated_from, prefix, last_four, created_by, labels,
		segment ON keys
BEGIN
	SELECT RAISE(ABORT, 'a key is fixed at creation');
END;
CREATE TRIGGER keys_kept BEFORE DELETE ON keys
BEGIN
	SELECT RAISE(ABORT, 'a key is never forgotten');
END;

-- Apart from the keys, so that counting rewrites small rows only.
CREATE TABLE key_usage (
	key_id INTEGER PRIMARY KEY,
	uses INTEGER NOT NULL,
	last_used_at INTEGER NOT NULL,
	last_used_address TEXT NOT NULL
) STRICT;

CREATE TABLE usage_scopes (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
) STRICT;

-- `step`: 0 a minute, 1 an hour, 2 a day, from `start` on.
CREATE TABLE usage_counts (
	key_id INTEGER NOT NULL,
	step INTEGER NOT NULL,
	start INTEGER NOT NULL,
	reason INTEGER NOT NULL,
	scope_id INTEGER NOT NULL,
	uses INTEGER NOT NULL,
	PRIMARY KEY (key_id, step, start, reason, scope_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_counts_step ON usage_counts (step, start);

CREATE TABLE audit (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	at INTEGER NOT NULL,
	organization INTEGER,
	tenant INTEGER,
	actor TEXT NOT NULL,
	on_behalf TEXT NOT NULL,
	action TEXT NOT NULL,
	object TEXT NOT NULL,
	outcome TEXT NOT NULL,
	address TEXT NOT NULL,
	request_id TEXT NOT NULL,
	detail TEXT NOT NULL
) STRICT;
CREATE INDEX audit_organization ON audit (organization) WHERE organization IS NOT NULL;
CREATE INDEX audit_tenant ON audit (tenant) WHERE tenant IS NOT NULL;
CREATE INDEX audit_actor ON audit (actor);

CREATE TRIGGER audit_fixed BEFORE UPDATE ON audit
BEGIN
	SELECT RAISE(ABORT, 'an audit entry is never changed');
END;
CREATE TRIGGER audit_kept BEFORE DELETE ON audit
BEGIN
	SELECT RAISE(ABORT, 'an audit entry is never removed');
END;

CREATE TABLE idempotency (
	principal TEXT NOT NULL,
	name TEXT NOT NULL,
	request BLOB NOT NULL CHECK (length(request) = 32),
	created_at INTEGER NOT NULL,
	status INTEGER NOT NULL,
	body TEXT NOT NULL,
	PRIMARY KEY (principal, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_created ON idempotency (created_at);
