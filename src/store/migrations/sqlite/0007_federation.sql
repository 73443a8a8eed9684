-- SPDX-License-Identifier: Apache-2.0
-- Others who vouch for callers: issuers of JWTs, and identity providers that people log in with.

-- `jwks` is the last good copy of the issuer's public keys. Two organizations may take tokens of one issuer, for
-- different audiences.
CREATE TABLE foreign_issuers (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	organization INTEGER NOT NULL REFERENCES tenants (id),
	enabled INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	deleted_at INTEGER,
	next_at INTEGER NOT NULL,
	tried_at INTEGER,
	fetched_at INTEGER,
	failures INTEGER NOT NULL,
	failure TEXT NOT NULL,
	name TEXT NOT NULL,
	issuer TEXT NOT NULL,
	audience TEXT NOT NULL,
	jwks_url TEXT NOT NULL,
	rules TEXT NOT NULL,
	created_by TEXT NOT NULL,
	jwks TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX foreign_issuers_issuer ON foreign_issuers (issuer, audience) WHERE deleted_at IS NULL;
CREATE INDEX foreign_issuers_organization ON foreign_issuers (organization) WHERE deleted_at IS NULL;
CREATE INDEX foreign_issuers_next ON foreign_issuers (next_at) WHERE deleted_at IS NULL AND enabled = 1;

-- Without an organization: of the operator's own people. `secret` is sealed.
CREATE TABLE identity_providers (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	organization INTEGER REFERENCES tenants (id),
	enabled INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	deleted_at INTEGER,
	auto_create INTEGER NOT NULL,
	default_tenant INTEGER REFERENCES tenants (id),
	default_role TEXT NOT NULL,
	name TEXT NOT NULL,
	issuer TEXT NOT NULL,
	client_id TEXT NOT NULL,
	scopes TEXT NOT NULL,
	domains TEXT NOT NULL,
	created_by TEXT NOT NULL,
	secret BLOB NOT NULL
) STRICT;
CREATE INDEX identity_providers_organization ON identity_providers (organization) WHERE deleted_at IS NULL;

-- Who a user is to an identity provider. Of one organization (0: the operator): what a provider of one says, holds for
-- its own users alone.
CREATE TABLE identities (
	organization INTEGER NOT NULL,
	issuer TEXT NOT NULL,
	subject TEXT NOT NULL,
	user_id INTEGER NOT NULL REFERENCES users (id),
	created_at INTEGER NOT NULL,
	PRIMARY KEY (organization, issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX identities_user ON identities (user_id);

-- States of logins that have led to a session, until they are too old to be taken anyway.
CREATE TABLE logins_used (
	state BLOB PRIMARY KEY CHECK (length(state) = 32),
	used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX logins_used_at ON logins_used (used_at);
