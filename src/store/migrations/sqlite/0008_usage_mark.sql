-- SPDX-License-Identifier: Apache-2.0
-- The batch of counts that was written last, and how many entries of it: written with them, so that one that was
-- interrupted goes on where it stopped.
CREATE TABLE usage_mark (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	batch INTEGER NOT NULL,
	done INTEGER NOT NULL
) STRICT;
INSERT INTO usage_mark (one, batch, done) VALUES (1, 0, 0);
