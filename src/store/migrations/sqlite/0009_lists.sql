-- SPDX-License-Identifier: Apache-2.0
-- Lists of few among many: keys that are not tenant keys, sandbox keys, keys that were stopped, one action of the audit.
-- Ordinary new keys add nothing to the first three.
ALTER TABLE keys ADD COLUMN stopped INTEGER GENERATED ALWAYS AS
	(CASE WHEN revoked_at IS NOT NULL OR retires_at IS NOT NULL THEN 1 END) VIRTUAL;
CREATE INDEX keys_stopped ON keys (stopped) WHERE stopped = 1;
CREATE INDEX keys_kind ON keys (kind) WHERE kind <> 1;
CREATE INDEX keys_sandbox ON keys (environment) WHERE environment = 1;
CREATE INDEX audit_action ON audit (action);
