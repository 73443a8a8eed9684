/* SPDX-License-Identifier: Apache-2.0 */
/** Parts that statements share. The order of columns is that of the field tables in store_*.c. */
#pragma once

#define SQL_TENANT_COLUMNS \
	"id, parent, organization, kind, user_id, name, slug, created_at, created_by, suspended_at, deleted_at"

/* $1 parent, $2 organization, $3 kind, $4 before, $5 limit */
#define SQL_TENANTS_WHERE(column)                                                                  \
	"SELECT " SQL_TENANT_COLUMNS " FROM tenants WHERE " column " AND deleted_at IS NULL"       \
	" AND ($1 = 0 OR parent = $1) AND ($2 = 0 OR organization = $2) AND ($3 < 0 OR kind = $3)" \
	" ORDER BY id DESC LIMIT $5"

#define SQL_HELD_SECRET_COLUMNS "provider, field, key_number, asked, done, place"

#define SQL_USER_COLUMNS "id, organization, personal, email, name, created_at, created_by, disabled_at"

#define SQL_MEMBERSHIP_COLUMNS "user_id, tenant, role, created_at, created_by"

#define SQL_KEY_OWN_COLUMNS                                                                                   \
	"k.id, k.digest, k.tenant, k.organization, k.grant_id, k.name, k.last_four, k.prefix, k.labels,"      \
	" k.user_id, k.kind, k.binding, k.environment, k.expires_at, k.imported, k.created_at, k.created_by," \
	" k.retires_at, k.revoked_at, k.revoked_by, k.rotated_from, k.rotated_to"
#define SQL_KEY_COLUMNS SQL_KEY_OWN_COLUMNS ", u.uses, u.last_used_at, u.last_used_address"
#define SQL_KEYS_FROM " FROM keys k LEFT JOIN key_usage u ON u.key_id = k.id WHERE "

/* An end set by a rotation counts as a revocation, as in the decision. */
#define SQL_KEY_STATUS                                                                               \
	"CASE WHEN k.revoked_at IS NOT NULL"                                                         \
	" OR (k.retires_at <= $7 AND (k.expires_at IS NULL OR k.retires_at <= k.expires_at)) THEN 2" \
	" WHEN k.expires_at <= $7 THEN 1 ELSE 0 END"

/* $1 organization, $2 user, $3 before, $4 kind, $5 environment, $6 status, $7 now, $8 unused since, $9 part of the
 * name, $10 limit, $11 segment, $12 tenant */
#define SQL_KEYS_PASS                                                                                             \
	" AND k.id < $3 AND ($1 = 0 OR k.organization = $1) AND ($2 = 0 OR k.user_id = $2)"                       \
	" AND ($4 < 0 OR k.kind = $4) AND ($5 < 0 OR k.environment = $5) AND ($6 = 3 OR $6 = " SQL_KEY_STATUS ")" \
	" AND ($9 = '' OR lower(k.name) LIKE lower($9) ESCAPE '\\')"                                              \
	" AND (u.last_used_at IS NULL OR u.last_used_at < $8)"
#define SQL_KEYS_FILTER SQL_KEYS_PASS " ORDER BY k.id DESC LIMIT $10"

/* $1 before, $2 how many */
#define SQL_KEYS_BEHIND(where) \
	"SELECT min(id), count(*) FROM (SELECT id FROM keys WHERE " where " ORDER BY id DESC LIMIT $2) AS behind"

#define SQL_AUDIT_COLUMNS \
	"id, at, organization, tenant, actor, on_behalf, action, object, outcome, address, request_id, detail,"   \
	" tree, position, place, salt, leaf"

