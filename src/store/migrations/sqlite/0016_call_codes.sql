-- SPDX-License-Identifier: Apache-2.0
-- What the platform said of the last call on a set that was reported failed.
ALTER TABLE provider_sets ADD COLUMN failed_code TEXT NOT NULL DEFAULT '';
