-- SPDX-License-Identifier: Apache-2.0
-- Audit entries as leaves of Merkle trees (docs/audit.md). `tree` is the organization or partner whose log it is, 0 the
-- operator's; `position` counts from 0 in each. Entries of earlier versions get theirs when the store is opened: until
-- then `leaf` is NULL.
ALTER TABLE audit ADD COLUMN tree INTEGER;
ALTER TABLE audit ADD COLUMN position INTEGER;
ALTER TABLE audit ADD COLUMN place TEXT;
ALTER TABLE audit ADD COLUMN salt BLOB CHECK (salt IS NULL OR length(salt) = 16);
ALTER TABLE audit ADD COLUMN leaf BLOB CHECK (leaf IS NULL OR length(leaf) = 32);
CREATE INDEX audit_tree ON audit (tree) WHERE tree IS NOT NULL;
CREATE INDEX audit_unbuilt ON audit (id) WHERE leaf IS NULL;
CREATE INDEX audit_address ON audit (address) WHERE address <> '';
CREATE INDEX audit_outcome ON audit (outcome) WHERE outcome <> 'ok';
DROP INDEX audit_organization;

DROP TRIGGER audit_fixed;
CREATE TRIGGER audit_fixed BEFORE UPDATE ON audit WHEN OLD.leaf IS NOT NULL
BEGIN
	SELECT RAISE(ABORT, 'an audit entry is never changed');
END;
CREATE TRIGGER audit_fixed_words BEFORE UPDATE OF id, at, organization, tenant, actor, on_behalf, action, object, outcome,
	address, request_id, detail ON audit
BEGIN
	SELECT RAISE(ABORT, 'an audit entry is never changed');
END;

-- Whole nodes, 256 side by side: those of level 0 are leaves, of level 1 the roots of 256 leaves, and so on.
CREATE TABLE audit_tiles (
	tree INTEGER NOT NULL,
	level INTEGER NOT NULL,
	number INTEGER NOT NULL,
	root BLOB NOT NULL CHECK (length(root) = 32),
	hashes BLOB NOT NULL CHECK (length(hashes) = 8192),
	PRIMARY KEY (tree, level, number)
) STRICT;
CREATE TRIGGER audit_tiles_fixed BEFORE UPDATE ON audit_tiles
BEGIN
	SELECT RAISE(ABORT, 'a tile of the audit is never changed');
END;
CREATE TRIGGER audit_tiles_kept BEFORE DELETE ON audit_tiles
BEGIN
	SELECT RAISE(ABORT, 'a tile of the audit is never removed');
END;

-- The key that signs checkpoints, sealed.
CREATE TABLE audit_keys (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	created_at INTEGER NOT NULL,
	name TEXT NOT NULL,
	public BLOB NOT NULL CHECK (length(public) = 32),
	sealed BLOB NOT NULL
) STRICT;

-- Checkpoints that were signed on schedule.
CREATE TABLE audit_checkpoints (
	tree INTEGER NOT NULL,
	size INTEGER NOT NULL,
	at INTEGER NOT NULL,
	note TEXT NOT NULL,
	PRIMARY KEY (tree, size)
) STRICT, WITHOUT ROWID;
