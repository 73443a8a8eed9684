-- SPDX-License-Identifier: Apache-2.0
-- The keys that our own issuer signs JWTs with. `state`: 0 next (published, does not sign yet), 1 current, 2 retired
-- (published until its last token has expired), 3 withdrawn (its private half is forgotten).

CREATE TABLE issuer_keys (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	kid TEXT NOT NULL UNIQUE,
	algorithm TEXT NOT NULL,
	public_jwk TEXT NOT NULL,
	sealed BLOB NOT NULL,
	state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),
	created_at INTEGER NOT NULL,
	signs_from INTEGER,
	retired_at INTEGER,
	withdrawn_at INTEGER
) STRICT;
-- One that is next and one that is current at most.
CREATE UNIQUE INDEX issuer_keys_state ON issuer_keys (state) WHERE state < 2;
