-- SPDX-License-Identifier: Apache-2.0
-- What was noticed of keys, so that it is told once: how far the reminders of each lead have come in each segment of
-- keys, when something was last told of a key, the networks a key was used from, and where the walk over all keys is.
CREATE INDEX keys_expires ON keys (segment, expires_at, id) WHERE expires_at IS NOT NULL;

CREATE TABLE notice_leads (
	lead INTEGER NOT NULL,
	segment INTEGER NOT NULL,
	ends_at INTEGER NOT NULL,
	key_id INTEGER NOT NULL,
	PRIMARY KEY (lead, segment)
) STRICT, WITHOUT ROWID;

-- `notice`: 0 unused, 1 denials, 2 leaked.
CREATE TABLE key_notices (
	key_id INTEGER NOT NULL,
	notice INTEGER NOT NULL,
	at INTEGER NOT NULL,
	PRIMARY KEY (key_id, notice)
) STRICT, WITHOUT ROWID;

CREATE TABLE key_networks (
	key_id INTEGER NOT NULL,
	network TEXT NOT NULL,
	at INTEGER NOT NULL,
	PRIMARY KEY (key_id, network)
) STRICT, WITHOUT ROWID;

CREATE TABLE notice_walk (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	key_id INTEGER NOT NULL
) STRICT;
INSERT INTO notice_walk (one, key_id) VALUES (1, 0);
