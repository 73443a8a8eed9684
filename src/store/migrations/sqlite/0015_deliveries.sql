-- SPDX-License-Identifier: Apache-2.0
-- Where events are sent, what of them, and how that went.

-- `version` rises with every change, so that whoever keeps endpoints in mind reads those alone that changed. `events` is
-- "*" or types with blanks between. `failing_since` is when the failures began that no success has ended.
CREATE TABLE endpoints (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	version INTEGER NOT NULL,
	organization INTEGER,
	tenant INTEGER NOT NULL REFERENCES tenants (id),
	state INTEGER NOT NULL,
	signature INTEGER NOT NULL,
	concurrency INTEGER NOT NULL,
	rate_limit INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	failing_since INTEGER,
	disabled_at INTEGER,
	deleted_at INTEGER,
	url TEXT NOT NULL,
	events TEXT NOT NULL,
	description TEXT NOT NULL,
	reason TEXT NOT NULL,
	created_by TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX endpoints_version ON endpoints (version);
CREATE INDEX endpoints_tenant ON endpoints (tenant, id);
CREATE INDEX endpoints_organization ON endpoints (organization, id) WHERE organization IS NOT NULL;

-- What an endpoint's requests are signed with: the current one (`ends_at` is null), and those that it follows until they
-- end. `sealed` is opened for the secret's own id alone; `public` is the half that receivers verify an Ed25519 signature with.
CREATE TABLE endpoint_secrets (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	endpoint INTEGER NOT NULL REFERENCES endpoints (id),
	signature INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	ends_at INTEGER,
	public TEXT NOT NULL,
	sealed BLOB NOT NULL
) STRICT;
CREATE INDEX endpoint_secrets_endpoint ON endpoint_secrets (endpoint, id);

-- One event to one endpoint, once. `tries` counts those of the round that began at `first_at` (a replay begins another), `attempts`
-- all of them; `due_at` is null once it is over. Status, code and time taken are those of the last attempt.
CREATE TABLE deliveries (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	endpoint INTEGER NOT NULL,
	event INTEGER NOT NULL,
	organization INTEGER,
	tenant INTEGER NOT NULL,
	state INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	tries INTEGER NOT NULL,
	due_at INTEGER,
	first_at INTEGER,
	ended_at INTEGER,
	status INTEGER NOT NULL,
	elapsed_ms INTEGER NOT NULL,
	type TEXT NOT NULL,
	code TEXT NOT NULL
) STRICT;
CREATE INDEX deliveries_due ON deliveries (endpoint, due_at, id) WHERE state = 0;
CREATE UNIQUE INDEX deliveries_endpoint ON deliveries (endpoint, event);
CREATE INDEX deliveries_failed ON deliveries (endpoint, event) WHERE state = 2;
CREATE INDEX deliveries_tenant ON deliveries (tenant, id);
CREATE INDEX deliveries_organization ON deliveries (organization, id) WHERE organization IS NOT NULL;

CREATE TABLE delivery_attempts (
	delivery INTEGER NOT NULL,
	number INTEGER NOT NULL,
	at INTEGER NOT NULL,
	status INTEGER NOT NULL,
	elapsed_ms INTEGER NOT NULL,
	code TEXT NOT NULL,
	excerpt TEXT NOT NULL,
	PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;

-- The last event that was handed out to endpoints.
CREATE TABLE delivery_cursor (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	event INTEGER NOT NULL
) STRICT;
INSERT INTO delivery_cursor (one, event) SELECT 1, coalesce(max(id), 0) FROM events;
