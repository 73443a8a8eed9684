/* SPDX-License-Identifier: Apache-2.0 */
#include "secretstore/member_check.h"

/* Letters and digits, and `also`; `min` to `max` bytes. */
static bool made_of(struct ks_str s, const char *also, size_t min, size_t max)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (!plain && (c == '\0' || !strchr(also, c)))
			return false;
	}
	return s.n >= min && s.n <= max;
}

static bool is_lower(struct ks_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] >= 'A' && s.p[i] <= 'Z')
			return false;
	}
	return true;
}

static bool is_digits(struct ks_str s, size_t min, size_t max)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	}
	return s.n >= min && s.n <= max;
}

static bool is_hex(struct ks_str s, size_t n)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
	}
	return s.n == n;
}

static bool ends(struct ks_str s, struct ks_str suffix)
{
	return s.n > suffix.n && ks_str_eq(ks_str_sub(s, s.n - suffix.n, suffix.n), suffix);
}

struct ks_str ks_secretstore_part(struct ks_str s, char c, size_t index)
{
	struct ks_str head = s, tail = s;

	for (size_t i = 0; i <= index; i++) {
		struct ks_str rest = tail;

		if (!ks_str_split(rest, c, &head, &tail)) {
			head = rest;
			tail = KS_STR("");
			if (i < index)
				return KS_STR("");
		}
	}
	return head;
}

struct ks_str ks_secretstore_host(struct ks_str origin)
{
	struct ks_str scheme, rest;

	if (!ks_str_split(origin, ':', &scheme, &rest))
		return KS_STR("");
	return ks_str_sub(rest, 2, rest.n);
}

bool ks_secretstore_is_name(struct ks_str s)
{
	return made_of(s, "-_", 1, 64) && is_lower(s);
}

bool ks_secretstore_is_member(struct ks_str s)
{
	return s.n >= 1 && s.n <= 256 && !ks_str_has_control(s);
}

/* ---- AWS ---- */

static bool is_partition(struct ks_str s)
{
	return ks_str_eq(s, KS_STR("aws")) || ks_str_eq(s, KS_STR("aws-cn")) || ks_str_eq(s, KS_STR("aws-us-gov"));
}

/* arn:PARTITION:SERVICE:REGION:ACCOUNT: */
static bool is_arn(struct ks_str s, struct ks_str service)
{
	return ks_str_eq(ks_secretstore_part(s, ':', 0), KS_STR("arn")) && is_partition(ks_secretstore_part(s, ':', 1))
	       && ks_str_eq(ks_secretstore_part(s, ':', 2), service) && is_digits(ks_secretstore_part(s, ':', 4), 12, 12);
}

bool ks_secretstore_is_aws_secret(struct ks_str s)
{
	if (!ks_str_starts(s, KS_STR("arn:")))
		return made_of(s, "/_+=.@-", 1, 512);
	return is_arn(s, KS_STR("secretsmanager")) && ks_secretstore_is_region(ks_secretstore_part(s, ':', 3))
	       && ks_str_eq(ks_secretstore_part(s, ':', 5), KS_STR("secret"))
	       && made_of(ks_secretstore_part(s, ':', 6), "/_+=.@-", 1, 519) && !ks_secretstore_part(s, ':', 7).n && s.p[s.n - 1] != ':';
}

bool ks_secretstore_is_region(struct ks_str s)
{
	return made_of(s, "-", 8, 32) && is_lower(s) && s.p[0] != '-' && s.p[s.n - 1] >= '0' && s.p[s.n - 1] <= '9';
}

bool ks_secretstore_is_role(struct ks_str s)
{
	struct ks_str name = ks_secretstore_part(s, ':', 5);

	return is_arn(s, KS_STR("iam")) && !ks_secretstore_part(s, ':', 3).n && ks_str_starts(name, KS_STR("role/"))
	       && made_of(name, "/_+=,.@-", 6, 600)
	       && !ks_secretstore_part(s, ':', 6).n && s.p[s.n - 1] != ':' && s.p[s.n - 1] != '/';
}

bool ks_secretstore_is_external_id(struct ks_str s)
{
	return made_of(s, "_+=,.@:/-", 2, 1224);
}

bool ks_secretstore_is_aws_version(struct ks_str s)
{
	return made_of(s, "-", 32, 64);
}

