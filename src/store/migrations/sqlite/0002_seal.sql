-- SPDX-License-Identifier: Apache-2.0
-- What tells the master key from another: one row, written with the first thing that is sealed.

CREATE TABLE seal_check (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	sealed BLOB NOT NULL
) STRICT;
