-- SPDX-License-Identifier: Apache-2.0
-- Leases that have ended are found by going through them in the order in which they began: an index of their ends would
-- be written at call rate, and again at each release.
DROP INDEX leases_end;
