/* SPDX-License-Identifier: Apache-2.0 */
/* Values of fields: what is refused with which words, and what is taken. */
#include "fixture.h"

static const char yaml[] = HEAD
	"fields:\n"
	"  line: {label: Line, type: text, max_length: 20, min_length: 3, required: false}\n"
	"  sid: {label: Account SID, type: text, pattern: 'AC[0-9a-f]{4}', message: begins with AC, example: AC0123, required: false}\n"
	"  secret: {label: Auth token, type: secret, pattern: '[0-9a-f]{8}', message: has 8 of 0-9 and a-f, example: 01234567}\n"
	"  password: {label: Password, type: secret}\n"
	"  lines: {label: Lines, type: multi-line}\n"
	"  key: {label: Private key, type: file, format: pem-private-key}\n"
	"  certificate: {label: Certificate, type: file, secret: false, format: pem-certificate}\n"
	"  host: {label: Host, type: host}\n"
	"  port: {label: Port, type: port, min: 1024}\n"
	"  number: {label: Number, type: number, max: 100}\n"
	"  url: {label: URL, type: url}\n"
	"  choice: {label: Transport, type: choice, choices: {udp: UDP, tls: TLS}}\n"
	"  networks: {label: Networks, type: networks}\n";

#define KEY_HEAD "-----BEGIN PRIVATE KEY-----\n"
#define KEY_BODY "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
#define KEY_TAIL "-----END PRIVATE KEY-----\n"

struct world {
	struct ks_platform_registry *registry;
	const struct ks_platform *platform;
};

static struct world world;

static bool takes(const char *field, struct ks_str value, struct ks_platform_detail *detail)
{
	const struct ks_platform_field *f = ks_platform_field(world.platform, ks_str_c(field));

	assert_non_null(f);
	*detail = (struct ks_platform_detail){"untouched"};
	return ks_platform_check_value(f, value, detail);
}

