-- SPDX-License-Identifier: Apache-2.0
-- Values that are held outside of the store.

-- One row for each secret there: of a field of a provider, under one key of the organization; `place` says where it is.
-- `asked` counts changes of the field's versions, `done` is the count that the secret's stages there follow.
CREATE TABLE held_secrets (
	provider INTEGER NOT NULL REFERENCES providers (id),
	field TEXT NOT NULL,
	key_number INTEGER NOT NULL,
	asked INTEGER NOT NULL,
	done INTEGER NOT NULL,
	place TEXT NOT NULL,
	PRIMARY KEY (provider, field, key_number)
) STRICT, WITHOUT ROWID;
CREATE INDEX held_secrets_asked ON held_secrets (provider, field, key_number) WHERE asked <> done;