bool ks_secretstore_is_stage(struct ks_str s)
{
	return made_of(s, "_-./+=@", 1, 256);
}

bool ks_secretstore_is_aws_endpoint(struct ks_str s)
{
	struct ks_str host = ks_secretstore_host(s);

	return ks_str_starts(s, KS_STR("https://")) && made_of(host, ".-", 1, 255)
	       && (ends(host, KS_STR(".amazonaws.com")) || ends(host, KS_STR(".amazonaws.com.cn")));
}

/* ---- GCP ---- */

bool ks_secretstore_is_gcp_secret(struct ks_str s)
{
	bool regional = ks_str_eq(ks_secretstore_part(s, '/', 2), KS_STR("locations"));
	size_t at = regional ? 4 : 2;

	return ks_str_eq(ks_secretstore_part(s, '/', 0), KS_STR("projects")) && made_of(ks_secretstore_part(s, '/', 1), "-.:", 1, 128)
	       && (!regional || (made_of(ks_secretstore_part(s, '/', 3), "-", 1, 64) && is_lower(ks_secretstore_part(s, '/', 3))))
	       && ks_str_eq(ks_secretstore_part(s, '/', at), KS_STR("secrets"))
	       && made_of(ks_secretstore_part(s, '/', at + 1), "-_", 1, 255) && s.p[s.n - 1] != '/'
	       && !ks_secretstore_part(s, '/', at + 2).n;
}

bool ks_secretstore_is_gcp_version(struct ks_str s)
{
	return ks_secretstore_is_count(s) || (made_of(s, "-_", 1, 63) && made_of(ks_str_sub(s, 0, 1), "_", 1, 1) && !is_digits(ks_str_sub(s, 0, 1), 1, 1));
}

bool ks_secretstore_is_service_account(struct ks_str s)
{
	struct ks_str name, domain;

	return ks_str_split(s, '@', &name, &domain) && made_of(name, "-.", 1, 64) && is_lower(name) && made_of(domain, "-.", 4, 190)
	       && is_lower(domain) && ends(domain, KS_STR(".gserviceaccount.com"));
}

/* ---- Vault ---- */

bool ks_secretstore_is_path(struct ks_str s)
{
	struct ks_str rest = s, part;

	if (s.n == 0 || s.n > 512 || ks_str_has_control(s) || !ks_str_is_utf8(s))
		return false;
	while (rest.p) {
		struct ks_str tail = {0};

		if (!ks_str_split(rest, '/', &part, &tail)) {
			part = rest;
			tail.p = NULL;
		}
		if (part.n == 0 || ks_str_eq(part, KS_STR(".")) || ks_str_eq(part, KS_STR("..")))
			return false;
		rest = tail;
	}
	return true;
}

bool ks_secretstore_is_count(struct ks_str s)
{
	return is_digits(s, 1, 9) && s.p[0] != '0';
}

bool ks_secretstore_is_address(struct ks_str s)
{
	struct ks_str host = ks_secretstore_host(s);

	return (ks_str_starts(s, KS_STR("https://")) || ks_str_starts(s, KS_STR("http://"))) && made_of(host, ".-:[]", 1, 255);
}

/* ---- Azure ---- */

bool ks_secretstore_is_azure_vault(struct ks_str s)
{
	static const char *const clouds[] = {".vault.azure.net", ".vault.azure.cn", ".vault.usgovcloudapi.net"};
	struct ks_str host = ks_secretstore_host(s);

	if (!ks_str_starts(s, KS_STR("https://")))
		return false;
	for (size_t i = 0; i < KS_ARRAY_LEN(clouds); i++) {
		if (ends(host, ks_str_c(clouds[i])) && made_of(ks_str_sub(host, 0, host.n - strlen(clouds[i])), "-", 3, 24))
			return true;
	}
	return false;
}

bool ks_secretstore_is_azure_name(struct ks_str s)
{
	return made_of(s, "-", 1, 127);
}

bool ks_secretstore_is_azure_version(struct ks_str s)
{
	return is_hex(s, 32);
}

bool ks_secretstore_is_directory(struct ks_str s)
{
	return made_of(s, "-.", 3, 128) && s.p[0] != '.' && s.p[0] != '-';
}