static void what_is_wrong_is_said(void **state)
{
	static const struct {
		const char *field, *value, *says;
	} cases[] = {
		{"line", "", "Line has no value"},
		{"line", "ab", "Line has at least 3 bytes"},
		{"line", "123456789012345678901", "Line has at most 20 bytes: this has 21"},
		{"line", " abc", "begins or ends with a blank"},
		{"line", "abc\t", "control character"},
		{"line", "abc ", "begins or ends with a blank"},
		{"line", "abc\n", "line break"},
		{"line", "a\x07""bc", "control character"},
		{"line", "abc\xff", "UTF-8"},
		{"sid", "AC01234", "Account SID begins with AC, such as AC0123"},
		{"sid", "ac0123", "Account SID begins with AC"},
		{"secret", "0123456g", "Auth token has 8 of 0-9 and a-f"},
		{"password", " hunter2", "Password begins or ends with a blank"},
		{"lines", "a\x01", "Lines is text"},
		{"key", "nonsense", "Private key is a private key in PEM"},
		{"key", KEY_HEAD KEY_BODY, "no -----END----- line"},
		{"key", KEY_HEAD KEY_TAIL, "not whole"},
		{"key", KEY_HEAD "MC4C*\n" KEY_TAIL, "no base64"},
		{"key", KEY_HEAD "MC4\n" KEY_TAIL, "not whole"},
		{"key", KEY_HEAD KEY_BODY "-----END RSA PRIVATE KEY-----\n", "does not fit"},
		{"key", KEY_HEAD KEY_BODY KEY_TAIL KEY_HEAD KEY_BODY KEY_TAIL, "more than one"},
		{"key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n" KEY_BODY "-----END ENCRYPTED PRIVATE KEY-----\n", "passphrase"},
		{"key", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n" KEY_BODY "-----END RSA PRIVATE KEY-----\n", "passphrase"},
		{"key", "-----BEGIN CERTIFICATE-----\n" KEY_BODY "-----END CERTIFICATE-----\n", "something else"},
		{"key", "-----BEGIN ", "in PEM"},
		{"host", "sip:sip.example.com", "without sip:"},
		{"host", "https://example.com", "without sip:"},
		{"host", "trunk@example.com", "without sip:"},
		{"host", "sip.example.com:5060", "without port"},
		{"host", "-a.example.com", "Host is a host name"},
		{"host", "a..b", "Host is a host name"},
		{"host", "a_b.example", "Host is a host name"},
		{"host", "1.2.3", "Host is a host name"},
		{"host", "1.2.3.400", "Host is a host name"},
		{"host", "example.com.", "Host is a host name"},
		{"port", "80", "from 1024 to 65535"},
		{"port", "65536", "from 1024 to 65535"},
		{"port", "05060", "digits alone"},
		{"port", "5060xx", "at most 5 bytes"},
		{"port", "506x", "digits alone"},
		{"number", "101", "from 0 to 100"},
		{"number", "-1", "digits alone"},
		{"number", "99999999999999999999", "digits alone"},
		{"url", "example.com", "begins with https://"},
		{"url", "ftp://example.com", "begins with https://"},
		{"url", "https://", "host is not one"},
		{"url", "https:///x", "host is not one"},
		{"url", "https://user:pw@example.com/", "without user and password"},
		{"url", "https://example.com/#a", "without #"},
		{"url", "https://example.com/a b", "%XX"},
		{"url", "https://ex\xc3\xa4mple.com/", "%XX"},
		{"url", "https://example.com:0/", "host is not one"},
		{"url", "https://example.com:65536/", "host is not one"},
		{"url", "https://[::1/", "host is not one"},
		{"url", "https://[1.2.3.4]/", "host is not one"},
		{"url", "https://a:b:c/", "host is not one"},
		{"choice", "UDP", "Transport is one of: udp, tls"},
		{"networks", "192.0.2.0/24, example.com", "Networks is a list"},
		{"networks", "192.0.2.1/24", "Networks is a list"},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		const struct ks_platform_field *f = ks_platform_field(world.platform, ks_str_c(cases[i].field));
		struct ks_platform_detail detail;

		if (takes(cases[i].field, ks_str_c(cases[i].value), &detail) || !strstr(detail.text, cases[i].says))
			fail_msg("%s '%s': %s", cases[i].field, cases[i].value, detail.text);
		assert_true(ks_str_starts(ks_str_c(detail.text), ks_str_c(f->label)));
	}
}

static void what_is_right_is_taken(void **state)
{
	static const char *const cases[][2] = {
		{"line", "abc"}, {"line", "12345678901234567890"}, {"line", "\xc3\xa4\xc3\xb6"}, {"sid", "AC01af"}, {"secret", "0123abcd"},
		{"password", "with blank and \"quotes\" ${host} \xe2\x82\xac"}, {"lines", "a\nb\r\n\tc\n"}, {"key", KEY_HEAD KEY_BODY KEY_TAIL},
		{"key", "\n" KEY_HEAD KEY_BODY KEY_TAIL "\n\n"},
		{"key", "-----BEGIN PRIVATE KEY-----\r\nMC4C\r\n-----END PRIVATE KEY-----"},
		{"key", "-----BEGIN EC PRIVATE KEY-----\nMC4CAw==\n-----END EC PRIVATE KEY-----\n"},
		{"certificate", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n\n-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n"},
		{"host", "sip.example.com"}, {"host", "localhost"}, {"host", "192.0.2.1"}, {"host", "2001:db8::1"}, {"host", "3com.example"},
		{"port", "1024"}, {"port", "65535"}, {"number", "0"}, {"number", "100"}, {"url", "https://api.example.com"},
		{"url", "https://api.example.com:8443/a/b?c=d%20e"}, {"url", "http://127.0.0.1:8080"}, {"url", "https://[2001:db8::1]:443/x"},
		{"url", "https://[2001:db8::1]"}, {"choice", "udp"}, {"choice", "tls"}, {"networks", "192.0.2.0/24, 198.51.100.7\n2001:db8::/32"},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct ks_platform_detail detail;

		if (!takes(cases[i][0], ks_str_c(cases[i][1]), &detail))
			fail_msg("%s '%s': %s", cases[i][0], cases[i][1], detail.text);
		assert_string_equal(detail.text, "untouched");
	}
}

static void values_have_bounds(void **state)
{
	static char large[KS_PLATFORM_VALUE_MAX + 1];
	struct ks_platform_detail detail;

	(void)state;
	memset(large, 'a', sizeof(large));
	assert_true(takes("lines", ks_str_of(large, KS_PLATFORM_VALUE_MAX), &detail));
	assert_false(takes("lines", ks_str_of(large, KS_PLATFORM_VALUE_MAX + 1), &detail));
	assert_true(takes("password", ks_str_of(large, 4096), &detail));
	assert_false(takes("password", ks_str_of(large, 4097), &detail));
	assert_false(takes("password", ks_str_of("a\0b", 3), &detail));
	assert_false(takes("host", ks_str_of(large, 64), &detail));
}

/* Whatever is wrong with it. */
static void nothing_of_a_value_is_told(void **state)
{
	static const char *const values[] = {"CANARY", " CANARY", "CANARY\n", "CANARY\x01", "sip:CANARY", "CANARY@x", "https://CANARY@x",
					     "CANARY:1", "-----BEGIN CANARY-----\n", KEY_HEAD "CANARY*\n" KEY_TAIL, KEY_HEAD "CANARY",
					     "https://x/CANARY \x7f", "CANARY\xff"};

	(void)state;
	for (size_t f = 0; f < world.platform->field_count; f++) {
		for (size_t i = 0; i < KS_ARRAY_LEN(values); i++) {
			struct ks_platform_detail detail;

			if (!takes(world.platform->fields[f].name, ks_str_c(values[i]), &detail))
				assert_null(strstr(detail.text, "CANARY"));
		}
	}
}

static int make(void **state)
{
	(void)state;
	world.platform = platform_of(yaml, &world.registry);
	return 0;
}

static int drop(void **state)
{
	(void)state;
	ks_platform_registry_release(&world.registry);
	assert_null(world.registry);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(what_is_right_is_taken),
		cmocka_unit_test(values_have_bounds),
		cmocka_unit_test(nothing_of_a_value_is_told),
	};

	return cmocka_run_group_tests(tests, make, drop);
}
