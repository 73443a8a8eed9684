-- SPDX-License-Identifier: Apache-2.0
-- Whether providers' credentials work, as the last probes found it.

-- One row a provider that was looked at. `due_at` is when it is probed next, null where nothing can be probed; `failures`
-- counts probes in a row that failed in a way that may pass; `told` is the status that was last told as an event; `fields`
-- has a line for each field: name, status, code, since. `reads` are openings of the values of `read_set` since `read_at`,
-- when the last of them was audited.
CREATE TABLE provider_health (
	provider INTEGER PRIMARY KEY REFERENCES providers (id),
	organization INTEGER NOT NULL,
	tenant INTEGER NOT NULL,
	status INTEGER NOT NULL,
	told INTEGER NOT NULL,
	since INTEGER NOT NULL,
	checked_at INTEGER,
	due_at INTEGER,
	failures INTEGER NOT NULL,
	set_number INTEGER NOT NULL,
	reads INTEGER NOT NULL,
	read_set INTEGER NOT NULL,
	read_at INTEGER,
	error_at INTEGER,
	code TEXT NOT NULL,
	detail TEXT NOT NULL,
	error_code TEXT NOT NULL,
	fields TEXT NOT NULL
) STRICT;
CREATE INDEX provider_health_due ON provider_health (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX provider_health_tenant ON provider_health (tenant, provider);
CREATE INDEX provider_health_organization ON provider_health (organization, provider);
CREATE INDEX provider_health_status ON provider_health (status, provider);
CREATE INDEX provider_health_tenant_status ON provider_health (tenant, status, provider);
CREATE INDEX provider_health_organization_status ON provider_health (organization, status, provider);

-- What it was before: an entry for each change of status or code.
CREATE TABLE provider_health_history (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	provider INTEGER NOT NULL REFERENCES providers (id),
	at INTEGER NOT NULL,
	status INTEGER NOT NULL,
	was INTEGER NOT NULL,
	set_number INTEGER NOT NULL,
	code TEXT NOT NULL,
	detail TEXT NOT NULL
) STRICT;
CREATE INDEX provider_health_history_provider ON provider_health_history (provider, id);
