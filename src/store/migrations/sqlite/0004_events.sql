-- SPDX-License-Identifier: Apache-2.0
-- What happened, for whoever wants to hear of it: written with the change itself, read in the order of ids, forgotten
-- after a time. `object` and `data` are as they are shown.
CREATE TABLE events (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	at INTEGER NOT NULL,
	type TEXT NOT NULL,
	organization INTEGER,
	tenant INTEGER,
	object TEXT NOT NULL,
	data TEXT NOT NULL
) STRICT;
CREATE INDEX events_organization ON events (organization) WHERE organization IS NOT NULL;
CREATE INDEX events_tenant ON events (tenant) WHERE tenant IS NOT NULL;
CREATE INDEX events_type ON events (type);