/* $1 tree, $2 tenant, $3 actor, $4 action, $5 first id, $6 before, $7 limit, $8 address, $9 outcome */
#define SQL_AUDIT_WHERE(column, order)                                                               \
	"SELECT " SQL_AUDIT_COLUMNS " FROM audit WHERE " column " AND id >= $5 AND id < $6"          \
	" AND ($1 < 0 OR tree = $1) AND ($2 = 0 OR tenant = $2) AND ($3 = '' OR actor = $3)"         \
	" AND ($4 = '' OR action = $4) AND ($8 = '' OR address = $8) AND ($9 = '' OR outcome = $9)"  \
	" ORDER BY id " order " LIMIT $7"

#define SQL_SESSION_COLUMNS                                                                                   \
	"s.id, s.digest, s.user_id, s.created_at, s.expires_at, s.ended_at, s.method, s.address, s.agent,"    \
	" u.last_used_at, u.last_used_address"
#define SQL_SESSIONS_FROM \
	"SELECT " SQL_SESSION_COLUMNS " FROM sessions s LEFT JOIN key_usage u ON u.key_id = s.id WHERE "
#define SQL_LINK_COLUMNS                                                                                         \
	"id, digest, organization, tenant, provider, state, attempts, created_at, expires_at, ended_at, version," \
	" field, recipient, created_by"

#define SQL_SOURCE_COLUMNS                                                                                              \
	"id, organization, tenant, provider, revision, created_at, paused_at, deleted_at, confirm_until, platform, scheme," \
	" name, form, confirm_url, created_by"

/* $3 before, $4 limit */
#define SQL_SOURCES_WHERE(condition)                                                                    \
	"SELECT " SQL_SOURCE_COLUMNS " FROM sources WHERE " condition " AND deleted_at IS NULL AND id < $3" \
	" AND ($1 = 0 OR organization = $1) AND ($2 = 0 OR tenant = $2) ORDER BY id DESC LIMIT $4"

#define SQL_SOURCE_PARAMETERS_COLUMNS "source, revision, until, key_number, plain, sealed"
#define SQL_INBOUND_COLUMNS "id, source, received_at, method, target, peer, headers, body"

#define SQL_EVENT_COLUMNS "id, at, type, organization, tenant, object, data"

/* $1 organization, $2 tenant, $3 type, $4 first id, $5 before, $6 limit */
#define SQL_EVENTS_WHERE(column, order)                                                             \
	"SELECT " SQL_EVENT_COLUMNS " FROM events WHERE " column " AND id >= $4 AND id < $5"        \
	" AND ($1 = 0 OR organization = $1) AND ($2 = 0 OR tenant = $2) AND ($3 = '' OR type = $3)" \
	" ORDER BY id " order " LIMIT $6"

#define SQL_ENDPOINT_COLUMNS                                                                                         \
	"id, version, organization, tenant, state, signature, concurrency, rate_limit, created_at, failing_since,"   \
	" disabled_at, deleted_at, url, events, description, reason, created_by"

/* $1 organization, $2 tenant, $3 before, $4 limit */
#define SQL_ENDPOINTS_WHERE(column)                                                                         \
	"SELECT " SQL_ENDPOINT_COLUMNS " FROM endpoints WHERE " column " AND id < $3 AND deleted_at IS NULL" \
	" AND ($1 = 0 OR organization = $1) AND ($2 = 0 OR tenant = $2) ORDER BY id DESC LIMIT $4"

#define SQL_ENDPOINT_SECRET_COLUMNS "id, endpoint, signature, created_at, ends_at, public, sealed"

#define SQL_DELIVERY_COLUMNS                                                                                     \
	"id, endpoint, event, organization, tenant, state, attempts, tries, due_at, first_at, ended_at, status," \
	" elapsed_ms, type, code"

/* $1 organization, $2 tenant, $3 endpoint, $4 state, $5 first event, $6 end of events, $7 before, $8 limit */
#define SQL_DELIVERIES_WHERE(column)                                                                             \
	"SELECT " SQL_DELIVERY_COLUMNS " FROM deliveries WHERE " column " AND id < $7 AND event >= $5 AND event < $6" \
	" AND ($1 = 0 OR organization = $1) AND ($2 = 0 OR tenant = $2) AND ($3 = 0 OR endpoint = $3)"           \
	" AND ($4 < 0 OR state = $4) ORDER BY id DESC LIMIT $8"
