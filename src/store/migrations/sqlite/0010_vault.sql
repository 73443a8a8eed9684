-- SPDX-License-Identifier: Apache-2.0
-- The vault: connections to platforms and the values that calls are made with.

-- The key that the values of an organization are sealed with, wrapped by whoever keeps the master key. One that was
-- erased has zeros in the place of what it was.
CREATE TABLE organization_keys (
	organization INTEGER NOT NULL REFERENCES tenants (id),
	number INTEGER NOT NULL CHECK (number > 0),
	created_at INTEGER NOT NULL,
	erased_at INTEGER,
	wrapped BLOB NOT NULL,
	PRIMARY KEY (organization, number)
) STRICT, WITHOUT ROWID;

-- `current_set` is the set that calls begin with, 0 as long as there is none; `first_set` the oldest that a call may
-- still be on. `waiting`: a pending version is there.
CREATE TABLE providers (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	tenant INTEGER NOT NULL REFERENCES tenants (id),
	organization INTEGER NOT NULL REFERENCES tenants (id),
	current_set INTEGER NOT NULL,
	first_set INTEGER NOT NULL,
	waiting INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	deleted_at INTEGER,
	platform TEXT NOT NULL,
	name TEXT NOT NULL,
	created_by TEXT NOT NULL
) STRICT;
CREATE INDEX providers_organization ON providers (organization) WHERE deleted_at IS NULL;
CREATE INDEX providers_tenant ON providers (tenant) WHERE deleted_at IS NULL;
CREATE INDEX providers_waiting ON providers (id) WHERE waiting = 1 AND deleted_at IS NULL;

-- The last number given to a version of a field: none is given twice.
CREATE TABLE provider_fields (
	provider INTEGER NOT NULL REFERENCES providers (id),
	field TEXT NOT NULL,
	last_version INTEGER NOT NULL,
	PRIMARY KEY (provider, field)
) STRICT, WITHOUT ROWID;

-- `sealed` is the value, or the reference to it, under the organization's key; empty where `open` is 0.
CREATE TABLE field_versions (
	provider INTEGER NOT NULL REFERENCES providers (id),
	field TEXT NOT NULL,
	version INTEGER NOT NULL CHECK (version > 0),
	stage INTEGER NOT NULL,
	kind INTEGER NOT NULL,
	open INTEGER NOT NULL,
	key_number INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	promoted_at INTEGER,
	ended_at INTEGER,
	created_by TEXT NOT NULL,
	via TEXT NOT NULL,
	code TEXT NOT NULL,
	sealed BLOB NOT NULL,
	PRIMARY KEY (provider, field, version)
) STRICT, WITHOUT ROWID;

-- What was current together. `based_on` is the set that it took the place of. The counts are of calls that began on it:
-- those whose leases were forgotten, and those that were reported.
CREATE TABLE provider_sets (
	provider INTEGER NOT NULL REFERENCES providers (id),
	number INTEGER NOT NULL CHECK (number > 0),
	based_on INTEGER NOT NULL,
	reason INTEGER NOT NULL,
	made_at INTEGER NOT NULL,
	ended_at INTEGER,
	drained_at INTEGER,
	calls INTEGER NOT NULL,
	calls_ok INTEGER NOT NULL,
	calls_failed INTEGER NOT NULL,
	PRIMARY KEY (provider, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX provider_sets_draining ON provider_sets (ended_at) WHERE ended_at IS NOT NULL AND drained_at IS NULL;

CREATE TABLE provider_set_fields (
	provider INTEGER NOT NULL,
	number INTEGER NOT NULL,
	field TEXT NOT NULL,
	version INTEGER NOT NULL,
	PRIMARY KEY (provider, number, field),
	FOREIGN KEY (provider, number) REFERENCES provider_sets (provider, number),
	FOREIGN KEY (provider, field, version) REFERENCES field_versions (provider, field, version)
) STRICT, WITHOUT ROWID;

-- Calls under way, each on the set that it began with; kept for a while after their end, for reports that come late. A
-- lease is one row, written at call rate.
CREATE TABLE leases (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	provider INTEGER NOT NULL,
	set_number INTEGER NOT NULL,
	outcome INTEGER NOT NULL,
	ends_at INTEGER NOT NULL,
	call TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX leases_call ON leases (provider, set_number, call);
CREATE INDEX leases_end ON leases (ends_at);