/* The same of an endpoint, by events. */
#define SQL_DELIVERIES_OF_ENDPOINT(condition)                                                                    \
	"SELECT " SQL_DELIVERY_COLUMNS " FROM deliveries WHERE endpoint = $3" condition " AND event >= $5 AND event < $6" \
	" AND event < coalesce((SELECT d.event FROM deliveries d WHERE d.id = $7), $7)"                          \
	" AND ($1 = 0 OR organization = $1) AND ($2 = 0 OR tenant = $2)"                                         \
	" AND ($4 < 0 OR state = $4) ORDER BY event DESC LIMIT $8"

#define SQL_FOREIGN_ISSUER_COLUMNS                                                                           \
	"id, organization, enabled, created_at, deleted_at, next_at, tried_at, fetched_at, failures, failure," \
	" name, issuer, audience, jwks_url, rules, created_by, jwks"

/* $1 before, $2 limit */
#define SQL_FOREIGN_ISSUERS_WHERE(column)                                              \
	"SELECT " SQL_FOREIGN_ISSUER_COLUMNS " FROM foreign_issuers WHERE " column     \
	" AND deleted_at IS NULL AND id < $1 ORDER BY id DESC LIMIT $2"

#define SQL_IDENTITY_PROVIDER_COLUMNS                                                                         \
	"id, organization, enabled, created_at, deleted_at, auto_create, default_tenant, default_role, name," \
	" issuer, client_id, scopes, domains, created_by, secret"

/* $1 before, $2 limit */
#define SQL_IDENTITY_PROVIDERS_WHERE(column)                                                   \
	"SELECT " SQL_IDENTITY_PROVIDER_COLUMNS " FROM identity_providers WHERE " column       \
	" AND deleted_at IS NULL AND id < $1 ORDER BY id DESC LIMIT $2"

#define SQL_ORGANIZATION_KEY_COLUMNS "organization, number, created_at, erased_at, wrapped"

#define SQL_PROVIDER_COLUMNS                                                                                    \
	"id, tenant, organization, current_set, first_set, waiting, created_at, deleted_at, platform, name," \
	" created_by"

/* $1 before, $2 limit, $3 organization or tenant */
#define SQL_PROVIDERS_WHERE(column)                              \
	"SELECT " SQL_PROVIDER_COLUMNS " FROM providers WHERE " column \
	" AND deleted_at IS NULL AND id < $1 ORDER BY id DESC LIMIT $2"

#define SQL_FIELD_VERSION_COLUMNS(t)                                                                                \
	t "provider, " t "field, " t "version, " t "stage, " t "kind, " t "open, " t "key_number, " t "created_at, " t \
	  "promoted_at, " t "ended_at, " t "created_by, " t "via, " t "code, " t "sealed"

#define SQL_PROVIDER_SET_COLUMNS \
	"provider, number, based_on, reason, made_at, ended_at, drained_at, calls, calls_ok, calls_failed, failed_code"

#define SQL_LEASE_COLUMNS "id, provider, set_number, outcome, ends_at, call"

#define SQL_HEALTH_COLUMNS                                                                                     \
	"provider, organization, tenant, status, told, since, checked_at, due_at, failures, set_number, reads," \
	" read_set, read_at, error_at, code, detail, error_code, fields"

/* $1 organization, $2 tenant, $3 status, $4 before, $5 limit */
#define SQL_HEALTHS_WHERE(condition)                                               \
	"SELECT " SQL_HEALTH_COLUMNS " FROM provider_health WHERE " condition      \
	" AND provider < $4 AND ($1 = 0 OR organization = $1) AND ($2 = 0 OR tenant = $2)" \
	" AND ($3 = 4 OR status = $3) ORDER BY provider DESC LIMIT $5"

#define SQL_HEALTH_CHANGE_COLUMNS "id, provider, at, status, was, set_number, code, detail"
